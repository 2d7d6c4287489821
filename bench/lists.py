"""What reading a list costs: CPU time and memory of the reader of lists against pyarrow.csv alone, on a made CSV.

    python -m bench.lists [--rows N] [--rounds N] [--folder FOLDER]

The CSV has the columns of FaceScrub: name, two numbers, URL, a box in one cell in quotes, SHA-256. The readers take
turns, each in a process of its own; the file is read once before, so that none waits for the disk. The last lines are
ratios of the medians. The bar of `by_recipe` is 2.5 at 10,000,000 rows.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import resource
import statistics
import tempfile
import time
from multiprocessing.queues import Queue
from pathlib import Path

import pyarrow.csv

from tasks.links.recipes.recipe import Recipe
from tasks.links.sources.list_cells import url_keys
from tasks.links.sources.table import read_list

RECIPE = Recipe(format="csv", identity="name", url="url", line="face_id", box="bbox", digest="sha256", keep=[])
COLUMNS = ["name", "image_id", "face_id", "url", "bbox", "sha256"]


def make(path: Path, num: int) -> None:
    with path.open("w") as file:
        file.write(",".join(COLUMNS) + "\n")
        for at in range(num):
            digest = hashlib.sha256(str(at).encode()).hexdigest()
            url = f"http://images{at % 977}.example.org/photos/{digest[:8]}/{digest[8:24]}/portrait_{at}.jpg"
            left = at % 400
            file.write(f'Person {at // 200},{at},{at},{url},"{left},{left},{left + 120},{left + 120}",{digest}\n')


def by_pyarrow(path: Path) -> int:
    return len(pyarrow.csv.read_csv(path))


def by_recipe(path: Path) -> int:
    return len(read_list(RECIPE, path, None, path.name).lines.lines)


def by_keys(path: Path) -> int:
    """The URLs and their keys: BLAKE2b, a call a URL. A floor of the reader, whatever else it does."""
    urls = pyarrow.csv.read_csv(path, convert_options=pyarrow.csv.ConvertOptions(include_columns=["url"]))["url"]
    return sum(len(url_keys(chunk)) for chunk in urls.chunks)


def cpu_s() -> float:
    return sum(os.times()[:2])


def measured(reader: str, path: Path, found: Queue[float]) -> None:
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    used, started = cpu_s(), time.monotonic()
    rows = globals()[reader](path)
    cpu, wall = cpu_s() - used, time.monotonic() - started
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb) / 1024
    print(
        f"{reader:12} {rows:>11,} rows  {cpu:7.2f} s CPU  {wall:7.2f} s  {grown:8.0f} MB more at the peak", flush=True
    )
    found.put(cpu)


def main() -> None:
    parser = argparse.ArgumentParser(description="CPU time and memory of the reader of lists against pyarrow.csv.")
    parser.add_argument("--rows", type=int, default=10_000_000, help="rows of the list")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each reader")
    parser.add_argument("--folder", help="where the list is made; default: the system's temporary folder")
    given = parser.parse_args()
    num, num_rounds = given.rows, given.rounds
    context = multiprocessing.get_context("spawn")
    found: Queue[float] = context.Queue()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        path = Path(folder) / "faces.csv"
        make(path, num)
        print(f"{num:,} rows, {path.stat().st_size / 1e6:,.0f} MB")
        with path.open("rb") as file:
            while file.read(1 << 24):
                pass
        used: dict[str, list[float]] = {"by_pyarrow": [], "by_recipe": [], "by_keys": []}
        for _ in range(num_rounds):
            for reader, all_s in used.items():
                process = context.Process(target=measured, args=(reader, path, found))
                process.start()
                all_s.append(found.get())
                process.join()
    median = {reader: statistics.median(all_s) for reader, all_s in used.items()}
    for reader in ("by_recipe", "by_keys"):
        print(f"{reader} / by_pyarrow: {median[reader] / median['by_pyarrow']:.2f} (CPU, medians of {num_rounds})")


if __name__ == "__main__":
    main()
