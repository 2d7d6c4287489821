import numpy as np
import pytest

from model.verification.pairs import check_pairs, frozen_triplets, verification_pairs
from storage.errors import UsageError

# Not in blocks: faces of one person need not be neighbours.
LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(20), np.arange(1, 21)))


def test_few_faces_give_every_pair_once():
    pairs = verification_pairs(LABELS)
    assert len(set(zip(pairs.left, pairs.right, strict=True))) == len(pairs.left) == 210 * 209 // 2
    assert np.array_equal(pairs.same, LABELS[pairs.left] == LABELS[pairs.right])


def test_beyond_the_cap_all_genuine_pairs_stay_and_impostors_fill_up():
    pairs = verification_pairs(LABELS, cap=5000)
    assert len(pairs.left) == 5000
    assert pairs.same.sum() == sum(n * (n - 1) // 2 for n in range(1, 21))
    assert np.array_equal(pairs.same, LABELS[pairs.left] == LABELS[pairs.right])


def test_genuine_pairs_are_at_most_half_of_the_cap():
    assert verification_pairs(LABELS, cap=1000).same.sum() == 500


def test_equal_seeds_give_equal_pairs():
    one, again, other = (verification_pairs(LABELS, cap=1000, seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(one.left, again.left)
    assert not np.array_equal(one.left, other.left)


def test_a_triplet_is_two_faces_of_one_person_and_one_of_another():
    anchor, positive, negative = frozen_triplets(LABELS).T
    assert (anchor != positive).all()
    assert (LABELS[anchor] == LABELS[positive]).all()
    assert (LABELS[anchor] != LABELS[negative]).all()
    assert set(negative) == set(range(210))


@pytest.mark.parametrize("labels", [[], [0, 0, 0], [0, 1, 2]])
def test_a_split_without_both_kinds_of_pairs_is_refused(labels):
    with pytest.raises(UsageError, match="the test split needs at least 2 identities"):
        check_pairs(np.array(labels, dtype=np.int64), "test")
