"""No interval and no verdict from fewer than 20 people, and a model that learned nothing is said to be one."""

from __future__ import annotations

from typing import Any

import pytest

from flows.reports.metric_text import comparison_words, figure_rows
from model.verification.claims import MANY_PEOPLE, interval, over_untrained, remarks, too_few, verdict

FEW = "evaluated on 19 people; intervals and comparisons need at least 20"


def report(auc: float, low: float, num_people: int) -> dict[str, Any]:
    return {"auc": auc, "auc_interval": [low, 1.0], "num_identities": num_people}


@pytest.mark.parametrize(("num_people", "words"), [(None, ""), (MANY_PEOPLE, ""), (1000, ""), (19, FEW)])
def test_the_sentence_is_the_same_everywhere(num_people: int | None, words: str) -> None:
    assert too_few(num_people) == words


def test_an_interval_is_shown_for_enough_people_only() -> None:
    assert interval([0.5, 0.75], 20) == "0.5000 to 0.7500"
    assert interval([0.5, 0.75], 19) == interval(None, 20) == ""


@pytest.mark.parametrize(
    ("bounds", "num_people", "words"),
    [
        ([0.03464, 0.03464], 2, "evaluated on 2 people; intervals and comparisons need at least 20"),
        ([0.1, 0.2], 19, FEW),
        ([0.1, 0.2], 20, "better"),
        ([-0.2, -0.1], 20, "worse"),
        ([-0.1, 0.1], 20, "not significant"),
    ],
)
def test_two_versions_are_told_apart_by_enough_people_only(bounds, num_people, words) -> None:
    auc = {"first": 0.5, "second": 0.6, "difference": 0.1, "interval": bounds}
    told = comparison_words({"test": "faces@v1", "num_people": num_people, "auc": auc})
    assert verdict(bounds, num_people) == words
    assert told.endswith(f": {words}")
    assert ("95%" in told) == (num_people >= MANY_PEOPLE)


@pytest.mark.parametrize(
    ("trained", "words"),
    [
        (report(0.5, 0.4, 100), "no better than untrained"),
        (report(0.6, 0.4, 5), "no better than untrained"),
        (report(0.6, 0.6, 19), "no better than untrained"),
        (report(0.9, 0.8, 19), ""),
        (report(0.9, 0.55, 100), "not significantly better than untrained"),
        (report(0.9, 0.8, 100), ""),
        ({"auc": 0.9}, ""),
        ({}, ""),
    ],
)
def test_a_model_no_better_than_the_untrained_network_is_said_to_be_one(trained, words) -> None:
    assert over_untrained(trained, {"auc": 0.6}) == words


@pytest.mark.parametrize(
    ("trained", "words"),
    [
        (report(0.6, 0.4, 19), ["no better than untrained", FEW]),
        (report(0.9, 0.55, 19), [FEW]),
        (report(0.9, 0.8, 20), []),
    ],
)
def test_a_small_test_is_said_beside_what_was_learned(trained, words) -> None:
    assert remarks(trained, {"auc": 0.6}) == words


def test_figures_of_few_people_stand_alone() -> None:
    figures = {**report(0.9, 0.8, 19), "tar_at_far": {"0.01": 0.5}, "tar_at_far_interval": {"0.01": [0.4, 0.6]}}
    assert [row[2] for row in figure_rows(figures)] == ["", ""]
    assert [row[2] for row in figure_rows({**figures, "num_identities": 20})] == [
        "0.8000 to 1.0000",
        "0.4000 to 0.6000",
    ]
