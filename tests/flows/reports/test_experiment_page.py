"""The page of an experiment says which settings differ beyond chance."""

from __future__ import annotations

from typing import Any

import pytest

from flows.reports.experiment_page import scale, summary, write_experiment_page
from flows.reports.experiment_report import contrasts
from storage.files.lake import Lake
from tests.flows.reports.experiments import cell, difference, experiment
from tests.flows.reports.reader import Page, read_page

BBOX, MTCNN, WIDE = cell("bbox", 1, auc=0.8), cell("mtcnn", 1, auc=0.9), cell("mtcnn", 2, auc=0.89)
CLEAR = experiment([BBOX, MTCNN, WIDE], [difference(BBOX, MTCNN, 0.05), difference(MTCNN, WIDE, 0.05)])


@pytest.fixture
def lake(tmp_path) -> Lake:
    lake = Lake(tmp_path / "lake")
    lake.begin()
    return lake


def page_of(lake: Lake, result: dict[str, Any]) -> Page:
    return read_page(write_experiment_page(lake, lake.experiment("abc"), result).read_text())


def sentences(result: dict[str, Any]) -> str:
    return " ".join(summary(result, contrasts(result)))


def test_the_page_is_whole_and_names_cells_datasets_models_and_their_commands(lake):
    page = page_of(lake, CLEAR)
    assert {"summary", "differences", "metrics-on-the-common-test", "datasets", "models"} <= page.links
    for words in (
        "Experiment abc",
        "bbox, margin 1 0.500 0.400 to 0.600",
        "bbox, margin 1 mtcnn, margin 1 +0.100 +0.050 to +0.150 better",
        "mtcnn, margin 1 mtcnn, margin 2 -0.010 -0.060 to +0.040 not significant",
        "faces-bbox@0123456789abcdef not in this lake any more facemill report faces-bbox@0123456789abcdef",
        "mtcnn 2 0 experiment@mtcnn-2-0 facemill models report experiment@mtcnn-2-0",
    ):
        assert words in page.text, words
    assert page.num_pictures == 0
    assert page_of(lake, CLEAR).text == page.text


def test_pairs_that_differ_beyond_chance_are_told_first():
    words = sentences(CLEAR)
    assert "The highest ROC AUC on the common test is that of mtcnn, margin 1: 0.900 (0.850 to 0.950)." in words
    assert "mtcnn, margin 1 is better than bbox, margin 1 beyond chance" in words
    assert "1 other pair differs by no more than chance." in words


def test_the_worse_of_two_is_named_last():
    assert "mtcnn, margin 1 is better than bbox, margin 1" in sentences(
        experiment([MTCNN, BBOX], [difference(MTCNN, BBOX, 0.05)])
    )


def test_seeds_that_disagree_are_counted():
    pairs = [(cell("bbox", 1, seed, 0.8), cell("mtcnn", 1, seed, auc)) for seed, auc in ((0, 0.9), (1, 0.81), (2, 0.9))]
    found = experiment([one for pair in pairs for one in pair], [difference(*pair, half=0.05) for pair in pairs])
    words = "mtcnn, margin 1 against bbox, margin 1: better for 2 of 3 seeds, not significant for 1 of 3 seeds"
    assert words in sentences(found)


def test_nothing_beyond_chance_and_too_few_people_are_told_so():
    alike = experiment([BBOX, MTCNN], [difference(BBOX, MTCNN, 0.5)])
    assert "No two cells that differ in one setting differ beyond chance." in sentences(alike)
    few = [cell("bbox", 1, people=19), cell("mtcnn", 1, auc=0.9, people=19)]
    words = sentences(experiment(few, [difference(few[0], few[1], 0.01)], people=19))
    assert "No verdict: evaluated on 19 people" in words
    assert "beyond chance" not in words
    assert " to " not in words.split("No verdict")[0].replace("that of", "")


def test_without_a_common_test_the_page_shows_the_own_tests(lake):
    alone = {**experiment([{**BBOX, "common": None}]), "common_test": None}
    page = page_of(lake, alone)
    assert "Nothing can be compared: The datasets share too few test lines for a common test." in page.text
    assert "metrics-on-the-own-test-of-each" in page.links
    assert "differences" not in page.links


def test_a_scale_holds_all_intervals_and_knows_where_zero_is():
    found = scale([("a", [(0.1, (-0.1, 0.3))]), ("b", [(0.2, None)])], "+.3f")
    assert found is not None
    assert (found.low, found.high) == ("-0.1", "0.3")
    assert found.zero == pytest.approx(25)
    first, second = found.rows
    assert (first.left, first.width, first.at) == pytest.approx((0, 100, 50))
    assert (second.width, second.at) == pytest.approx((0, 75))
    assert second.words == "+0.200"
    assert scale([], ".3f") is None
