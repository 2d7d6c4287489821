"""Shards of samples, shared by the versions of a dataset.

    datasets/<name>/shards/<split>-<digest>.tar        members <sample>.jpg and <sample>.json
    datasets/<name>/shards/<split>-<digest>.parquet    one row a sample (`records.SAMPLES`), in order; written last

A shard is never changed, and its name is a digest of its rows. The index of a version says which samples of which
shards it has, so that two versions that differ by a few samples share all other bytes. `facemill prune` removes the
shards that no version lists; a purge replaces those with samples under takedown.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from storage.errors import LakeError
from storage.files.lake import Lake
from storage.files.paths import SHARDS
from storage.records import PLACED_SAMPLES, SAMPLES
from storage.tables.digests import table_digest
from storage.tables.parquet import read_as, with_plain_words
from storage.text.names import SHARED_SHARD

# Where a sample lies; the other columns of `SAMPLES` are its content.
PLACE = ("shard", "offset", "length")
CONTENT = tuple(name for name in SAMPLES.names if name not in PLACE)
_CONTENT = pa.schema([SAMPLES.field(name) for name in CONTENT])
# The lease of whoever adds shards to a dataset or removes some: stage and unit; it is of the dataset's name.
STAGE, UNIT = "shards", "all"


def shared_shards(lake: Lake, dataset: str) -> list[str]:
    """The complete shards of a dataset, as indexes name them: `shards/<split>-<digest>.tar`."""
    files = set(lake.names(lake.shards(dataset)))
    stems = sorted(name.removesuffix(".parquet") for name in files if name.endswith(".parquet"))
    return [f"{SHARDS}/{stem}.tar" for stem in stems if f"{stem}.tar" in files and SHARED_SHARD.fits(stem)]


def stem_of(shard: str) -> str:
    """`<split>-<digest>` of a shard in an index."""
    return shard.removeprefix(f"{SHARDS}/").removesuffix(".tar")


def read_rows(lake: Lake, dataset: str, shard: str, columns: Sequence[str] | None = None) -> pa.Table:
    """The rows of a shard (`records.SAMPLES`).

    Raises:
        LakeError: there is no such shard, or its table is damaged.
    """
    path = f"{lake.shards(dataset, stem_of(shard))}.parquet"
    return read_as(lake, path, SAMPLES, list(columns) if columns else None)


def shard_stem(rows: pa.Table) -> str:
    """The name of a shard: the split of its samples, and a digest of their content.

    Args:
        rows: the columns `CONTENT` at least.
    """
    return f"{rows['split'][0].as_py()}-{table_digest(content_of(rows))}"


def content_of(samples: pa.Table) -> pa.Table:
    """The columns `CONTENT` of samples, as `records.SAMPLES` has them; encoded with the words that occur in them."""
    return with_plain_words(samples.select(CONTENT)).cast(_CONTENT)


def columns_to_read(columns: Sequence[str]) -> list[str]:
    """The columns of `records.PLACED_SAMPLES` that `with_content` needs to give these of `records.SAMPLES`."""
    needed = set(columns).intersection(PLACED_SAMPLES.names)
    if _in_shards(columns):
        needed |= {"shard", "offset"}
    return [name for name in PLACED_SAMPLES.names if name in needed]


def with_content(lake: Lake, dataset: str, placed: pa.Table, columns: Sequence[str]) -> pa.Table:
    """Some columns of `records.SAMPLES` of placed samples, those they lack from their shards.

    Args:
        placed: `columns_to_read(columns)` of `records.PLACED_SAMPLES`.

    Raises:
        LakeError: a shard is missing or damaged, or has no sample at that place.
    """
    if not (wanted := _in_shards(columns)):
        return placed.select(columns)
    found = rows_at(lake, dataset, placed, wanted)
    if "cluster" in wanted:
        clusters = pc.coalesce(placed["cluster"], found["cluster"])
        found = found.set_column(wanted.index("cluster"), SAMPLES.field("cluster"), clusters)
    parts = {name: found[name] if name in wanted else placed[name] for name in columns}
    return pa.table(list(parts.values()), schema=pa.schema([SAMPLES.field(name) for name in columns]))


def _in_shards(columns: Sequence[str]) -> list[str]:
    """The columns that only the shards have for every sample."""
    return [name for name in columns if name == "cluster" or name not in PLACED_SAMPLES.names]


def rows_at(lake: Lake, dataset: str, placed: pa.Table, columns: Sequence[str]) -> pa.Table:
    """Some columns of the rows that shards have at the places of samples.

    Args:
        placed: `shard` and `offset` of `records.PLACED_SAMPLES` at least.

    Raises:
        LakeError: a shard is missing or damaged, or has no sample at that place.
    """
    shards = placed["shard"].combine_chunks().dictionary_encode()
    of, offsets = shards.indices.to_numpy(), placed["offset"].to_numpy()
    at, tables, start = np.zeros(len(placed), np.int64), [], 0
    for code, shard in enumerate(shards.dictionary.to_pylist()):
        table = read_rows(lake, dataset, shard, [*columns, "offset"])
        rows, there = np.flatnonzero(of == code), table["offset"].to_numpy()
        found = np.searchsorted(there, offsets[rows])
        # A place beyond the last row is compared with the last row, and so is not found.
        if not len(there) or not np.array_equal(there[np.minimum(found, len(there) - 1)], offsets[rows]):
            where = f"{lake.url}/{lake.dataset(dataset)}/{shard}"
            raise LakeError(f"{where} lacks samples that an index has in it: run `facemill check`")
        at[rows] = start + found
        tables.append(table.select(columns))
        start += len(table)
    if not tables:
        return pa.schema([SAMPLES.field(name) for name in columns]).empty_table()
    return pa.concat_tables(tables).unify_dictionaries().take(pa.array(at))
