"""SVG charts of pages: lines, bands, histograms and marks over two axes. Their markup is in `templates/chart.html`.

The SVG is stretched to the width of its card, and labels are HTML beside it, so that text has one size at every width.
Places are in thousandths of the plot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import ceil, floor, inf, log10
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flows.reports.page import macros

_SPAN = 1000.0
_TICKS = 5


class Colour(StrEnum):
    """Classes of `style.css`: distinguishable in light and dark mode, and with red-green colour blindness."""

    BLUE = "blue"
    ORANGE = "orange"
    GREEN = "green"
    GREY = "grey"


class Height(StrEnum):
    """Classes of `style.css`: the height of a plot."""

    TALL = "tall"
    LOW = "low"


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

    def labels(self) -> list[str]:
        """The numbers of the ticks, on a linear axis all with the same decimals."""
        if self.is_log or len(self.ticks) < 2:
            return [f"{tick:.3g}" for tick in self.ticks]
        digits = _decimals(self.ticks[1] - self.ticks[0])
        return [f"{_no_minus_zero(tick, digits):,.{digits}f}" for tick in self.ticks]


class Chart:
    """A chart. Each method call draws on top of the earlier ones.

    Attributes:
        words: a sentence in place of the plot.
        shapes: the SVG of what has been drawn.
        marks: (place across in percent, text, row) of the labels of vertical lines.
        key: (name, colour) of the named parts.
    """

    def __init__(self, title: str, x: Axis, y: Axis, height: Height = Height.TALL, words: str = "") -> None:
        self.title, self.x, self.y, self.height, self.words = title, x, y, height, words
        self.shapes: list[str] = []
        self.marks: list[tuple[float, str, int]] = []
        self.key: list[tuple[str, str]] = []
        self._svg: Any = macros("chart.html")

    def line(
        self, xs: Sequence[float], ys: Sequence[float], colour: Colour, name: str = "", *, dashed: bool = False
    ) -> None:
        """Draw a line through points."""
        self._draw(self._svg.line(self._points(xs, ys), colour, dashed), colour, name)

    def band(self, xs: Sequence[float], lows: Sequence[float], highs: Sequence[float], colour: Colour) -> None:
        """Fill the area between two lines."""
        self._draw(self._svg.band(f"{self._points(xs, highs)} {self._points(xs[::-1], lows[::-1])}", colour))

    def shares(self, edges: Sequence[float], heights: Sequence[float], colour: Colour, name: str) -> None:
        """Draw a histogram as an area; there is one more edge than heights."""
        xs = [edge for edge in edges for _ in range(2)]
        ys = [0.0, *(height for height in heights for _ in range(2)), 0.0]
        self._draw(self._svg.shares(self._points(xs, ys), colour), colour, name)

    def bars(self, edges: Sequence[float], counts: Sequence[int]) -> None:
        """Draw a histogram as bars with their range and count as tooltip; there is one more edge than counts."""
        digits = _decimals(edges[1] - edges[0])
        for low, high, num in zip(edges[:-1], edges[1:], counts, strict=True):
            words = f"{_no_minus_zero(low, digits):,.{digits}f} to {_no_minus_zero(high, digits):,.{digits}f}: {num:,}"
            left, top = self._across(low), self._down(num)
            if num:
                self._draw(self._svg.bar(left, top, self._across(high) - left, _SPAN - top, words))

    def dots(self, xs: Sequence[float], ys: Sequence[float], colour: Colour, name: str, titles: Sequence[str]) -> None:
        """Draw points, each with a tooltip."""
        for x, y, title in zip(xs, ys, titles, strict=True):
            self._draw(self._svg.dot(self._across(x), self._down(y), colour, title))
        if name:
            self.key.append((name, colour))

    def whiskers(self, places: Sequence[tuple[float, float, float]], colour: Colour) -> None:
        """Draw vertical lines, each (x, low, high)."""
        for x, low, high in places:
            self._draw(self._svg.line(self._points([x, x], [low, high]), colour, False))

    def mark(self, x: float, words: str, row: int = 0) -> None:
        """Draw a vertical line with a label at its top; `row` lowers the label below those of other marks."""
        self._draw(self._svg.mark(self._across(x)))
        self.marks.append((self._across(x) / 10, words, row))

    def html(self) -> str:
        """The chart as a card, with a legend if it has named parts."""
        html: str = self._svg.chart(self)
        return html

    def x_ticks(self) -> list[tuple[float, str]]:
        """Places of the ticks of the x axis, and their numbers."""
        return [(self._across(at), label) for at, label in zip(self.x.ticks, self.x.labels(), strict=True)]

    def y_ticks(self) -> list[tuple[float, str]]:
        """Places of the ticks of the y axis, and their numbers."""
        return [(self._down(at), label) for at, label in zip(self.y.ticks, self.y.labels(), strict=True)]

    def _draw(self, shape: str, colour: str = "", name: str = "") -> None:
        self.shapes.append(shape)
        if name:
            self.key.append((name, colour))

    def _across(self, x: float) -> float:
        return self.x.share(x) * _SPAN

    def _down(self, y: float) -> float:
        return _SPAN - self.y.share(y) * _SPAN

    def _points(self, xs: Sequence[float], ys: Sequence[float]) -> str:
        return " ".join(f"{self._across(x):.1f},{self._down(y):.1f}" for x, y in zip(xs, ys, strict=True))


def histogram(
    values: Sequence[float], title: str, *, low: float = -inf, high: float = inf, num_bins: int = 25
) -> Chart:
    """A histogram over round limits that hold all values. Equal values, or none, become a sentence.

    Args:
        low: values below it count in the first bin, and the axis says how many.
        high: values above it count in the last bin, likewise.
        num_bins: the most bins.
    """
    found = np.asarray(values, float)
    if not len(found) or found.min() == found.max():
        words = f"All {len(found):,} values are {found[0]:.4g}." if len(found) else "No values."
        return Chart(title, nice_axis("", [0, 1]), nice_axis("", [0, 1]), Height.LOW, words)
    below, above = int((found < low).sum()), int((found > high).sum())
    found = found.clip(low, high)
    edges = _bin_edges(found, num_bins)
    counts = np.histogram(found, edges)[0].tolist()
    inner = nice_axis("", [edges[0], edges[-1]], from_zero=False)
    ticks = [tick for tick in inner.ticks if edges[0] <= tick <= edges[-1]]
    chart = Chart(
        title, Axis(_beyond(below, low, above, high), edges[0], edges[-1], ticks), nice_axis("", counts, 3), Height.LOW
    )
    chart.bars(edges, counts)
    return chart


def _beyond(below: int, low: float, above: int, high: float) -> str:
    """What the outer bins hold beside their own values."""
    first = f"first bar with {below:,} below {low:g}" if below else ""
    last = f"last bar with {above:,} above {high:g}" if above else ""
    return ", ".join(filter(None, [first, last]))


def _bin_edges(values: NDArray[np.float64], most: int) -> list[float]:
    """Edges at multiples of a round width. Whole numbers have bins of whole width, the highest one of its own."""
    low, high = float(values.min()), float(values.max())
    is_whole = bool((values == np.round(values)).all())
    width = round_step((high - low) or 1.0, most)
    if is_whole:
        width = max(width, 1.0)
    first = floor(low / width + 1e-9)
    last = floor(high / width) + 1 if is_whole and width == 1.0 else ceil(high / width - 1e-9)
    return [at * width for at in range(first, max(last, first + 1) + 1)]


def nice_axis(name: str, values: Sequence[float], num_ticks: int = _TICKS, *, from_zero: bool = True) -> Axis:
    """An axis that holds all values between round limits, with round tick values.

    Args:
        num_ticks: about as many intervals between ticks.
        from_zero: whether 0 is on the axis although all values are far from it.
    """
    low, high = min(values, default=0.0), max(values, default=0.0)
    if from_zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        high = low + (abs(low) or 1.0)
    step = round_step(high - low, num_ticks)
    ticks = [place * step for place in range(floor(low / step + 1e-9), ceil(high / step - 1e-9) + 1)]
    return Axis(name, ticks[0], ticks[-1], ticks)


def round_step(span: float, most: int) -> float:
    """The smallest of 1, 2 and 5 times a power of ten of which `most` cover a span."""
    step = 10.0 ** floor(log10(span / most))
    return step * next(factor for factor in (1, 2, 5, 10) if span <= factor * step * most * (1 + 1e-9))


def _decimals(step: float) -> int:
    return max(0, -floor(log10(step) + 1e-9))


def _no_minus_zero(value: float, digits: int) -> float:
    return round(value, digits) + 0.0
