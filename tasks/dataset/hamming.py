"""Exact near-duplicate clusters among millions of 128-bit hashes, by Hamming distance.

If two hashes differ in at most r bits, they agree in one of r + 1 bands of bits at least: only hashes that share a band
are compared (the pigeonhole scheme of Norouzi et al., "Fast Search in Hamming Space", 2012). A band takes every
(r + 1)-th bit: neighbouring bits of a dHash come from neighbouring cells and are alike, so that unlike pictures agree
in bits far apart much less often.

Large buckets, such as those of pictures with large flat areas, are not compared pair by pair. If their hashes are
close together, comparing a few of them with all others connects them; if not, the remaining bits are divided into
bands again.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

# Rows of buckets up to the first size are compared side by side; of one up to the second, that is no heap, each with
# each; beyond, by bands of their other bits.
_LARGE_BUCKET, _HUGE_BUCKET = 256, 5000
_ROWS_AT_A_TIME = 64
# Pairs kept at a time, 64 MB; beyond it they are thinned to what connects the same hashes.
_MAX_PAIRS = 4_000_000
# A bucket is joined by single hashes as long as each settles so many others; of unlike hashes each settles only itself.
_SETTLED_BY_ONE = 16


def near_clusters(hashes: npt.NDArray[np.uint8], distance: int) -> Ints:
    """The smallest member of the cluster of each hash, [n]. Near copies of near copies are in one cluster.

    Args:
        hashes: [n, 16] bytes.
        distance: the largest number of bits in which near copies differ.
    """
    words = np.ascontiguousarray(hashes).view(np.uint64)
    first, inverse = _distinct(words)
    pairs = _pairs_by_bands(words[first], np.arange(len(first)), np.arange(128), distance) if distance else iter(())
    clusters = connected(len(first), _collected(len(first), pairs))[inverse]
    _, lowest, number = np.unique(clusters, return_index=True, return_inverse=True)
    return lowest[number]


def connected(num: int, pairs: Ints) -> Ints:
    """The smallest member of the connected component of each node, [num]."""
    parent = np.arange(num)
    while True:
        low = np.minimum(parent[pairs[:, 0]], parent[pairs[:, 1]])
        before = parent.copy()
        for side in (0, 1):
            np.minimum.at(parent, pairs[:, side], low)
            np.minimum.at(parent, before[pairs[:, side]], low)
        parent = parent[parent]
        if np.array_equal(parent, before):
            return parent


def _distinct(words: Words) -> tuple[Ints, Ints]:
    """One row of each distinct hash, and for every row the number of its hash."""
    order = np.lexsort((words[:, 1], words[:, 0]))
    is_new = np.r_[True, (words[order[1:]] != words[order[:-1]]).any(axis=1)][: len(order)]
    inverse = np.empty(len(order), dtype=np.int64)
    inverse[order] = np.cumsum(is_new) - 1
    return order[is_new], inverse


def _collected(num: int, found: Iterator[Ints]) -> Ints:
    """Pairs that connect what all the found ones do; never very many at a time."""
    waiting, num_waiting = [np.empty((0, 2), dtype=np.int64)], 0
    for pairs in found:
        waiting.append(pairs)
        num_waiting += len(pairs)
        if num_waiting > _MAX_PAIRS:
            lowest = connected(num, np.concatenate(waiting))
            rows = np.flatnonzero(lowest != np.arange(num))
            waiting, num_waiting = [np.stack([rows, lowest[rows]], axis=1)], 0
    return np.concatenate(waiting)


def _pairs_by_bands(words: Words, rows: Ints, bits: Ints, distance: int) -> Iterator[Ints]:
    """Pairs of `rows` that connect all near ones, found by bands of `bits`, in all other bits of which they agree."""
    num_bands = distance + 1
    for start in range(num_bands):
        is_band = np.arange(len(bits)) % num_bands == start
        yield from _pairs_in_band(words, rows, bits[is_band], bits[~is_band], distance)


def _pairs_in_band(words: Words, rows: Ints, band: Ints, others: Ints, distance: int) -> Iterator[Ints]:
    keys = _keys(words[rows], band)
    order = np.argsort(keys, kind="stable")
    keys, rows = keys[order], rows[order]
    starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
    sizes = np.diff(np.r_[starts, len(keys)])
    is_small = np.repeat(sizes <= _LARGE_BUCKET, sizes)
    yield from _pairs_step_by_step(words, rows[is_small], keys[is_small], distance)
    for start, size in zip(starts[sizes > _LARGE_BUCKET], sizes[sizes > _LARGE_BUCKET], strict=True):
        bucket = rows[start : start + size]
        pairs, is_settled = _pairs_by_single_ones(words[bucket], distance)
        yield bucket[pairs]
        if not is_settled and size <= _HUGE_BUCKET:
            yield from (bucket[pairs] for pairs in _pairs_one_by_one(words[bucket], distance))
        elif not is_settled:
            yield from _pairs_by_bands(words, bucket, others, distance)


def _keys(words: Words, band: Ints) -> Words:
    """The bits of a band, at most 64, as one number a row."""
    bits = np.unpackbits(words.view(np.uint8), axis=1)[:, band]
    packed = np.zeros((len(words), 8), dtype=np.uint8)
    packed[:, : -(-len(band) // 8)] = np.packbits(bits, axis=1)
    return packed.view(np.uint64)[:, 0]


def _pairs_step_by_step(words: Words, rows: Ints, keys: Words, distance: int) -> Iterator[Ints]:
    """All near pairs of equal keys: each row is compared with the next one, the next but one, ..."""
    left, right = words[rows].T.copy()
    alive = np.arange(len(rows))
    step = 1
    while True:
        alive = alive[alive + step < len(rows)]
        alive = alive[keys[alive] == keys[alive + step]]
        if not len(alive):
            return
        near = alive[np.bitwise_count(left[alive] ^ left[alive + step]) <= distance]
        apart = _num_differing(left[near] ^ left[near + step], right[near] ^ right[near + step])
        near = near[apart <= distance]
        if len(near):
            yield np.stack([rows[near], rows[near + step]], axis=1)
        step += 1


def _pairs_one_by_one(words: Words, distance: int) -> Iterator[Ints]:
    """All near pairs of all rows."""
    left, right = words.T.copy()
    for start in range(0, len(words), _ROWS_AT_A_TIME):
        some = slice(start, start + _ROWS_AT_A_TIME)
        apart = _num_differing(left[some, None] ^ left[start:], right[some, None] ^ right[start:])
        yield np.argwhere(apart <= distance) + start


def _pairs_by_single_ones(words: Words, distance: int) -> tuple[Ints, bool]:
    """Pairs that connect near ones among all rows, and whether these are all: not if it would have taken too long.

    One row is held against all others. Then it is settled, and so are those of one cluster that grows: of two in it
    nothing need be known. So a dense heap of rows takes few rounds, and unlike rows are given up after few.
    """
    left, right = words.T.copy()
    inside, held = np.zeros((2, len(words)), dtype=bool)
    pairs: list[Ints] = []
    while not (settled := inside | held).all():
        if len(pairs) > _SETTLED_BY_ONE and settled.sum() < _SETTLED_BY_ONE * len(pairs):
            return np.concatenate(pairs), False
        one = int(settled.argmin())
        near = _num_differing(left ^ left[one], right ^ right[one]) <= distance
        held[one] = True
        others = np.flatnonzero(near)
        pairs.append(np.stack([np.full_like(others, one), others], axis=1))
        if (near & inside).any():
            inside |= near
        elif near.sum() > inside.sum():
            inside = near
    return np.concatenate(pairs), True


def _num_differing(left: Words, right: Words) -> npt.NDArray[np.uint8]:
    """The bits that are set in both halves together."""
    return np.bitwise_count(left) + np.bitwise_count(right)
