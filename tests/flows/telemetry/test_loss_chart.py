"""The plot of a loss: numbered axes, a dark form, bounded in size."""

from __future__ import annotations

import re

from flows.telemetry.loss_chart import loss_chart


def points(chart: str) -> list[list[float]]:
    """The points of the line, in units of the SVG."""
    found = re.search('points="([^"]+)"', chart)
    assert found
    return [[float(number) for number in point.split(",")] for point in found[1].split()]


def test_both_axes_are_named_and_numbered() -> None:
    words = re.findall("<text[^>]*>([^<]+)</text>", loss_chart([10, 20, 30], [1.0, 0.5, 0.2]))
    assert [word for word in words if word in {"step", "loss"}] == ["step", "loss"]
    assert {"0", "10", "20", "30", "0.2", "1"} <= set(words)


def test_the_line_falls_as_the_loss_does_and_ends_at_the_last_step() -> None:
    (x, y), (end, low) = points(loss_chart([10, 20], [1.0, 0.5]))
    assert x < end
    assert y < low


def test_a_dark_page_gets_other_colours() -> None:
    assert "prefers-color-scheme:dark" in loss_chart([1], [0.3])


def test_a_long_training_has_a_bounded_plot_that_keeps_the_newest_point() -> None:
    steps = list(range(1, 100_001))
    chart = loss_chart(steps, [100_000.0 - step for step in steps])
    assert len(chart) < 10_000
    assert points(chart)[-1] == [464.0, 176.0]
