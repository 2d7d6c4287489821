"""A line chart for Prefect's pages: an SVG with numbered axes, in the colours of a light and of a dark page."""

from __future__ import annotations

from collections.abc import Sequence

from flows.reports.charts import Axis, nice_axis

# About the width of the text of an artifact, so that numbers are shown at their size.
_WIDTH, _HEIGHT = 480, 220
_BLUE = "#4c86d0"
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 12, 44
# A browser gives a picture the colour scheme of the page that shows it.
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#3c434d}path{stroke:#c9ced6;fill:none}"
    "@media (prefers-color-scheme:dark){text{fill:#c9d1d9}path{stroke:#4a515c}}"
)
# More points than pixels would only make the page larger: it is stored in the server's database at each update.
_MAX_POINTS = 500


def loss_chart(steps: Sequence[int], losses: Sequence[float]) -> str:
    """The SVG of the training loss by step, both axes from 0."""
    x, y = nice_axis("step", steps), nice_axis("loss", losses)
    points = _points(x, y, list(zip(steps, losses, strict=True)))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}"><style>{_STYLE}</style>{_x_axis(x)}{_y_axis(y)}'
        f'<polyline points="{points}" fill="none" stroke="{_BLUE}" stroke-width="2"/></svg>'
    )


def _points(x: Axis, y: Axis, drawn: Sequence[tuple[int, float]]) -> str:
    every = -(-len(drawn) // _MAX_POINTS) or 1
    # Counted from the end, so that the newest point is always there.
    chosen = drawn[::-1][::every][::-1]
    return " ".join(f"{_across(x, step):.1f},{_down(y, loss):.1f}" for step, loss in chosen)


def _x_axis(axis: Axis) -> str:
    floor = _HEIGHT - _BOTTOM
    numbers = "".join(
        f'<text x="{_across(axis, at):.1f}" y="{floor + 17}" text-anchor="middle">{at:,.0f}</text>'
        for at in axis.ticks
        if at == int(at)
    )
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    return f'{numbers}<text x="{middle:.0f}" y="{_HEIGHT - 8}" text-anchor="middle">{axis.name}</text>'


def _y_axis(axis: Axis) -> str:
    lines = "".join(f'<path d="M{_LEFT} {_down(axis, at):.1f}H{_WIDTH - _RIGHT}"/>' for at in axis.ticks)
    numbers = "".join(
        f'<text x="{_LEFT - 8}" y="{_down(axis, at) + 4:.1f}" text-anchor="end">{at:.4g}</text>' for at in axis.ticks
    )
    middle = (_TOP + _HEIGHT - _BOTTOM) / 2
    name = f'<text transform="translate(14 {middle:.0f}) rotate(-90)" text-anchor="middle">{axis.name}</text>'
    return lines + numbers + name


def _across(axis: Axis, value: float) -> float:
    return _LEFT + axis.share(value) * (_WIDTH - _RIGHT - _LEFT)


def _down(axis: Axis, value: float) -> float:
    floor = _HEIGHT - _BOTTOM
    return floor - axis.share(value) * (floor - _TOP)
