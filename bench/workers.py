"""CPU time of cropping by one worker and by two that share a lake: how much of the second one is lost.

    python -m bench.workers                        8,000 pictures: about 7 CPU-minutes
    python -m bench.workers --pictures 50000 --min-face 40 --json

The link lines are real (../shared/data/vgg_face_dataset.tar.xz), in units of 25 people and shards of 500 attempts, and
the pictures are photographs of ../shared/data/replay in turn. Each worker is `facemill crop` by both methods in one
process, as a worker of another machine would run it, and looks for faces from 100 px on: a cheap detection, so that all
else counts for more. `start` is what a worker takes on 20 of the pictures, with the import of the detector, and is
subtracted from the figures of cropping.

`twice` is the CPU time of two workers together over that of one: what both do besides their share, such as listing and
comparing what the other has done. `idle` is what one used while the other had nothing left to take. `scaling` is how
many times as fast two workers are as one in processor time: twice the time of one over that of both and the idle time.
For 50,000 pictures it is extrapolated: the times of cropping grow with the pictures, and the idle time does not, since
it is that of a part, which is one shard up to 140,000 pictures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bench.detect import read_photos
from bench.drawn_lake import SOURCE, placed, write_links
from bench.versions import draw_attempts
from storage.files.lake import Lake
from storage.records import LINK_LINES
from storage.tables.parquet import read_as, stamp, write_table
from storage.tables.shards import create_shard
from tasks.fetch.fetch_unit import ATTEMPTS_PER_SHARD
from tasks.fetch.ledger import unit_name
from tasks.links.collect import collect_links
from tasks.links.plan import plan
from tasks.links.sources import source_named

_DATA = Path(__file__).parents[1].parent / "shared" / "data"
_PHOTOS, _FEW, _MANY = 300, 20, 50_000
# A link in 1.8 has a picture, and lines repeat links. What is left of the lines was not asked for.
_LINES_PER_PICTURE = 2.4
_LOOK_EVERY_S = 1.0
# Below this share of a core a worker waits: it looks at the leases of others every two seconds.
_WAITS = 0.05
_TICKS = os.sysconf("SC_CLK_TCK")


def draw_pictures(folder: Path, num_pictures: int) -> None:
    """A lake with so many photographs, as `ingest` leaves it."""
    lake, photos = Lake(folder / "lake"), cycle(read_photos(_DATA / "replay", _PHOTOS))
    write_links(folder / "links", _DATA / "vgg_face_dataset.tar.xz", round(num_pictures * _LINES_PER_PICTURE))
    links = asyncio.run(collect_links(lake, source_named(SOURCE), str(folder / "links")))
    candidates = plan(read_as(lake, lake.links(SOURCE, "lines.parquet"), LINK_LINES))
    write_table(lake, lake.plan(SOURCE), candidates, stamp=stamp(links.digest, None, None))
    attempts, left = draw_attempts(candidates, np.random.default_rng(0)), num_pictures
    for unit in pc.unique(candidates["unit"]).to_pylist():
        of_unit = attempts.filter(pc.equal(candidates["unit"], unit))
        for number, first in enumerate(range(0, len(of_unit), ATTEMPTS_PER_SHARD)):
            some = _first_pictures(of_unit.slice(first, ATTEMPTS_PER_SHARD), left)
            left -= len(some) - some["digest"].null_count
            _draw_shard(lake, f"{unit_name(unit)}-{number:04d}-aaaaaa", some, photos)
            if not left:
                return
    raise SystemExit(f"the lines give {left} pictures too few")


def _first_pictures(attempts: pa.Table, num: int) -> pa.Table:
    """The attempts up to the `num`-th picture."""
    upto = np.cumsum(pc.is_valid(attempts["digest"]).to_numpy())
    return attempts.slice(0, int(np.searchsorted(upto, num)) + 1)


def _draw_shard(lake: Lake, stem: str, attempts: pa.Table, photos: Iterator[bytes]) -> None:
    places: list[tuple[int | None, int | None]] = []
    with create_shard(lake, f"{lake.images(SOURCE, stem)}.tar") as tar:
        for key, digest in zip(attempts["key"].to_pylist(), attempts["digest"].to_pylist(), strict=True):
            places.append(tar.add(f"{key.hex()}.jpg", next(photos)) if digest else (None, None))
    offsets, lengths = (pa.array(column, pa.int64()) for column in zip(*places, strict=True))
    write_table(lake, f"{lake.images(SOURCE, stem)}.parquet", placed(attempts, stem, offsets, lengths))


@contextmanager
def copied(folder: Path) -> Iterator[str]:
    """A copy of the drawn lake, which shares its files."""
    with tempfile.TemporaryDirectory(dir=folder, prefix="copy-") as copy:
        lake = Path(copy) / "lake"
        shutil.copytree(folder / "lake", lake, copy_function=os.link)
        yield str(lake)


def crop(lake: str, num: int, min_face: int) -> tuple[list[float], float]:
    """Crop with so many workers at the same time: the CPU-s of each, and those one used while the other waited."""
    command = [sys.executable, "-m", "facemill", "crop", "--lake", lake, "--source", SOURCE, "--quiet"]
    settings = {"FACEMILL_WORKERS": "1", "FACEMILL_MIN_FACE_PX": str(min_face), "OMP_NUM_THREADS": "1"}
    environment = {name: one for name, one in os.environ.items() if not name.startswith("PREFECT_")} | settings
    workers = [subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) for _ in range(num)]
    idle_s, used, ended = 0.0, [0.0] * num, dict[int, float]()
    while len(ended) < num:
        time.sleep(_LOOK_EVERY_S)
        for place, worker in enumerate(workers):
            if place not in ended and (final_s := _end_of(worker)) is not None:
                ended[place] = final_s
        now = [ended[place] if place in ended else _cpu_s(worker.pid) for place, worker in enumerate(workers)]
        steps = [after - before for after, before in zip(now, used, strict=True)]
        idle_s += max(steps) if num > 1 and min(steps) < _WAITS * _LOOK_EVERY_S else 0
        used = now
    return used, idle_s


def _end_of(worker: subprocess.Popen[bytes]) -> float | None:
    """The CPU time of a process that has ended, or None.

    Raises:
        SystemExit: it has failed.
    """
    pid, status, usage = os.wait4(worker.pid, os.WNOHANG)
    if not pid:
        return None
    worker.returncode = os.waitstatus_to_exitcode(status)
    if worker.returncode:
        raise SystemExit(f"{' '.join(map(str, worker.args))} failed ({worker.returncode})")  # type: ignore[arg-type]
    return usage.ru_utime + usage.ru_stime


def _cpu_s(pid: int) -> float:
    """CPU seconds of a running process (man 5 proc, fields 14 to 17 of stat), or of one that is not waited for yet."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(word) for word in words[11:15]) / _TICKS


