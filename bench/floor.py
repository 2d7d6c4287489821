"""Minimum cost of a fetched picture in Python: the CPU-ms of each part alone, without facemill.

    python -m bench.floor               58 KB pictures on loopback, one connection each
    python -m bench.floor --keep-alive

GET is `bench.bare`, start-up included. The other parts process the same pictures in a single thread; medians of the
rounds. The difference between a target and their sum is left for rate limits, other limits and the ledger.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.fetch import PICTURE_BYTES, run_bare, write_job
from bench.loopback import origin, pictures
from tasks.fetch.fetch_unit import ATTEMPTS_PER_SHARD
from tasks.images import jpeg

_ROUNDS = 5


def cpu_ms(work: Callable[[bytes], object], bodies: list[bytes]) -> float:
    """The CPU-ms of one call, median over rounds."""

    def one_round() -> float:
        started = time.process_time()
        for body in bodies:
            work(body)
        return 1000 * (time.process_time() - started) / len(bodies)

    return statistics.median(one_round() for _ in range(_ROUNDS))


def kept_ms(bodies: list[bytes], folder: Path) -> float:
    """Write to files of the shard size, each synced."""
    with (folder / "shard").open("wb") as file:

        def keep(body: bytes) -> None:
            file.write(body)
            if file.tell() > ATTEMPTS_PER_SHARD * PICTURE_BYTES:
                file.flush()
                os.fsync(file.fileno())
                file.seek(0)
                file.truncate()

        return cpu_ms(keep, bodies)


def floor(num: int, *, keep_alive: bool) -> dict[str, float]:
    """The cost of the parts by name."""
    drawn = pictures(PICTURE_BYTES)
    bodies = drawn * (num // len(drawn))
    with tempfile.TemporaryDirectory(prefix="facemill-bench-") as folder:
        with origin(PICTURE_BYTES, close=not keep_alive) as port:
            job = write_job(Path(folder) / "job", port, num, {})
            bare = [run_bare(job) for _ in range(_ROUNDS)]
        return {
            "GET": statistics.median(1000 * one.usage.cpu_s / max(one.num_accepted, 1) for one in bare),
            "strict decode": cpu_ms(lambda body: jpeg.gray(body, 640, 640), bodies),
            "SHA-256": cpu_ms(lambda body: hashlib.sha256(body).digest(), bodies),
            "written and synced": kept_ms(bodies, Path(folder)),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, default=6000, help="links in the list")
    parser.add_argument("--keep-alive", action="store_true", help="the origin keeps connections open")
    options = parser.parse_args()
    pieces = floor(options.num, keep_alive=options.keep_alive)
    for name, value in (pieces | {"sum": sum(pieces.values())}).items():
        print(f"{name:<20}{value:.3f}")


if __name__ == "__main__":
    main()
