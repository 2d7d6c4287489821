"""What reading a list costs: CPU time and memory of the reader of lists against pyarrow.csv alone, on a made CSV.

    python bench/lists.py [ROWS] [FOLDER]

The CSV has the columns of FaceScrub: name, two numbers, URL, a box in one cell in quotes, SHA-256. Each reader runs in
a process of its own; the file is read once before, so that none waits for the disk.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import resource
import sys
import tempfile
import time
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


def keys_alone(path: Path) -> int:
    """The keys of the URLs, which the lake goes by: BLAKE2b, a call a URL."""
    urls = pyarrow.csv.read_csv(path, convert_options=pyarrow.csv.ConvertOptions(include_columns=["url"]))["url"]
    used = cpu_s()
    num = sum(len(url_keys(chunk)) for chunk in urls.chunks)
    print(f"keys alone   {num:>11,} rows  {cpu_s() - used:7.2f} s CPU, part of by_recipe", flush=True)
    return num


def cpu_s() -> float:
    return sum(os.times()[:2])


def measured(reader: str, path: Path) -> None:
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    used, started = cpu_s(), time.monotonic()
    rows = globals()[reader](path)
    cpu, wall = cpu_s() - used, time.monotonic() - started
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb) / 1024
    print(
        f"{reader:12} {rows:>11,} rows  {cpu:7.2f} s CPU  {wall:7.2f} s  {grown:8.0f} MB more at the peak", flush=True
    )


def main() -> None:
    num = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory(dir=sys.argv[2] if len(sys.argv) > 2 else None) as folder:
        path = Path(folder) / "faces.csv"
        make(path, num)
        path.read_bytes()
        print(f"{num:,} rows, {path.stat().st_size / 1e6:,.0f} MB")
        for reader in ("by_pyarrow", "by_recipe"):
            process = multiprocessing.get_context("spawn").Process(target=measured, args=(reader, path))
            process.start()
            process.join()
        keys_alone(path)


if __name__ == "__main__":
    main()
