"""Each figure against a slow loop or a case worked out by hand."""

import numpy as np
import pytest

from model import verification


@pytest.fixture(params=[0, 1, 2])
def scored(request):
    """Scores with many ties, and which pairs are genuine."""
    rng = np.random.default_rng(request.param)
    same = rng.random(80) < 0.3
    return np.round(rng.normal(size=80) + same, 1), same


def rates(scores, same, threshold):
    accepted = scores >= threshold
    return accepted[~same].mean(), accepted[same].mean()


def test_auc_agrees_with_a_loop_over_all_pairs_of_pairs(scored):
    scores, same = scored
    wins = [1.0 if g > i else 0.5 if g == i else 0.0 for g in scores[same] for i in scores[~same]]
    assert verification.auc(scores, same) == pytest.approx(np.mean(wins))


def test_roc_agrees_with_a_loop_over_thresholds(scored):
    scores, same = scored
    far, tar, thresholds = verification.roc(scores, same)
    assert thresholds.tolist() == sorted(set(scores.tolist()), reverse=True)
    for row in zip(far, tar, thresholds, strict=True):
        assert row[:2] == pytest.approx(rates(scores, same, row[2]))


def test_eer_is_between_the_nearest_operating_points(scored):
    scores, same = scored
    points = [rates(scores, same, threshold) for threshold in sorted(set(scores))]
    low = max(min(far, 1 - tar) for far, tar in points)
    high = min(max(far, 1 - tar) for far, tar in points)
    assert low <= verification.equal_error_rate(scores, same) <= high


def test_perfect_scores_give_perfect_figures():
    scores, same = np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, False, True, True])
    assert verification.auc(scores, same) == 1
    assert verification.equal_error_rate(scores, same) == 0
    assert verification.best_threshold(scores, same) == pytest.approx(0.5)
    assert verification.balanced_accuracy(scores, same, 0.5) == 1


def test_best_threshold_beats_every_other(scored):
    scores, same = scored
    best = verification.balanced_accuracy(scores, same, verification.best_threshold(scores, same))
    assert best == pytest.approx(max(verification.balanced_accuracy(scores, same, one) for one in scores))


def test_tar_at_far_is_the_best_that_keeps_the_far():
    rng = np.random.default_rng(0)
    scores, same = np.concatenate([rng.normal(size=3000), rng.normal(2, 1, 500)]), np.arange(3500) >= 3000
    expected = max(tar for far, tar in (rates(scores, same, one) for one in scores) if far <= 0.01)
    assert verification.tar_at_far(scores, same, 0.01) == pytest.approx(expected)


def test_no_tar_is_given_below_thirty_expected_false_accepts():
    scores, same = np.linspace(0, 1, 4000), np.arange(4000) >= 2999
    assert verification.tar_at_far(scores, same, 0.01) is None


def test_folded_accuracy_never_tunes_on_what_it_judges():
    rng = np.random.default_rng(0)
    same = rng.random(300) < 0.5
    assert abs(verification.folded_accuracy(rng.normal(size=300), same) - 0.5) < 0.1
    assert verification.folded_accuracy(rng.normal(size=300) + 10 * same, same) == pytest.approx(1, abs=0.01)


def test_folds_come_down_to_the_pairs_there_are():
    scores = np.array([0.9, 0.8, 0.3, 0.2, 0.1])
    assert verification.folded_accuracy(scores, scores > 0.7) == 1
    assert verification.folded_accuracy(scores, scores > 0.85) == 1


def test_rank_1_agrees_with_a_slow_loop():
    rng = np.random.default_rng(0)
    labels = np.array([0, 0, 0, 1, 1, 2, 2, 3])
    unit = rng.normal(size=(8, 3)).astype(np.float32)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    hits = []
    for face in range(7):  # the last is alone
        others = [other for other in range(8) if other != face]
        hits.append(labels[max(others, key=lambda other: unit[face] @ unit[other])] == labels[face])
    assert verification.rank_1(unit, labels) == pytest.approx(np.mean(hits))


def test_the_interval_holds_the_auc_and_repeats_with_its_seed():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(12), 4)
    left, right = np.triu_indices(48, 1)
    same = labels[left] == labels[right]
    scores = rng.normal(size=len(left)) + same
    low, high = verification.bootstrap_auc(scores, same, labels[left], labels[right], seed=1)
    assert low < verification.auc(scores, same) < high
    assert (low, high) == verification.bootstrap_auc(scores, same, labels[left], labels[right], seed=1)
