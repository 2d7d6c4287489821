"""Remove samples under takedown from the shards that the versions of a dataset share.

Each shard with such samples is replaced: a new one without them is written, every index that names the old one is
rewritten to name the new one, and then the old one is removed. A kill leaves both; the next call completes it. Samples
that no version lists any more are found and removed too.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from storage.files.lake import Lake
from storage.records import PLACED_SAMPLES
from storage.tables.parquet import with_plain_words
from storage.text.names import NAME
from storage.versions.sample_shards import PLACE, read_rows, shared_shards, stem_of
from storage.versions.takedowns import COVERED_BY, covered_samples, read_forgotten
from storage.versions.write_shards import FROM_PLACE, write_shards

# By the shard that is replaced: sample, and shard, offset and length where it lies now.
Moved = dict[str, pa.Table]
_MOVED = ["sample", *PLACE]


def covered_shards(lake: Lake) -> dict[str, list[str]]:
    """The shards with samples under takedown, by dataset."""
    found = {}
    for dataset in filter(NAME.fits, lake.names("datasets")):
        theirs = [shard for shard in shared_shards(lake, dataset) if pc.any(_covered(lake, dataset, shard)).as_py()]
        if theirs:
            found[dataset] = theirs
    return found


def tars_without_rows(lake: Lake) -> list[str]:
    """The tars of shared shards of which the rows are not there: incomplete, or being removed."""
    found = []
    for dataset in filter(NAME.fits, lake.names("datasets")):
        files = set(lake.names(lake.shards(dataset)))
        lone = [name for name in sorted(files) if name.endswith(".tar")]
        found += [lake.shards(dataset, name) for name in lone if f"{name.removesuffix('.tar')}.parquet" not in files]
    return found


def replace_shards(lake: Lake, dataset: str, shards: list[str]) -> Moved:
    """Write the shards that replace these; the old ones are not changed."""
    return {shard: _replace(lake, dataset, shard) for shard in shards}


def remove_shards(lake: Lake, dataset: str, shards: list[str]) -> list[str]:
    """Remove shards, the rows first; returns the paths."""
    stems = [lake.shards(dataset, stem_of(shard)) for shard in shards]
    paths = [f"{stem}{ending}" for stem in stems for ending in (".parquet", ".tar")]
    for path in paths:
        lake.remove(path)
    return paths


def moved_index(placed: pa.Table, moved: Moved) -> pa.Table:
    """An index (`records.PLACED_SAMPLES`) with the new places of the samples in replaced shards."""
    placed = with_plain_words(placed)
    rows = np.arange(len(placed))
    columns = {name: placed[name].to_numpy().copy() for name in PLACE}
    for shard, there in moved.items():
        mine = rows[columns["shard"] == shard]
        found = pc.index_in(placed["sample"].take(pa.array(mine)), value_set=there["sample"]).to_numpy()
        for name in PLACE:
            columns[name][mine] = there[name].take(pa.array(found)).to_numpy()
    for name in PLACE:
        at = placed.schema.get_field_index(name)
        placed = placed.set_column(at, name, pa.array(columns[name], placed.schema.field(at).type))
    return placed.cast(PLACED_SAMPLES)


def _covered(lake: Lake, dataset: str, shard: str) -> pa.ChunkedArray:
    return covered_samples(read_rows(lake, dataset, shard, COVERED_BY), partial(read_forgotten, lake))


def _replace(lake: Lake, dataset: str, shard: str) -> pa.Table:
    rows = read_rows(lake, dataset, shard)
    left = rows.filter(pc.invert(_covered(lake, dataset, shard)))
    if not len(left):
        return left.select(_MOVED)
    tars = pa.array([f"{lake.shards(dataset, stem_of(shard))}.tar"] * len(left))
    columns = [left[name] for name in left.column_names] + [tars, left["offset"], left["length"]]
    (rows,) = write_shards(lake, dataset, [pa.table(columns, [*left.column_names, *FROM_PLACE])])
    return rows.select(_MOVED)
