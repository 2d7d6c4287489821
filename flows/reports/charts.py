"""SVG charts of pages: lines, bands, histograms and marks over two axes. Their SVG is in `templates/chart.html`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isclose, log10
from typing import Any, NamedTuple

import numpy as np

from flows.reports.page import macros

# Distinguishable in light and dark mode, and with red-green colour blindness.
BLUE, ORANGE, GREEN, GREY = "#4c86d0", "#d08a2e", "#3f9a68", "#8e98a6"


class Frame(NamedTuple):
    """The size of a chart and of the margins around its axes, in SVG units."""

    width: int
    height: int = 320
    left: int = 68
    right: int = 12
    top: int = 14
    bottom: int = 44
    has_grid: bool = True

    @property
    def end(self) -> int:
        """The right end of the x axis."""
        return self.width - self.right

    @property
    def floor(self) -> int:
        """The low end of the y axis."""
        return self.height - self.bottom


# A full-width chart and one of two side by side have text of the same size.
FULL, HALF, _HISTOGRAM = Frame(960), Frame(460), Frame(560, 152, 20, 20, 20, 22, has_grid=False)


@dataclass(frozen=True)
class Axis:
    """One axis: name, range and tick values."""

    name: str
    low: float
    high: float
    ticks: Sequence[float]
    is_log: bool = False

    def share(self, value: float) -> float:
        """The position of a value on the axis, clipped to 0 to 1."""
        value = min(max(value, self.low), self.high)
        if self.is_log:
            return (log10(value) - log10(self.low)) / (log10(self.high) - log10(self.low))
        return (value - self.low) / (self.high - self.low)


class Chart:
    """A chart. Each method call draws on top of the earlier ones.

    Attributes:
        shapes: the SVG of what has been drawn.
        key: (name, colour) of the named parts.
    """

    def __init__(self, title: str, x: Axis, y: Axis, frame: Frame = FULL) -> None:
        self.title, self.x, self.y, self.frame = title, x, y, frame
        self.shapes: list[str] = []
        self.key: list[tuple[str, str]] = []
        self._svg: Any = macros("chart.html")

    def line(
        self, xs: Sequence[float], ys: Sequence[float], colour: str, name: str = "", *, dashed: bool = False
    ) -> None:
        """Draw a line through points."""
        self._draw(self._svg.line(self._points(xs, ys), colour, dashed), colour, name)

    def band(self, xs: Sequence[float], lows: Sequence[float], highs: Sequence[float], colour: str) -> None:
        """Fill the area between two lines."""
        self._draw(self._svg.band(f"{self._points(xs, highs)} {self._points(xs[::-1], lows[::-1])}", colour))

    def shares(self, edges: Sequence[float], heights: Sequence[float], colour: str, name: str) -> None:
        """Draw a histogram as an area; there is one more edge than heights."""
        xs = [edge for edge in edges for _ in range(2)]
        ys = [0.0, *(height for height in heights for _ in range(2)), 0.0]
        self._draw(self._svg.shares(self._points(xs, ys), colour), colour, name)

    def bars(self, edges: Sequence[float], counts: Sequence[int]) -> None:
        """Draw a histogram as bars with their counts above them; there is one more edge than counts."""
        digits = 2 if edges[1] - edges[0] < 1 else 0
        for low, high, num in zip(edges[:-1], edges[1:], counts, strict=True):
            left, top = self._across(low), self._down(num)
            size, words = (self._across(high) - left, self.frame.floor - top), f"{low:.{digits}f} to {high:.{digits}f}"
            if num:
                self._draw(self._svg.bar(left, top, *size, _short(num), f"{words}: {num:,}"))

    def dots(self, xs: Sequence[float], ys: Sequence[float], colour: str, name: str, titles: Sequence[str]) -> None:
        """Draw points, each with a tooltip."""
        for x, y, title in zip(xs, ys, titles, strict=True):
            self._draw(self._svg.dot(self._across(x), self._down(y), colour, title))
        self.key.append((name, colour))

    def mark(self, x: float, words: str, row: int = 0) -> None:
        """Draw a vertical line with a label at its top; `row` lowers the label below those of other marks."""
        self._draw(self._svg.mark(self._across(x), row, words, self.frame))

    def html(self) -> str:
        """The chart as a card, with a legend if it has named parts."""
        html: str = self._svg.chart(self)
        return html

    def x_ticks(self) -> list[tuple[float, str]]:
        """Places of the ticks of the x axis, and their numbers."""
        return [(self._across(at), _number(at)) for at in self.x.ticks]

    def y_ticks(self) -> list[tuple[float, str]]:
        """Places of the ticks of the y axis, and their numbers."""
        return [(self._down(at), _number(at)) for at in self.y.ticks]

    def _draw(self, shape: str, colour: str = "", name: str = "") -> None:
        self.shapes.append(shape)
        if name:
            self.key.append((name, colour))

    def _across(self, x: float) -> float:
        return self.frame.left + self.x.share(x) * (self.frame.end - self.frame.left)

    def _down(self, y: float) -> float:
        return self.frame.floor - self.y.share(y) * (self.frame.floor - self.frame.top)

    def _points(self, xs: Sequence[float], ys: Sequence[float]) -> str:
        return " ".join(f"{self._across(x):.1f},{self._down(y):.1f}" for x, y in zip(xs, ys, strict=True))


def histogram(values: Sequence[float], title: str, *, low: float = 0.0, high: float = 1.0, num_bins: int = 20) -> Chart:
    """A histogram from `low` to `high`; the outer bins include values beyond."""
    places = ((np.asarray(values, float) - low) / (high - low) * num_bins).clip(0, num_bins - 1).astype(int)
    counts = np.bincount(places, minlength=num_bins).tolist()
    ticks = [low + (high - low) * at / 5 for at in range(6)]
    chart = Chart(title, Axis("", low, high, ticks), Axis("", 0, max(*counts, 1), []), _HISTOGRAM)
    chart.bars([low + (high - low) * at / num_bins for at in range(num_bins + 1)], counts)
    return chart


def nice_axis(name: str, values: Sequence[float], num_ticks: int = 5) -> Axis:
    """An axis from 0 to just above the highest value, with round tick values."""
    high = max([*values, 0.0]) or 1.0
    step = 10 ** int(log10(high / num_ticks) // 1)
    step *= next(factor for factor in (1, 2, 5, 10) if high <= factor * step * num_ticks * (1 + 1e-9))
    num = int(-(-high // step)) if not isclose(high / step, round(high / step)) else round(high / step)
    return Axis(name, 0.0, num * step, [place * step for place in range(num + 1)])


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _short(num: int) -> str:
    """A short count: 950, 2k, 34k."""
    return str(num) if num < 1000 else f"{num / 1000:.0f}k"
