"""Memory of a fetch whose indexes are merged meanwhile: `facemill ingest`, sampled five times a second.

    python -m bench.merging                 100,000 links in 500 units, an index each; exits with 1 if memory grows
    python -m bench.merging --num 20000     a shorter list

The pictures are small and come from `bench.loopback`. A unit has 200 links, so that as many indexes gather as in a list
of 250,000 links with one for every 500. The first line gives their number; every 64 of them are merged
(`storage/tables/merged_tables.py`).

Memory is the anonymous memory of the process tree, shared pages counted once (`Pss_Anon`), so without the page cache.
What is freed but kept by an allocator would hide growth: 50 MB. Therefore the link files have been read before, by
another process, and the allocators return what is freed at once (`_RETURNED`).

The run is divided into tenths by the links done. For each the least, the median and the greatest memory is printed, and
how many merged tables were written in it. The verdict compares the medians of the second and the last tenth. The first
does not count: in it threads, connections and pools come into being, and the states of the hosts, which have a bound of
their own (`tasks/web/host_queue.py`).

A run needs nothing of a link that is done: its place among the pending links was taken at the start. At most 100 bytes
a link are allowed. Its row of the index takes 265 bytes as Arrow holds it, which is the smallest form: a run that kept
the rows of what it has fetched would fail.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.fetch import FACEMILL, SMALL_PICTURE_BYTES, Job, write_job
from bench.loopback import origin
from bench.usage import process_tree
from storage.files.lake import Lake
from tasks.fetch.ledger import image_stems
from tasks.links.collect import collect_links
from tasks.links.plan import IDENTITIES_PER_UNIT
from tasks.links.sources import source_named

SOURCE = "vggface1"
_LINKS_PER_UNIT = 200
_EVERY_S = 0.2
_MOST_BYTES_A_LINK = 100
_NUM_PARTS = 10
# Of Arrow's pool and of the C library.
_RETURNED = {"MIMALLOC_PURGE_DELAY": "0", "MALLOC_TRIM_THRESHOLD_": "131072"}


@dataclass(frozen=True, slots=True)
class Sample:
    """The memory of the run at a time."""

    at_s: float
    held_bytes: int


@dataclass(frozen=True, slots=True)
class Events:
    """What a run logged: when units ended, with the links done by then, and when indexes were merged, with the number
    of merged tables.
    """

    done: list[tuple[float, int]]
    merged: list[tuple[float, int]]


@dataclass(frozen=True, slots=True)
class Part:
    """A tenth of a run by its links: the memory in it, and the merged tables written in it."""

    links: int
    seconds: float
    least_mb: float
    median_mb: float
    most_mb: float
    merged: int


def sampled(job: Job, lake: Lake) -> tuple[list[Sample], Events]:
    """Run `facemill ingest`; returns samples and what it logged.

    Raises:
        subprocess.CalledProcessError: the command failed.
    """
    command = [
        *FACEMILL, "ingest", "--lake", lake.url, "--links", str(job.links), "--connect-to", f"127.0.0.1:{job.port}"
    ]  # fmt: skip
    env = {**os.environ, **_RETURNED, "FACEMILL_LOG": "json", "PREFECT_HOME": str(job.folder / "prefect")}
    log = job.folder / "log"
    with log.open("wb") as said, subprocess.Popen(command, stdout=said, stderr=said, env=env) as process:
        samples = list(_samples(process))
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, log.read_bytes()[-2000:])
    return samples, events_of(log.read_text().splitlines())


def _samples(process: subprocess.Popen[bytes]) -> Iterator[Sample]:
    while process.poll() is None:
        yield Sample(time.time(), sum(map(_anonymous_bytes, process_tree(process.pid))))
        time.sleep(_EVERY_S)


def _anonymous_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0  # it has just ended
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss_Anon:")), 0)


def events_of(lines: Sequence[str]) -> Events:
    """What the JSON lines of a run tell."""
    found, num_done = Events([], []), 0
    for event in (json.loads(line) for line in lines if line.startswith("{")):
        at_s = datetime.fromisoformat(event["time"]).timestamp()
        if event["event"] == "unit":
            num_done += event["links"]
            found.done.append((at_s, num_done))
        elif event["event"] == "merged":
            found.merged.append((at_s, event["tables"]))
    return found


def parts_of(samples: Sequence[Sample], events: Events) -> list[Part]:
    """The run in tenths of its links. Samples before the first unit and after the last belong to none."""
    done = events.done
    ends = [next(at for at, num in done if num >= done[-1][1] * part / _NUM_PARTS) for part in range(1, _NUM_PARTS + 1)]
    starts = [done[0][0], *ends[:-1]]
    parts = []
    for number, (start, end) in enumerate(zip(starts, ends, strict=True), 1):
        held = [one.held_bytes / 1e6 for one in samples if start <= one.at_s < end]
        merged = sum(num for at_s, num in events.merged if start <= at_s < end)
        links = done[-1][1] * number // _NUM_PARTS
        parts.append(Part(links, end - start, min(held), statistics.median(held), max(held), merged))
    return parts


def grown_bytes(parts: Sequence[Part]) -> float:
    """The growth of the median from the second tenth to the last, in bytes a link."""
    return 1e6 * (parts[-1].median_mb - parts[1].median_mb) / (parts[-1].links - parts[1].links)


def report(parts: Sequence[Part]) -> dict[str, Any]:
    """Print the tenths and the verdict."""
    for name in ("links", "seconds", "least MB", "median MB", "most MB", "merged tables"):
        print(f"{name:>15}", end="")
    print()
    for one in parts:
        print(f"{one.links:>15,}{one.seconds:>15.1f}", end="")
        print(f"{one.least_mb:>15.1f}{one.median_mb:>15.1f}{one.most_mb:>15.1f}{one.merged:>15}")
    grown_mb, a_link = parts[-1].median_mb - parts[1].median_mb, grown_bytes(parts)
    is_flat = a_link <= _MOST_BYTES_A_LINK and sum(one.merged for one in parts) > 1
    print(
        f"merged tables written while links were fetched: {sum(one.merged for one in parts)}\n"
        f"growth from the second tenth to the last: {grown_mb:.1f} MB, {a_link / 1000:.3f} MB per 1,000 links, "
        f"of at most {_MOST_BYTES_A_LINK / 1000:.3f}: {'flat' if is_flat else 'NOT FLAT'}"
    )
    return {"grown_mb": grown_mb, "grown_bytes_per_link": a_link, "is_flat": is_flat}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, default=100_000, help="links in the list")
    parser.add_argument("--json", type=Path, help="write the tenths and the verdict to this file")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="facemill-bench-") as folder,
        origin(SMALL_PICTURE_BYTES, close=True) as port,
    ):
        job = write_job(Path(folder), port, options.num, {}, _LINKS_PER_UNIT // IDENTITIES_PER_UNIT)
        lake = job.lake(planned=False)
        asyncio.run(collect_links(lake, source_named(SOURCE), str(job.links)))
        samples, events = sampled(job, lake)
        parts = parts_of(samples, events)
        print(f"{parts[-1].links:,} links, {len(image_stems(lake, SOURCE))} indexes")
    found = report(parts) | {"parts": [asdict(one) for one in parts]}
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    if not found["is_flat"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
