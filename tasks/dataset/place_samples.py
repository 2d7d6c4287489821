"""Decide which samples of a new version lie in shards that exist, and which are written: a function of tables.

A shard is reused if at least nine tenths of it are in the version, so that reading a version's shards from end to end
reads at most a ninth more than it needs. Each version of a dataset that changes a little adds a small shard for each
split; when many of them have gathered, their samples are written once more into one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from storage.versions.sample_shards import CONTENT, content_of

_Ints = NDArray[np.int64]
_Flags = NDArray[np.bool_]
# A version's cluster of copies may grow while the sample stays the same, so its index has it (`PLACED_SAMPLES`).
_COMPARED = tuple(name for name in CONTENT if name != "cluster")


@dataclass(frozen=True, slots=True)
class PlaceRules:
    """When a shard is reused.

    Attributes:
        min_used: the least share of a shard's samples that are in the version.
        small: shards of fewer samples are small.
        max_small: the most small shards of a split; of more, all are written anew.
    """

    min_used: float = 0.9
    small: int = 1_000
    max_small: int = 32


def place_samples(
    samples: pa.Table, known: pa.Table, before: frozenset[str] = frozenset(), rules: PlaceRules = PlaceRules()
) -> _Ints:
    """For each sample, the row of `known` that it is, or -1 if it is to be written: [n].

    Args:
        samples: the columns `sample_shards.CONTENT` at least; each sample once.
        known: the rows of all shards of the dataset (`records.SAMPLES`).
        before: the shards of the version that comes before this one. They come first: no two of them have the same
            sample, while shards of others may overlap them, and each taken would leave less to use of these.
    """
    placed = np.full(len(samples), -1, np.int64)
    if not len(known):
        return placed
    sample, row = _same(samples, known)
    shards = known["shard"].combine_chunks().dictionary_encode()
    names, of = shards.dictionary.to_pylist(), shards.indices.to_numpy()
    sizes = np.bincount(of, minlength=len(names))
    used = np.bincount(of[row], minlength=len(names)) / sizes
    in_order = np.argsort(of[row], kind="stable")
    parts = np.split(in_order, np.cumsum(np.bincount(of[row], minlength=len(names)))[:-1])
    for shard in sorted(
        range(len(names)), key=lambda one: (names[one] not in before, -used[one], -sizes[one], names[one])
    ):
        pairs = parts[shard][placed[sample[parts[shard]]] < 0]
        if len(pairs) >= rules.min_used * sizes[shard]:
            placed[sample[pairs]] = row[pairs]
    return _without_small(placed, of, sizes, [name.split("-")[0] for name in names], rules)


def _without_small(placed: _Ints, of: _Ints, sizes: _Ints, splits: list[str], rules: PlaceRules) -> _Ints:
    """The placement without the small shards of each split in which there are too many."""
    reused = np.unique(of[placed[placed >= 0]])
    small = [shard for shard in reused if sizes[shard] < rules.small]
    for split in {splits[shard] for shard in small}:
        theirs = [shard for shard in small if splits[shard] == split]
        if len(theirs) > rules.max_small:
            placed = np.where((placed >= 0) & np.isin(of[placed], theirs), -1, placed)
    return placed


def _same(samples: pa.Table, known: pa.Table) -> tuple[_Ints, _Ints]:
    """Positions in `samples` and in `known` of the same content: [pairs], [pairs]."""
    found = pc.index_in(known["sample"].cast(pa.string()), value_set=samples["sample"].cast(pa.string()))
    found = found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
    row = np.flatnonzero(found.is_valid().to_numpy(zero_copy_only=False))
    sample = found.take(pa.array(row)).to_numpy(zero_copy_only=False).astype(np.int64)
    ours, theirs = content_of(samples).take(pa.array(sample)), known.select(_COMPARED).take(pa.array(row))
    same = np.ones(len(row), bool)
    for name in _COMPARED:
        same &= _equal(ours[name], theirs[name])
    return sample[same], row[same]


def _equal(ours: pa.ChunkedArray, theirs: pa.ChunkedArray) -> _Flags:
    """Whether the values of two columns are the same, or both null: [n]."""
    left, right = _plain(ours), _plain(theirs)
    nulls = [one.is_null().to_numpy(zero_copy_only=False) for one in (left, right)]
    both, same = ~nulls[0] & ~nulls[1], nulls[0] & nulls[1]
    if pa.types.is_fixed_size_list(left.type):
        width = left.type.list_size
        flat = [one.filter(pa.array(both)).flatten().to_numpy().reshape(-1, width) for one in (left, right)]
        same[both] = (flat[0] == flat[1]).all(axis=1)
    else:
        same |= pc.fill_null(pc.equal(left, right), False).to_numpy(zero_copy_only=False)
    return np.asarray(same, bool)


def _plain(column: pa.ChunkedArray) -> pa.Array:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    whole = column.cast(kind).combine_chunks()
    return whole if isinstance(whole, pa.Array) else pa.concat_arrays(whole.chunks)
