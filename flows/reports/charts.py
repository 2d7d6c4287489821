"""SVG charts for pages of `flows.reports.page`: lines, bands, histograms and marks over two axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isclose, log10

from flows.reports.page import escape

# Distinguishable in light and dark mode, and with red-green colour blindness.
BLUE, ORANGE, GREEN, GREY = "#4c86d0", "#d08a2e", "#3f9a68", "#8e98a6"

# Widths of a full-width chart and of one of two side by side, so that their text has the same size.
WIDTH, HALF_WIDTH = 960, 460
_HEIGHT = 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 68, 12, 14, 44


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
    """A chart. Each method call draws on top of the earlier ones."""

    def __init__(self, title: str, x: Axis, y: Axis, width: int = WIDTH) -> None:
        self._title, self._x, self._y, self._width = title, x, y, width
        self._drawn: list[str] = []
        self._key: list[tuple[str, str]] = []

    def line(
        self, xs: Sequence[float], ys: Sequence[float], colour: str, name: str = "", *, dashed: bool = False
    ) -> None:
        """Draw a line through points."""
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self._drawn.append(
            f'<polyline points="{self._points(xs, ys)}" fill="none" stroke="{colour}" stroke-width="2" '
            f'stroke-linejoin="round"{dash}/>'
        )
        self._name(name, colour)

    def band(self, xs: Sequence[float], lows: Sequence[float], highs: Sequence[float], colour: str) -> None:
        """Fill the area between two lines."""
        around = f"{self._points(xs, highs)} {self._points(xs[::-1], lows[::-1])}"
        self._drawn.append(f'<polygon points="{around}" fill="{colour}" opacity="0.2"/>')

    def shares(self, edges: Sequence[float], heights: Sequence[float], colour: str, name: str) -> None:
        """Draw a histogram as an area; there is one more edge than heights."""
        xs = [edge for edge in edges for _ in range(2)]
        ys = [0.0, *(height for height in heights for _ in range(2)), 0.0]
        self._drawn.append(
            f'<polygon points="{self._points(xs, ys)}" fill="{colour}" fill-opacity="0.35" stroke="{colour}" '
            'stroke-width="1.2" stroke-linejoin="round"/>'
        )
        self._name(name, colour)

    def dots(self, xs: Sequence[float], ys: Sequence[float], colour: str, name: str, titles: Sequence[str]) -> None:
        """Draw points, each with a tooltip."""
        for x, y, title in zip(xs, ys, titles, strict=True):
            self._drawn.append(
                f'<circle cx="{self._across(x):.1f}" cy="{self._down(y):.1f}" r="4.5" fill="{colour}">'
                f"<title>{escape(title)}</title></circle>"
            )
        self._name(name, colour)

    def mark(self, x: float, words: str, row: int = 0) -> None:
        """Draw a vertical line with a label at its top; `row` lowers the label below those of other marks."""
        across = self._across(x)
        to_left = across > self._width * 0.7
        self._drawn.append(
            f'<line x1="{across:.1f}" x2="{across:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}" stroke="{GREY}" '
            f'stroke-dasharray="3 3"/><text x="{across + (-5 if to_left else 5):.1f}" y="{_TOP + 11 + 14 * row}" '
            f'text-anchor="{"end" if to_left else "start"}">{escape(words)}</text>'
        )

    def html(self) -> str:
        """The chart as a card, with a legend if it has named parts."""
        key = "".join(f'<span><i style="background:{colour}"></i>{escape(name)}</span>' for name, colour in self._key)
        drawing = (
            f'<svg viewBox="0 0 {self._width} {_HEIGHT}" role="img" style="max-width:none">'
            f"<title>{escape(self._title)}</title>{self._axes()}{''.join(self._drawn)}</svg>"
        )
        keys = f"<div class=key>{key}</div>" if key else ""
        return f"<h3>{escape(self._title)}</h3><div class=card>{drawing}{keys}</div>"

    def _axes(self) -> str:
        lines = [
            f'<line x1="{_LEFT}" x2="{self._width - _RIGHT}" y1="{self._down(at):.1f}" y2="{self._down(at):.1f}" '
            f'stroke="{GREY}" opacity="0.25"/>'
            f'<text x="{_LEFT - 8}" y="{self._down(at) + 4:.1f}" text-anchor="end">{_number(at)}</text>'
            for at in self._y.ticks
        ]
        lines += [
            f'<line x1="{self._across(at):.1f}" x2="{self._across(at):.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}" '
            f'stroke="{GREY}" opacity="0.25"/>'
            f'<text x="{self._across(at):.1f}" y="{_HEIGHT - _BOTTOM + 17}" text-anchor="middle">{_number(at)}</text>'
            for at in self._x.ticks
        ]
        centre, middle = (_LEFT + self._width - _RIGHT) / 2, (_TOP + _HEIGHT - _BOTTOM) / 2
        names = (
            f'<text x="{centre}" y="{_HEIGHT - 6}" text-anchor="middle">{escape(self._x.name)}</text>'
            f'<text transform="translate(13 {middle}) rotate(-90)" text-anchor="middle">{escape(self._y.name)}</text>'
        )
        return "".join(lines) + names

    def _across(self, x: float) -> float:
        return _LEFT + self._x.share(x) * (self._width - _LEFT - _RIGHT)

    def _down(self, y: float) -> float:
        return _HEIGHT - _BOTTOM - self._y.share(y) * (_HEIGHT - _TOP - _BOTTOM)

    def _points(self, xs: Sequence[float], ys: Sequence[float]) -> str:
        return " ".join(f"{self._across(x):.1f},{self._down(y):.1f}" for x, y in zip(xs, ys, strict=True))

    def _name(self, name: str, colour: str) -> None:
        if name:
            self._key.append((name, colour))


def nice_axis(name: str, values: Sequence[float], num_ticks: int = 5) -> Axis:
    """An axis from 0 to just above the highest value, with round tick values."""
    high = max([*values, 0.0]) or 1.0
    step = 10 ** int(log10(high / num_ticks) // 1)
    step *= next(factor for factor in (1, 2, 5, 10) if high <= factor * step * num_ticks * (1 + 1e-9))
    num = int(-(-high // step)) if not isclose(high / step, round(high / step)) else round(high / step)
    return Axis(name, 0.0, num * step, [place * step for place in range(num + 1)])


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
