"""Decide which samples of a new version lie in shards that exist, and which are written: a function of tables.

A shard is reused if at least nine tenths of it are in the version, so that reading a version's shards from end to end
reads at most a ninth more than it needs. Each version of a dataset that changes a little adds a small shard for each
split; when many of them have gathered, their samples are written once more into one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from storage.tables.take import take
from storage.versions.sample_shards import CONTENT, content_of, stem_of

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


@dataclass(frozen=True, slots=True)
class Placed:
    """Where samples lie: of each the shard, by its number in `shards`, or -1 if it is to be written; [n].

    Attributes:
        offset: in its shard, [n]; likewise `length`.
        is_same: whether the cluster is the one that the shard has for the sample, [n].
    """

    shards: list[str]
    shard: _Ints
    offset: _Ints
    length: _Ints
    is_same: _Flags


def place_samples(
    samples: pa.Table,
    shards: Iterable[tuple[str, pa.Table]],
    before: frozenset[str] = frozenset(),
    rules: PlaceRules = PlaceRules(),
) -> Placed:
    """Where each sample lies in the shards that are there.

    Args:
        samples: the columns `sample_shards.CONTENT` at least; each sample once.
        shards: of the dataset, with their rows (`records.SAMPLES`); one after the other is in memory.
        before: the shards of the version that comes before this one. They come first: no two of them have the same
            sample, while shards of others may overlap them, and each taken would leave less to use of these.
    """
    names = _numbers(samples["sample"])
    by_name = np.argsort(names, kind="stable")
    names = names[by_name]
    found = [_same(samples, names, by_name, name, rows) for name, rows in shards]
    shard, offset, length = np.full((3, len(samples)), -1, np.int64)
    placed = Placed([one.shard for one in found], shard, offset, length, np.ones(len(samples), bool))
    in_order = sorted(
        range(len(found)),
        key=lambda one: (found[one].shard not in before, -found[one].used, -found[one].size, found[one].shard),
    )
    for number in in_order:
        one = found[number]
        free = placed.shard[one.sample] < 0
        if free.sum() >= rules.min_used * one.size:
            rows = one.sample[free]
            placed.shard[rows], placed.offset[rows], placed.length[rows] = number, one.offset[free], one.length[free]
            placed.is_same[rows] = one.is_same[free]
    _leave_small(placed, [one.size for one in found], rules)
    return placed


def _leave_small(placed: Placed, sizes: list[int], rules: PlaceRules) -> None:
    """Write the samples anew that lie in small shards of a split, if there are too many such shards."""
    small = [shard for shard in np.unique(placed.shard).tolist() if shard >= 0 and sizes[shard] < rules.small]
    splits = {shard: stem_of(placed.shards[shard]).split("-")[0] for shard in small}
    for split in set(splits.values()):
        theirs = [shard for shard in small if splits[shard] == split]
        if len(theirs) > rules.max_small:
            rows = np.isin(placed.shard, theirs)
            # The new shard has the cluster of today.
            placed.shard[rows], placed.is_same[rows] = -1, True


@dataclass(frozen=True, slots=True)
class _Same:
    """The samples that a shard has, and where: [pairs] each; `size` is the number of its rows."""

    shard: str
    size: int
    sample: NDArray[np.int32]
    offset: _Ints
    length: NDArray[np.int32]
    is_same: _Flags

    @property
    def used(self) -> float:
        """The share of its rows that are samples."""
        return len(self.sample) / self.size if self.size else 0.0


def _same(samples: pa.Table, names: NDArray[np.uint64], by_name: _Ints, shard: str, rows: pa.Table) -> _Same:
    """The samples of the same content in a shard.

    Args:
        names: of the samples, in order; `by_name` are their rows in `samples`.
    """
    theirs = _numbers(rows["sample"])
    at = np.searchsorted(names, theirs)
    # A name beyond the last one is compared with the last one, and so is not found.
    row = np.flatnonzero(names[np.minimum(at, len(names) - 1)] == theirs) if len(names) else np.empty(0, np.int64)
    sample = by_name[at[row]]
    ours, known = content_of(take(samples.select(CONTENT), sample)), rows.take(pa.array(row))
    same = np.ones(len(row), bool)
    for name in _COMPARED:
        same &= _equal(ours[name], known[name])
    place = [known[name].to_numpy()[same] for name in ("offset", "length")]
    is_same = _equal(ours["cluster"], known["cluster"])[same]
    return _Same(shard, len(rows), sample[same].astype(np.int32), place[0], place[1].astype(np.int32), is_same)


def _numbers(names: pa.ChunkedArray) -> NDArray[np.uint64]:
    """Names of samples, which are 16 hex digits, as numbers: [n]."""
    digits = names.cast(pa.binary()).cast(pa.binary(16)).combine_chunks()
    start = 16 * digits.offset
    text = memoryview(digits.buffers()[1])[start : start + 16 * len(digits)] if len(digits) else b""
    return np.frombuffer(bytes.fromhex(bytes(text).decode()), ">u8").astype(np.uint64)


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