def run(folder: Path, num_pictures: int, min_face: int) -> dict[str, Any]:
    """Draw the lakes and crop them."""
    few = folder / "few"
    draw_pictures(few, _FEW)
    draw_pictures(folder, num_pictures)
    with copied(few) as lake:
        ((first,), _), ((nothing,), _) = crop(lake, 1, min_face), crop(lake, 1, min_face)
    with copied(folder) as lake:
        ((alone,), _), ((again,), _) = crop(lake, 1, min_face), crop(lake, 1, min_face)
    with copied(folder) as lake:
        both, idle_s = crop(lake, 2, min_face)
    one, two = alone - first, [used - first for used in both]
    return {
        "pictures": num_pictures,
        "start_nothing_to_do_cpu_s": nothing,
        "start_cpu_s": first,
        "again_cpu_s": again - nothing,
        "one_cpu_s": one,
        "two_cpu_s": two,
        "twice": sum(two) / one,
        "idle_cpu_s": idle_s,
        "scaling": 2 * one / (sum(two) + idle_s),
        "scaling_at_50000": 2 * one / (sum(two) + idle_s * num_pictures / _MANY),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=8_000)
    parser.add_argument("--min-face", type=int, default=100, help="of the detector, in pixels")
    parser.add_argument("--folder", type=Path, help="for the lakes, instead of a temporary one")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with ExitStack() as stack:
        temporary = tempfile.TemporaryDirectory(prefix="facemill-bench-", dir=options.folder)
        found = run(Path(stack.enter_context(temporary)), options.pictures, options.min_face)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    print(f"{found['pictures']:,} pictures, CPU-s besides a start of {found['start_cpu_s']:.2f}")
    print(f"one worker   {found['one_cpu_s']:8.1f}, again with nothing to do {found['again_cpu_s']:.2f}")
    each = " and ".join(f"{used:.1f}" for used in found["two_cpu_s"])
    print(f"two workers  {sum(found['two_cpu_s']):8.1f}, by {each}; idle {found['idle_cpu_s']:.1f}")
    print(f"scaling      {found['scaling']:8.2f} of 2; twice {found['twice']:.3f}")
    print(f"at {_MANY:,}    {found['scaling_at_50000']:8.2f} of 2, extrapolated")


if __name__ == "__main__":
    main()
