import numpy as np
import pytest

from model.training.sampler import PKSampler
from storage.errors import UsageError

LABELS = np.repeat(np.arange(10), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])


def test_a_batch_has_p_people_with_k_faces_beside_each_other():
    batch = LABELS[PKSampler(LABELS, 4, 3, seed=0).indices(5)].reshape(4, 3)
    assert (batch == batch[:, :1]).all()
    assert len(set(batch[:, 0])) == 4


def test_a_step_draws_the_same_batch_in_any_order_and_process():
    one, other = PKSampler(LABELS, 4, 3, seed=7), PKSampler(LABELS, 4, 3, seed=7)
    one.indices(0)
    assert np.array_equal(one.indices(3), other.indices(3))


def test_another_step_or_seed_draws_another_batch():
    sampler = PKSampler(LABELS, 4, 3, seed=7)
    assert not np.array_equal(sampler.indices(3), sampler.indices(4))
    assert not np.array_equal(sampler.indices(3), PKSampler(LABELS, 4, 3, seed=8).indices(3))


def test_no_face_comes_twice_where_there_are_enough():
    labels = np.repeat(np.arange(5), 6)
    rows = PKSampler(labels, 5, 6, seed=0).indices(0)
    assert sorted(rows) == list(range(30))


def test_a_person_of_one_face_is_never_drawn():
    sampler = PKSampler(LABELS, 9, 2, seed=0)
    assert all(0 not in LABELS[sampler.indices(step)] for step in range(50))


def test_p_and_k_come_down_to_what_there_is():
    sampler = PKSampler(LABELS, 64, 32, seed=0)
    assert (sampler.identities_per_batch, sampler.faces_per_identity) == (9, 10)
    assert len(sampler.indices(0)) == sampler.batch_size == 90


def test_too_few_people_are_refused_with_what_there_is_and_what_is_needed():
    with pytest.raises(UsageError, match=r"at least 2 train identities .* has 2 identities, 1 of them"):
        PKSampler(np.array([0, 1, 1]), 8, 4, seed=0)
