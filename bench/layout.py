"""Reasons for the lake's layout: pictures in tars, facts in Parquet files with large row groups.

    python -m bench.layout
    python -m bench.layout --rows 20000 --json FILE

picture   random pictures of a shard, by offset from a tar and from a Parquet column with row groups of 100, the column
          in its best case: uncompressed, without a dictionary, its file open
index     an index of fetched pictures by rows per group: its size, and reading one column

All data is generated. Times are CPU-ms of this process, with the files in the page cache; medians of the rounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.fetch import PICTURE_BYTES
from bench.hashes import to_column
from bench.versions import draw_attempts
from storage.files.lake import Lake
from storage.tables.shards import create_shard, read_member
from tasks.fetch.fetch_unit import ATTEMPTS_PER_SHARD

_ROUNDS = 7
_READS = 200
# The rows per group that `storage.tables.parquet` writes, and so few that a group is no larger than a few pictures.
_ROWS_PER_GROUP = (100_000, 100)


def cpu_ms(work: Callable[[], object]) -> float:
    """The CPU-ms of one call, median over rounds."""
    costs = []
    for _ in range(_ROUNDS):
        started = time.process_time()
        work()
        costs.append(1000 * (time.process_time() - started))
    return statistics.median(costs)


def picture_costs(folder: Path, rng: np.random.Generator) -> dict[str, float]:
    """CPU-ms of one picture of a shard, from a tar and from a Parquet column."""
    bodies = [rng.bytes(PICTURE_BYTES) for _ in range(ATTEMPTS_PER_SHARD)]
    lake, rows = Lake(folder), rng.integers(0, len(bodies), _READS).tolist()
    with create_shard(lake, "shard.tar") as tar:
        places = [tar.add(f"{number:08d}.jpg", body) for number, body in enumerate(bodies)]
    per_group = _ROWS_PER_GROUP[-1]
    path = folder / "pictures.parquet"
    table = pa.table({"data": pa.array(bodies, pa.binary())})
    pq.write_table(table, path, row_group_size=per_group, compression="none", use_dictionary=False)
    with pq.ParquetFile(path) as file:

        def from_column(row: int) -> bytes:
            data: bytes = file.read_row_group(row // per_group, ["data"])["data"][row % per_group].as_py()
            return data

        assert from_column(rows[0]) == read_member(lake, "shard.tar", *places[rows[0]])
        return {
            "from a tar": _each(rows, lambda row: read_member(lake, "shard.tar", *places[row])),
            f"from a column, {per_group} rows a group": _each(rows, from_column),
        }


def _each(rows: Sequence[int], read: Callable[[int], bytes]) -> float:
    return cpu_ms(lambda: [read(row) for row in rows]) / len(rows)


def index_costs(folder: Path, num: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Size of an index of `num` rows and CPU-ms of reading one of its columns, by rows per group."""
    keys = to_column(rng.integers(0, 256, (num, 16), dtype=np.uint8))
    urls = pa.array([f"http://h{number % 120_000}.test/{number}.jpg" for number in range(num)])
    attempts = draw_attempts(pa.table({"key": keys, "url": urls}), rng)
    costs = []
    for per_group in _ROWS_PER_GROUP:
        path = folder / f"index-{per_group}.parquet"
        pq.write_table(attempts, path, compression="zstd", row_group_size=per_group)
        read_ms = cpu_ms(lambda path=path: pq.read_table(path, columns=["digest"], use_threads=False))  # type: ignore[misc]
        costs.append({"rows a group": per_group, "bytes": path.stat().st_size, "ms a column": read_ms})
    return costs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000, help="rows of the index")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(prefix="facemill-bench-") as name:
        found: dict[str, Any] = {"picture": picture_costs(Path(name), rng)}
        found["index"] = index_costs(Path(name), options.rows, rng)
    for what, cost in found["picture"].items():
        print(f"a picture {what:<34}{cost:8.3f} CPU-ms")
    for row in found["index"]:
        size, cost = row["bytes"] / 1e6, row["ms a column"]
        print(f"an index of {options.rows:,} rows, {row['rows a group']:>7,} a group {size:8.1f} MB{cost:8.1f} CPU-ms")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
