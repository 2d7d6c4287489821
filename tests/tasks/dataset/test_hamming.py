from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.dataset import hamming as near
from tasks.dataset.hamming import connected, near_clusters

Hashes = npt.NDArray[np.uint8]


def flip(hashes: Hashes, num_bits: npt.NDArray[np.int64], rng: np.random.Generator) -> Hashes:
    """Each hash with so many of its bits the other way round."""
    flips = np.zeros((len(hashes), 128), dtype=np.uint8)
    for row, bits in enumerate(num_bits):
        flips[row, rng.choice(128, bits, replace=False)] = 1
    return hashes ^ np.packbits(flips, axis=1)


def one_by_one(hashes: Hashes, distance: int) -> list[int]:
    """What `near_clusters` should give, every pair compared."""
    words = hashes.view(np.uint64)
    apart = np.bitwise_count(words[:, None] ^ words[None]).sum(axis=2)
    return connected(len(hashes), np.argwhere(np.triu(apart <= distance, 1))).tolist()


def copies(rng: np.random.Generator, num: int = 1200) -> Hashes:
    """Hashes around 40 others, near and less near."""
    around = rng.integers(0, 256, (40, 16), dtype=np.uint8)[rng.integers(0, 40, num)]
    return flip(around, rng.integers(0, 8, num), rng)


def a_heap(rng: np.random.Generator, num: int = 1500, most: int = 4) -> Hashes:
    """Pictures that are nearly all of one colour: few bits are set."""
    return flip(np.zeros((num, 16), dtype=np.uint8), rng.integers(1, most + 1, num), rng)


def one_band_alike(rng: np.random.Generator, num: int = 1500) -> Hashes:
    """Equal in the first band of every distance up to 6 and of some beyond, and a few copies among them."""
    bits = rng.integers(0, 2, (num, 128), dtype=np.uint8)
    bits[:, ::7] = 0
    bits[num - 50 :] = bits[:50]
    return flip(np.packbits(bits, axis=1), np.r_[np.zeros(num - 50, np.int64), rng.integers(0, 8, 50)], rng)


def a_heap_among_others(rng: np.random.Generator) -> Hashes:
    """A heap, a second one that is not near it, and pictures of all kinds with the same flat half."""
    second = a_heap(rng, 400) ^ np.packbits(np.r_[np.zeros(64, np.uint8), np.ones(64, np.uint8)])
    mixed = rng.integers(0, 256, (700, 16), dtype=np.uint8) & np.packbits(
        np.r_[np.zeros(64), np.ones(64)].astype(np.uint8)
    )
    return rng.permutation(np.concatenate([a_heap(rng, 400), second, mixed]))


@pytest.mark.parametrize("sizes", [(256, 5000), (20, 60)])
@pytest.mark.parametrize("make", [copies, a_heap, one_band_alike, a_heap_among_others])
@pytest.mark.parametrize("distance", [0, 2, 6, 10])
def test_no_near_pair_is_missed_and_no_other_is_found(make, distance, sizes, monkeypatch):
    monkeypatch.setattr(near, "_LARGE_BUCKET", sizes[0])
    monkeypatch.setattr(near, "_HUGE_BUCKET", sizes[1])
    hashes = make(np.random.default_rng(distance))
    clusters = near_clusters(hashes, distance).tolist()

    assert clusters == one_by_one(hashes, distance)
    assert len(set(clusters)) < len(hashes)


def test_pairs_that_are_thinned_out_on_the_way_connect_the_same(monkeypatch):
    hashes = copies(np.random.default_rng(1))
    monkeypatch.setattr(near, "_MAX_PAIRS", 100)

    assert near_clusters(hashes, 6).tolist() == one_by_one(hashes, 6)


def test_clusters_do_not_hang_on_the_order():
    rng = np.random.default_rng(2)
    hashes = np.concatenate([copies(rng), a_heap(rng)])
    order = rng.permutation(len(hashes))
    straight, mixed = near_clusters(hashes, 6), near_clusters(hashes[order], 6)

    assert {frozenset(np.flatnonzero(straight == one).tolist()) for one in straight} == {
        frozenset(order[mixed == one].tolist()) for one in mixed
    }


def test_a_heap_of_near_copies_is_not_compared_pair_by_pair(monkeypatch):
    compared = 0
    count = near._num_differing

    def counting(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        nonlocal compared
        compared += len(left)
        return count(left, right)

    monkeypatch.setattr(near, "_num_differing", counting)
    heap = a_heap(np.random.default_rng(3), 20_000, most=3)

    assert not near_clusters(heap, 6).any()
    # Pair by pair it would be 10,000 a row and band.
    assert compared < 200 * len(heap)


@pytest.mark.parametrize("num", [0, 1])
def test_too_few_hashes_make_no_clusters(num):
    assert near_clusters(np.zeros((num, 16), np.uint8), 6).tolist() == list(range(num))


def test_equal_hashes_are_one_cluster():
    hashes = np.repeat(np.random.default_rng(4).integers(0, 256, (2, 16), dtype=np.uint8), [3, 2], axis=0)

    assert near_clusters(hashes[[0, 3, 1, 4, 2]], 0).tolist() == [0, 1, 0, 1, 0]


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 30).flatmap(lambda num: st.tuples(
    st.just(num), st.lists(st.tuples(st.integers(0, num - 1), st.integers(0, num - 1)), max_size=40))))  # fmt: skip
def test_connected_gives_the_smallest_member_of_each_component(graph):
    num, pairs = graph
    label = list(range(num))
    for _ in range(num):
        for one, other in pairs:
            label[one] = label[other] = min(label[one], label[other])

    assert connected(num, np.array(pairs, np.int64).reshape(-1, 2)).tolist() == label


def test_a_long_chain_is_one_component():
    order = np.random.default_rng(1).permutation(5000)

    assert not connected(5000, np.stack([order[:-1], order[1:]], axis=1)).any()
