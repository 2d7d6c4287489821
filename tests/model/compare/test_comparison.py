"""Two models on one test."""

import numpy as np
import pytest

from model.compare.comparison import paired_difference
from stats.roc import Scored
from storage.errors import UsageError
from tests.stats.drawn_pairs import drawn_pairs


def test_equal_models_do_not_differ():
    pairs = drawn_pairs()
    found = paired_difference(pairs, pairs)
    assert found.difference == 0
    assert found.interval == (0, 0)


def test_a_clearly_better_model_is_told_apart_where_both_intervals_overlap():
    pairs = drawn_pairs(people=40)
    better = Scored(pairs.scores + 0.3 * pairs.same, pairs.left, pairs.right)
    found = paired_difference(pairs, better)
    assert found.interval[0] > 0
    assert found.interval[0] < found.difference < found.interval[1]
    reversed_ = paired_difference(better, pairs)
    assert reversed_.interval[1] < 0


def test_noise_is_not_called_better():
    pairs = drawn_pairs(people=15)
    rng = np.random.default_rng(0)
    noisy = Scored(pairs.scores + rng.normal(0, 0.1, len(pairs.scores)), pairs.left, pairs.right)
    assert paired_difference(pairs, noisy).interval[0] <= 0


def test_models_judged_on_different_pairs_are_not_compared():
    with pytest.raises(UsageError, match="evaluate both on one test"):
        paired_difference(drawn_pairs(people=5), drawn_pairs(people=6))
