"""Where things lie in a chart, and that what it says is escaped."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from flows.reports.charts import BLUE, ORANGE, Axis, Chart, nice_axis

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
    chart.line([1e-9, 0.01, 0.1, 1.0], [0.0, 0.0, 0.5, 1.0], BLUE)
    below, first, middle, last = points(drawn(chart), "polyline")
    assert below == first
    assert middle == pytest.approx(((first[0] + last[0]) / 2, (first[1] + last[1]) / 2), abs=0.1)
    assert first[0] < last[0]
    assert first[1] > last[1]


def test_a_histogram_is_as_high_as_its_shares() -> None:
    chart = Chart("distances", SHARE, SHARE)
    chart.shares([0, 0.5, 1], [0.25, 0.75], ORANGE, "impostor pairs")
    downs = [down for _, down in points(drawn(chart), "polygon")]
    floor = max(downs)
    assert (floor - downs[1]) * 3 == pytest.approx(floor - downs[3], abs=0.5)
    assert "impostor pairs" in chart.html()


def test_words_are_escaped() -> None:
    chart = Chart("a < b & c", Axis("<x>", 0.0, 1.0, []), SHARE)
    chart.mark(0.5, "<here>")
    assert "<x>" not in chart.html()
    assert {"a < b & c", "<x>", "<here>"} <= {element.text for element in drawn(chart).iter()}


@pytest.mark.parametrize(
    ("highest", "ticks"),
    [
        (60, [0, 20, 40, 60]),
        (0.044, [0, 0.01, 0.02, 0.03, 0.04, 0.05]),
        (1.0, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
    ],
)
def test_ticks_are_round_and_reach_beyond_the_highest_value(highest: float, ticks: list[float]) -> None:
    axis = nice_axis("loss", [0.0, highest])
    assert list(axis.ticks) == pytest.approx(ticks)
    assert axis.high >= highest
