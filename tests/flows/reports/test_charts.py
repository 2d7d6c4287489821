"""Where things lie in a chart, and that what it says is escaped."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from flows.reports.charts import Axis, Chart, Colour, histogram, nice_axis, round_step
from tests.flows.reports.reader import read_page

SHARE = Axis("share", 0.0, 1.0, [0, 0.5, 1])


def drawn(chart: Chart) -> ElementTree.Element:
    """The SVG of a chart; that it parses shows that it is well formed."""
    found = re.search(r"<svg.*</svg>", chart.html(), re.DOTALL)
    assert found
    return ElementTree.fromstring(found[0])  # noqa: S314 - of our own making


def points(drawing: ElementTree.Element, tag: str) -> list[tuple[float, ...]]:
    element = drawing.find(tag)
    assert element is not None
    return [tuple(map(float, pair.split(","))) for pair in element.attrib["points"].split()]


def test_a_line_goes_from_corner_to_corner_and_a_decade_is_as_wide_as_another() -> None:
    chart = Chart("rates", Axis("FAR", 1e-2, 1.0, [0.01, 0.1, 1], is_log=True), SHARE)
    chart.line([1e-9, 0.01, 0.1, 1.0], [0.0, 0.0, 0.5, 1.0], Colour.BLUE)
    below, first, middle, last = points(drawn(chart), "polyline")
    assert below == first
    assert middle == pytest.approx(((first[0] + last[0]) / 2, (first[1] + last[1]) / 2), abs=0.1)
    assert first[0] < last[0]
    assert first[1] > last[1]


def test_a_histogram_is_as_high_as_its_shares() -> None:
    chart = Chart("distances", SHARE, SHARE)
    chart.shares([0, 0.5, 1], [0.25, 0.75], Colour.ORANGE, "impostor pairs")
    downs = [down for _, down in points(drawn(chart), "polygon")]
    floor = max(downs)
    assert (floor - downs[1]) * 3 == pytest.approx(floor - downs[3], abs=0.5)
    assert "impostor pairs" in chart.html()


def test_words_are_escaped() -> None:
    chart = Chart("a < b & c", Axis("<x>", 0.0, 1.0, []), SHARE)
    chart.mark(0.5, "<here>")
    assert "<x>" not in chart.html()
    text = read_page(chart.html()).text
    assert all(words in text for words in ("a < b & c", "<x>", "<here>"))
    assert drawn(chart).attrib["aria-label"] == "a < b & c"


def test_labels_are_beside_the_drawing_which_is_stretched() -> None:
    chart = Chart("rates", nice_axis("steps", [0, 300]), nice_axis("loss", [0.9, 0.97], from_zero=False))
    assert not list(drawn(chart).iter("text"))
    assert drawn(chart).attrib["preserveAspectRatio"] == "none"
    assert read_page(chart.html()).text == "rates loss 0.90 0.92 0.94 0.96 0.98 0 100 200 300 steps"


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([0, 60], [0, 20, 40, 60]),
        ([0, 0.044], [0, 0.01, 0.02, 0.03, 0.04, 0.05]),
        ([0, 1.0], [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        ([0, 0], [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        ([-3, 8], [-5, 0, 5, 10]),
        ([], [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
    ],
)
def test_ticks_are_round_and_hold_all_values(values: list[float], ticks: list[float]) -> None:
    axis = nice_axis("loss", values)
    assert list(axis.ticks) == pytest.approx(ticks)
    assert (axis.low, axis.high) == (axis.ticks[0], axis.ticks[-1])


def test_an_axis_without_zero_fits_its_values() -> None:
    axis = nice_axis("TAR", [0.912, 0.997], from_zero=False)
    assert list(axis.ticks) == pytest.approx([0.90, 0.92, 0.94, 0.96, 0.98, 1.0])
    assert axis.labels() == ["0.90", "0.92", "0.94", "0.96", "0.98", "1.00"]


def test_a_step_is_the_smallest_round_one_that_covers_the_span() -> None:
    assert [round_step(span, 5) for span in (5, 5.1, 11, 26)] == pytest.approx([1, 2, 5, 10])


def bars(chart: Chart) -> list[str]:
    return [title.text or "" for title in drawn(chart).iter("title")]


def test_a_histogram_counts_every_value_once_also_at_its_ends() -> None:
    assert bars(histogram([0.0, 0.049, 0.5, 1.0], "shares")) == [
        "0.00 to 0.05: 2",
        "0.50 to 0.55: 1",
        "0.95 to 1.00: 1",
    ]


def test_a_histogram_ends_where_its_values_end() -> None:
    found = bars(histogram([43.5, 120.0, 181.0], "size", low=0.0, high=500.0))
    assert found == ["40 to 50: 1", "120 to 130: 1", "180 to 190: 1"]


def test_values_beyond_a_limit_count_in_the_outer_bins_and_are_told() -> None:
    chart = histogram([-100.0, -90.0, 0.0, 90.0, 500.0], "degrees", low=-90.0, high=90.0, num_bins=4)
    assert bars(chart) == ["-100 to -50: 2", "0 to 50: 1", "50 to 100: 2"]
    assert chart.x.name == "first bar with 1 below -90, last bar with 1 above 90"


def test_whole_numbers_have_bins_of_whole_width_and_the_highest_a_bin_of_its_own() -> None:
    assert bars(histogram([2, 3, 3, 5], "faces per person")) == ["2 to 3: 1", "3 to 4: 2", "5 to 6: 1"]


@pytest.mark.parametrize(
    ("values", "words"),
    [([], "No values."), ([1.0] * 1200, "All 1,200 values are 1."), ([0.25], "All 1 values are 0.25.")],
)
def test_without_different_values_there_is_a_sentence_and_no_drawing(values: list[float], words: str) -> None:
    html = histogram(values, "score").html()
    assert words in html
    assert "<svg" not in html
