"""Resampling people, against a loop that resamples them by hand."""

import numpy as np
import pytest

from stats.bootstrap import grid, identity_weights, interval, mean_interval, resampled
from stats.roc import auc, roc
from tests.stats.drawn_pairs import drawn_pairs


def test_resampled_curves_agree_with_a_loop_over_all_pairs():
    pairs, weights = drawn_pairs(), identity_weights(12, rounds=20, seed=3)
    curve = roc(pairs.scores, pairs.same)
    found = resampled(pairs, curve.thresholds, weights)
    for number in range(20):
        drawn = weights[:, number].astype(float)
        each = np.where(pairs.same, drawn[pairs.left], drawn[pairs.left] * drawn[pairs.right])
        for place, threshold in enumerate(curve.thresholds):
            accepted = pairs.scores >= threshold
            for rates, kind in ((found.tar, pairs.same), (found.far, ~pairs.same)):
                assert rates[number, place] == pytest.approx(each[accepted & kind].sum() / each[kind].sum())


def test_pairs_each_drawn_once_give_the_figures_of_all_pairs():
    pairs = drawn_pairs(faces=30)
    curve = roc(pairs.scores, pairs.same)
    found = resampled(pairs, grid(curve), np.ones((12, 1), np.uint8))
    assert auc(found)[0] == pytest.approx(float(auc(curve)), abs=1e-5)


def test_rounds_without_a_kind_of_pairs_are_left_out():
    pairs = drawn_pairs(people=2)
    weights = np.array([[1, 2, 0], [1, 0, 2]], np.uint8)  # the last two draw one person only
    assert len(resampled(pairs, grid(roc(pairs.scores, pairs.same)), weights).far) == 1


def test_the_interval_covers_what_other_people_give():
    """Of 60 tests with 20 people each, about 95% of the intervals hold the AUC of many people."""
    truth = float(auc(roc((many := drawn_pairs(people=300, seed=99)).scores, many.same)))
    covered = []
    for seed in range(60):
        pairs = drawn_pairs(people=20, seed=seed)
        rounds = resampled(pairs, grid(roc(pairs.scores, pairs.same)), identity_weights(20, rounds=200, seed=seed))
        low, high = interval(auc(rounds))
        covered.append(low <= truth <= high)
    assert 0.85 <= np.mean(covered) <= 1


def test_weights_repeat_with_their_seed_and_draw_as_many_people_as_there_are():
    weights = identity_weights(50, rounds=100, seed=1)
    assert (weights.sum(0) == 50).all()
    assert np.array_equal(weights, identity_weights(50, rounds=100, seed=1))
    assert not np.array_equal(weights, identity_weights(50, rounds=100, seed=2))


def test_the_interval_of_a_mean_leaves_out_what_is_not_known():
    values, labels = np.array([1.0, 1.0, np.nan, 0.0]), np.array([0, 0, 1, 2])
    weights = np.array([[1, 2, 0], [0, 0, 3], [2, 1, 0]], np.uint8)
    assert mean_interval(values, labels, weights) == pytest.approx(tuple(np.quantile([0.5, 0.8], [0.025, 0.975])))
