"""A model's page says in sentences what its metrics say."""

from __future__ import annotations

from typing import Any

import pytest

from flows.reports.model_summary import Bin, calibration_bins, calibration_words, loss_words, summary

UNTRAINED = {"auc": 0.7}


def facts(auc: float, low: float, people: int = 40, **more: Any) -> dict[str, Any]:
    return {"auc": auc, "auc_interval": [low, 0.99], "num_identities": people, **more}


def told(figures: dict[str, Any], untrained: dict[str, Any] | None) -> str:
    return " ".join(summary(figures, untrained, [], []))


def test_better_than_untrained_needs_the_interval_to_lie_above():
    assert "Better than untrained beyond chance: ROC AUC 0.900 (0.800 to 0.990)" in told(facts(0.9, 0.8), UNTRAINED)
    assert "Not significantly better than untrained: ROC AUC" in told(facts(0.9, 0.65), UNTRAINED)
    assert "No better than untrained: ROC AUC 0.600" in told(facts(0.6, 0.5), UNTRAINED)


def test_few_people_give_no_verdict_and_no_interval():
    words = told(facts(0.9, 0.8, 7), UNTRAINED)
    assert "No verdict against the untrained network: ROC AUC 0.900 against 0.700; evaluated on 7 people;" in words
    assert "0.800" not in words


def test_another_test_is_not_compared_with_the_untrained_network():
    assert "untrained" not in told(facts(0.9, 0.8), None)


def test_people_who_were_trained_on_are_told():
    assert "By name, 1,200 of these people" in told(facts(0.9, 0.8, num_people_seen=1200), None)
    assert "unknown whether" in told(facts(0.9, 0.8, num_people_seen=None), None)


def bins(*shares: tuple[float, float, float]) -> list[Bin]:
    """(predicted, observed, half of the interval) of neighbouring bins."""
    return [
        Bin(place / 10, (place + 1) / 10, said, observed, 0.1, (observed - half, observed + half))
        for place, (said, observed, half) in enumerate(shares)
    ]


def test_neighbouring_bins_of_one_verdict_are_one_range():
    found = bins((0.05, 0.05, 0.1), (0.15, 0.3, 0.1), (0.25, 0.4, 0.1), (0.35, 0.1, 0.2), (0.45, 0.8, 0.1))
    words = calibration_words(found, 40)
    assert words == (
        "Its probabilities are too low between 0.1 and 0.3, too high between 0.3 and 0.4 and too low between 0.4 and "
        "0.5; elsewhere they agree with the test."
    )


@pytest.mark.parametrize("share", [(0.05, 0.05, 0.01), (0.05, 0.3, 0.4), (0.05, 0.09, 0.001)])
def test_a_probability_agrees_within_the_interval_or_nearly(share: tuple[float, float, float]):
    assert "agree with the test" in calibration_words(bins(share), 40)


def test_without_calibration_or_people_probabilities_are_not_judged():
    assert "no calibration" in calibration_words([], 40)
    assert "too few people" in calibration_words(bins((0.05, 0.9, 0.01)), 19)


def test_empty_bins_are_left_out_and_the_others_keep_their_interval():
    kept = {"said": [0.04, 1.0], "observed": [0.1, 0.9], "weight": [0.5, 0.5]}
    first, last = calibration_bins(kept, [(0.0, 0.2), *[None] * 8, (0.8, 1.0)])
    assert (first.low, first.high, first.interval) == (0.0, 0.1, (0.0, 0.2))
    assert (last.low, last.high, last.interval) == (0.9, 1.0, (0.8, 1.0))


def test_a_loss_falls_levels_off_or_does_not_fall():
    falling = [(step, 1 - step / 1000) for step in range(10, 501, 10)]
    assert loss_words(falling) == (
        "The loss fell from 0.990 at first to 0.545 in the last fifth of 500 steps; it was still falling at the end."
    )
    assert "had levelled off" in loss_words([(1, 2.0), (80, 1.0), (100, 1.0)])
    assert "did not fall" in loss_words([(1, 1.0), (80, 1.0), (100, 1.1)])
    assert loss_words([(1, 1.0)]) == ""
