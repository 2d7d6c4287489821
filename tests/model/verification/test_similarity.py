import numpy as np

from model.verification.similarity import cosines, nearest_is_same


def test_rank_1_agrees_with_a_slow_loop():
    rng = np.random.default_rng(0)
    labels = np.array([0, 0, 0, 1, 1, 2, 2, 3])
    unit = rng.normal(size=(8, 3)).astype(np.float32)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    hits = []
    for face in range(7):  # the last is alone
        others = [other for other in range(8) if other != face]
        hits.append(labels[max(others, key=lambda other: unit[face] @ unit[other])] == labels[face])
    found = nearest_is_same(unit, labels)
    assert found[:7].tolist() == hits
    assert np.isnan(found[7])


def test_cosines_of_many_pairs_are_those_of_each_pair():
    rng = np.random.default_rng(0)
    unit = rng.normal(size=(50, 3)).astype(np.float32)
    left, right = rng.integers(50, size=(2, 70_000))
    assert np.allclose(cosines(unit, left, right), (unit[left] * unit[right]).sum(1), atol=1e-6)
    assert cosines(unit, left[:0], right[:0]).shape == (0,)
