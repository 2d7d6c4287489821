import numpy as np
import pytest

from stats.bootstrap import identity_weights
from stats.calibration import Calibration, fit_calibration, observed_intervals, reliability
from stats.roc import Scored


def scored(num_genuine: int, num_impostor: int, seed: int = 0):
    """Two normal distributions of one width: the true log odds are then a line, 2 x for these."""
    rng = np.random.default_rng(seed)
    same = np.arange(num_genuine + num_impostor) < num_genuine
    return rng.normal(np.where(same, 1.0, -1.0), 1.0), same


def test_the_true_curve_is_found_whatever_the_share_of_impostors():
    for num_impostor in (20_000, 200_000):
        found = fit_calibration(*scored(20_000, num_impostor))
        assert found.slope == pytest.approx(2, abs=0.06)
        assert found.offset == pytest.approx(0, abs=0.06)


def test_probabilities_rise_from_nought_to_one_and_do_not_overflow():
    said = Calibration(10.0, -2.0).probability(np.array([-1e6, -1, 0.2, 1, 1e6]))
    assert said.tolist() == sorted(said.tolist())
    assert (said[0], said[2], said[-1]) == (0, 0.5, 1)


def test_scores_that_tell_all_pairs_apart_give_a_finite_curve():
    found = fit_calibration(np.array([0.9, 0.8, 0.1, 0.2, 0.0]), np.array([True, True, False, False, False]))
    assert 0 < found.slope < 1e3
    assert found.probability(0.85) > 0.7
    assert found.probability(0.1) < 0.3


def test_scores_that_tell_nothing_say_half():
    rng = np.random.default_rng(0)
    found = fit_calibration(rng.normal(size=4000), np.arange(4000) < 1000)
    assert found.probability(0.0) == pytest.approx(0.5, abs=0.02)
    assert found.slope == pytest.approx(0, abs=0.1)


def test_brier_and_expected_error_of_hand_made_cases():
    same = np.array([True, False, False, False])
    ignorant = reliability(Calibration(0.0, 0.0), np.zeros(4), same)
    assert (ignorant.brier, ignorant.expected_error) == pytest.approx((0.25, 0))
    assert [*ignorant.said, *ignorant.observed, *ignorant.weight] == pytest.approx([0.5, 0.5, 1.0])
    certain = reliability(Calibration(1e6, 0.0), np.array([1.0, -1, -1, 1]), same)
    assert certain.brier == pytest.approx(1 / 6)  # one of three impostors is believed: 0.5 * 1/3
    assert sum(certain.weight) == pytest.approx(1)


def test_a_fitted_curve_is_believed_on_other_pairs_and_an_overconfident_one_is_not():
    found = fit_calibration(*scored(5000, 50_000))
    others = scored(5000, 50_000, seed=1)
    assert reliability(found, *others).expected_error < 0.01
    assert reliability(Calibration(5 * found.slope, found.offset), *others).expected_error > 0.03


def pairs_of_people(num_people: int, seed: int = 0) -> Scored:
    """All pairs of four faces a person, with scores whose true log odds are 2 x."""
    labels = np.repeat(np.arange(num_people), 4)
    left, right = np.triu_indices(len(labels), 1)
    rng = np.random.default_rng(seed)
    same = labels[left] == labels[right]
    return Scored(rng.normal(np.where(same, 1.0, -1.0), 1.0), labels[left], labels[right])


def test_intervals_of_bins_hold_the_true_share_and_the_observed_one():
    pairs, calibration = pairs_of_people(40), Calibration(2.0, 0.0)
    found = observed_intervals(calibration, pairs, identity_weights(40))
    kept = reliability(calibration, pairs.scores, pairs.same)
    assert len(found) == len(kept.observed) == 10
    for bounds, said, observed in zip(found, kept.said, kept.observed, strict=True):
        assert bounds is not None
        low, high = bounds
        assert low < observed < high
        assert low - 0.05 < said < high + 0.05


def test_a_bin_without_pairs_and_a_curve_that_falls_have_no_intervals():
    pairs = Scored(
        np.array([9.0, 8.0, -9.0, -8.0, -7.0, -6.0]), np.array([0, 1, 0, 0, 0, 0]), np.array([0, 1, 1, 1, 1, 1])
    )
    found = observed_intervals(Calibration(2.0, 0.0), pairs, identity_weights(2))
    assert found[1:-1] == [None] * 8
    assert found[-1] == (1.0, 1.0)
    assert observed_intervals(Calibration(-2.0, 0.0), pairs, identity_weights(2)) == [None] * 10
