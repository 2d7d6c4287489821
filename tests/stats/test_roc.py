"""Each figure against a slow loop or a case worked out by hand."""

import numpy as np
import pytest

from stats import roc as curves


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
    assert curves.auc(curves.roc(scores, same)) == pytest.approx(np.mean(wins))


def test_roc_agrees_with_a_loop_over_thresholds(scored):
    scores, same = scored
    curve = curves.roc(scores, same)
    assert curve.thresholds.tolist() == sorted(set(scores.tolist()), reverse=True)
    for far, tar, threshold in zip(curve.far, curve.tar, curve.thresholds, strict=True):
        assert (far, tar) == pytest.approx(rates(scores, same, threshold))


def test_a_curve_tells_the_rates_of_any_threshold(scored):
    scores, same = scored
    curve = curves.roc(scores, same)
    for threshold in (scores.max() + 1, *scores, *(scores + 0.05), scores.min() - 1):
        assert curve.at(threshold) == pytest.approx(rates(scores, same, threshold))


def test_a_thinned_curve_keeps_its_ends_and_its_area():
    rng = np.random.default_rng(0)
    same = np.arange(20_000) < 2000
    curve = curves.roc(rng.normal(size=20_000) + 2 * same, same)
    thinned = curves.thin(curve, 300)
    assert len(thinned.far) <= 301
    assert (thinned.far[-1], thinned.tar[-1]) == (1, 1)
    assert np.isin(thinned.thresholds, curve.thresholds).all()
    assert curves.auc(thinned) == pytest.approx(curves.auc(curve), abs=1e-4)
    assert (thinned.far < 1e-3).sum() > 10


def test_eer_is_between_the_nearest_operating_points(scored):
    scores, same = scored
    points = [rates(scores, same, threshold) for threshold in sorted(set(scores))]
    low = max(min(far, 1 - tar) for far, tar in points)
    high = min(max(far, 1 - tar) for far, tar in points)
    assert low <= curves.equal_error_rate(curves.roc(scores, same)) <= high


def test_perfect_scores_give_perfect_figures():
    scores, same = np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, False, True, True])
    assert curves.auc(curves.roc(scores, same)) == 1
    assert curves.equal_error_rate(curves.roc(scores, same)) == 0
    assert curves.best_threshold(curves.roc(scores, same)) == pytest.approx(0.5)
    assert curves.balanced_accuracy(scores, same, 0.5) == 1


def test_best_threshold_beats_every_other(scored):
    scores, same = scored
    best = curves.balanced_accuracy(scores, same, curves.best_threshold(curves.roc(scores, same)))
    assert best == pytest.approx(max(curves.balanced_accuracy(scores, same, one) for one in scores))


def test_tar_at_far_is_the_best_that_keeps_the_far():
    rng = np.random.default_rng(0)
    scores, same = np.concatenate([rng.normal(size=3000), rng.normal(2, 1, 500)]), np.arange(3500) >= 3000
    expected = max(tar for far, tar in (rates(scores, same, one) for one in scores) if far <= 0.01)
    assert curves.tar_at_far(curves.roc(scores, same), 0.01) == pytest.approx(expected)


def test_the_threshold_of_a_far_is_the_lowest_that_keeps_it(scored):
    scores, same = scored
    threshold = curves.threshold_at_far(curves.roc(scores, same), 0.1)
    assert rates(scores, same, threshold)[0] <= 0.1
    assert all(rates(scores, same, lower)[0] > 0.1 for lower in set(scores) if lower < threshold)


def test_a_far_that_no_score_keeps_puts_the_threshold_above_all_scores():
    scores, same = np.array([0.9, 0.8, 0.1]), np.array([False, True, False])
    assert curves.threshold_at_far(curves.roc(scores, same), 0.1) > 0.9


def test_a_far_is_told_from_thirty_expected_false_accepts_on():
    assert curves.has_enough_impostors(0.01, 3000)
    assert not curves.has_enough_impostors(0.01, 2999)


def test_thresholds_from_other_folds_never_tune_on_what_they_judge():
    rng = np.random.default_rng(0)
    same = rng.random(300) < 0.5
    fold = curves.drawn_folds(same)
    for scores, expected, within in ((rng.normal(size=300), 0.5, 0.1), (rng.normal(size=300) + 10 * same, 1, 0.01)):
        thresholds = curves.cross_validated_thresholds(scores, same, fold)
        assert curves.balanced_accuracy(scores, same, thresholds) == pytest.approx(expected, abs=within)
        assert len(set(thresholds[fold == 3])) == 1


def test_folds_come_down_to_the_pairs_there_are():
    assert set(curves.drawn_folds(np.array([True, True, False, False, False]))) == {0, 1}
    assert set(curves.drawn_folds(np.array([True, False, False, False, False]))) == {0}
