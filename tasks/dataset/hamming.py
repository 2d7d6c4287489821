"""Exact near-duplicate clusters among millions of 128-bit hashes, by Hamming distance.

If two hashes differ in at most r bits, they agree in two of r + 2 bands of bits at least: only hashes that share two
bands are compared (after the pigeonhole scheme of Norouzi et al., "Fast Search in Hamming Space", 2012, which takes one
of r + 1). A band takes every (r + 2)-th bit: neighbouring bits of a dHash come from neighbouring cells and are alike,
so that unlike pictures agree in bits far apart much less often.

Of 128 bits and r = 6 two bands have 32 bits, one of seven has 18. So a bucket of one band grows with the number of
hashes, to 110 of 28 million, and comparing all its pairs takes time by the square; a bucket of two bands hardly grows.
The 28 pairs of bands are sorted by 16 bits twice, which NumPy does by radix.

Large buckets, such as those of pictures with large flat areas, are not compared pair by pair. If their hashes are
close together, comparing a few of them with all others connects them; if not, the remaining bits are divided into
bands again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

# Rows of buckets up to the first size are compared side by side; of one up to the second, that is no heap, each with
# each; beyond, by bands of their other bits.
_LARGE_BUCKET, _HUGE_BUCKET = 256, 5000
_ROWS_AT_A_TIME = 64
# With so many bands there are too many pairs of them, and of so few rows single bands have small buckets.
_MANY_BANDS, _FEW_ROWS = 12, 200_000
_UNPACKED_AT_A_TIME = 2**18
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
    shared = 2 if distance + 2 < _MANY_BANDS and len(rows) > _FEW_ROWS else 1
    bands = [bits[start :: distance + shared] for start in range(distance + shared)]
    words = words[rows]
    keys = _keys(words, bands)
    for first in range(len(bands)):
        by_first = np.argsort(keys[first], kind="stable")
        for second in range(first + 1, len(bands)) if shared == 2 else [first]:
            order = by_first[np.argsort(keys[second][by_first], kind="stable")] if second != first else by_first
            both = [keys[band][order] for band in {first, second}]
            earlier = [keys[band] for band in range(second) if band != first]
            others = np.setdiff1d(bits, np.concatenate([bands[first], bands[second]]))
            for pairs in _pairs_in_buckets(words, order, both, others, distance):
                yield rows[_not_in(pairs, earlier)]


def _not_in(pairs: Ints, keys: Sequence[npt.NDArray[np.unsignedinteger]]) -> Ints:
    """The pairs that agree in none of these bands, so that their first two bands alone give them."""
    for key in keys:
        pairs = pairs[key[pairs[:, 0]] != key[pairs[:, 1]]]
    return pairs


def _pairs_in_buckets(
    words: Words, rows: Ints, keys: Sequence[npt.NDArray[np.unsignedinteger]], others: Ints, distance: int
) -> Iterator[Ints]:
    """Pairs of rows with the same keys, in whose order they are.

    Args:
        others: the bits that are not part of the keys.
    """
    goes_on = np.logical_and.reduce([key[1:] == key[:-1] for key in keys])
    in_bucket = (np.r_[goes_on, False] | np.r_[False, goes_on])[: len(rows)]
    starts = np.flatnonzero(np.r_[True, ~goes_on][: len(in_bucket)][in_bucket])
    rows = rows[in_bucket]
    sizes = np.diff(np.r_[starts, len(rows)])
    number, is_small = np.repeat(np.arange(len(sizes)), sizes), np.repeat(sizes <= _LARGE_BUCKET, sizes)
    yield from _pairs_step_by_step(words, rows[is_small], number[is_small], distance)
    for start, size in zip(starts[sizes > _LARGE_BUCKET], sizes[sizes > _LARGE_BUCKET], strict=True):
        bucket = rows[start : start + size]
        pairs, is_settled = _pairs_by_single_ones(words[bucket], distance)
        yield bucket[pairs]
        if not is_settled and size <= _HUGE_BUCKET:
            yield from (bucket[pairs] for pairs in _pairs_one_by_one(words[bucket], distance))
        elif not is_settled:
            yield from _pairs_by_bands(words, bucket, others, distance)


def _keys(words: Words, bands: Sequence[Ints]) -> list[npt.NDArray[np.unsignedinteger]]:
    """The bits of each band as one number a row; bands of up to 16 bits as the numbers that are sorted fastest."""
    kinds = [np.dtype(f"u{next(size for size in (2, 4, 8) if size * 8 >= len(band))}") for band in bands]
    keys = [np.zeros(len(words), kind) for kind in kinds]
    for start in range(0, len(words), _UNPACKED_AT_A_TIME):
        some = slice(start, start + _UNPACKED_AT_A_TIME)
        bits = np.unpackbits(words[some].view(np.uint8), axis=1)
        for key, kind, band in zip(keys, kinds, bands, strict=True):
            packed = np.zeros((len(bits), kind.itemsize), dtype=np.uint8)
            packed[:, : -(-len(band) // 8)] = np.packbits(np.take(bits, band, axis=1), axis=1)
            key[some] = packed.view(kind)[:, 0]
    return keys


def _pairs_step_by_step(words: Words, rows: Ints, keys: Ints, distance: int) -> Iterator[Ints]:
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
