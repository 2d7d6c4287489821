"""The parts of a self-contained HTML page: no script, nothing loaded from anywhere."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from io import BytesIO

from PIL import Image

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #66707f; --line: #dde2e9; --back: #f6f7f9; --card: #fff;
  --bar: #3b6fb6; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ee; --soft: #98a2b0; --line: #323a46; --back: #14181e;
  --card: #1c222b; --bar: #6f9fe0; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1080px; padding: 40px 24px 80px; background: var(--back); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 28px; line-height: 1.2; margin: 0 0 4px; } h2 { font-size: 20px; margin: 44px 0 8px; }
h3 { font-size: 15px; margin: 24px 0 2px; } p { margin: 0 0 12px; color: var(--soft); max-width: 76ch; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 16px 20px; margin: 12px 0;
  overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 12px 6px 0; text-align: right; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 500; } th:first-child, td:first-child, .text { text-align: left; }
tr:last-child td { border-bottom: 0; }
.stack { display: flex; height: 22px; border-radius: 6px; overflow: hidden; gap: 2px; margin: 4px 0 10px; }
.stack i { display: block; } .key { display: flex; flex-wrap: wrap; gap: 4px 20px; }
.key i { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 7px; }
.key b { font-variant-numeric: tabular-nums; }
.sheet { display: grid; grid-template-columns: repeat(auto-fill, minmax(104px, 1fr)); gap: 12px; }
.sheet.pairs { grid-template-columns: repeat(auto-fill, minmax(212px, 1fr)); }
figure { margin: 0; }
figure img { width: 100px; height: 100px; object-fit: cover; border-radius: 6px; margin-right: 4px; }
figcaption { font-size: 11px; line-height: 1.3; color: var(--soft); overflow-wrap: anywhere; }
td { white-space: pre-line; }
svg { display: block; width: 100%; max-width: 760px; height: auto; }
svg text { fill: var(--soft); font-size: 11px; } svg rect { fill: var(--bar); }
"""
_COLOURS = ("#3b8f5a", "#c9862b", "#3b6fb6", "#8a5bb0", "#9aa3af")
_THUMB_PX = 100


def page(title: str, subtitle: str, parts: Iterable[str]) -> str:
    """A whole page."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body><h1>{escape(title)}</h1><p>{escape(subtitle)}</p>{''.join(parts)}</body></html>\n"
    )


def heading(text: str, words: str = "") -> str:
    """A section's title, and a few words about it."""
    return f"<h2>{escape(text)}</h2>" + (f"<p>{escape(words)}</p>" if words else "")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose last column is text and whose others, but the first, are numbers."""

    def line(cells: Sequence[str], tag: str) -> str:
        last = len(cells) - 1
        told = (f"<{tag}{' class=text' if at == last else ''}>{escape(cell)}</{tag}>" for at, cell in enumerate(cells))
        return f"<tr>{''.join(told)}</tr>"

    return f"<div class=card><table>{line(columns, 'th')}{''.join(line(row, 'td') for row in rows)}</table></div>"


def shares(counts: dict[str, int]) -> str:
    """A bar cut into shares, at most five, with its key."""
    total = max(sum(counts.values()), 1)
    colours = dict(zip(counts, _COLOURS, strict=False))
    bars = (f'<i style="flex:{num};background:{colours[word]}"></i>' for word, num in counts.items() if num)
    keys = (
        f'<span><i style="background:{colours[word]}"></i>{escape(word)} <b>{num:,}</b> ({num / total:.1%})</span>'
        for word, num in counts.items()
    )
    return f"<div class=card><div class=stack>{''.join(bars)}</div><div class=key>{''.join(keys)}</div></div>"


def histogram(values: Sequence[float], title: str, num_bins: int = 20) -> str:
    """How often the values, between 0 and 1, fall into each bin."""
    counts = [0] * num_bins
    for value in values:
        counts[min(int(value * num_bins), num_bins - 1)] += 1
    most, step = max(*counts, 1), 520 / num_bins
    bars = []
    for place, num in enumerate(counts):
        high, left = 110 * num / most, 20 + place * step
        if num:
            low_to = f"{place / num_bins:.2f} to {(place + 1) / num_bins:.2f}"
            bars.append(
                f'<rect x="{left + 1:.1f}" y="{130 - high:.1f}" width="{step - 2:.1f}" height="{high:.1f}" rx="1.5">'
                f"<title>{low_to}: {num:,}</title></rect>"
                f'<text x="{left + step / 2:.1f}" y="{126 - high:.1f}" text-anchor="middle">{num:,}</text>'
            )
    ticks = (f'<text x="{20 + 52 * at}" y="146" text-anchor="middle">{at / 10:g}</text>' for at in range(0, 11, 2))
    drawing = (
        f'<svg viewBox="0 0 560 152" role="img"><title>{escape(title)}</title>{"".join(bars)}{"".join(ticks)}</svg>'
    )
    return f"<h3>{escape(title)}</h3><div class=card>{drawing}</div>"


def sheet(title: str, words: str, figures: Sequence[tuple[list[bytes], str]]) -> str:
    """A contact sheet: pictures, one or two a figure, with a caption each."""
    pairs = " pairs" if any(len(pictures) > 1 for pictures, _ in figures) else ""
    shown = "".join(
        f"<figure>{''.join(_image(one) for one in pictures)}<figcaption>{escape(caption)}</figcaption></figure>"
        for pictures, caption in figures
    )
    return (
        f"<h3>{escape(title)}</h3><p>{escape(words)}</p><div class=card><div class='sheet{pairs}'>{shown}</div></div>"
    )


def _image(data: bytes) -> str:
    file = BytesIO()
    with Image.open(BytesIO(data)) as image:
        image.thumbnail((_THUMB_PX, _THUMB_PX))
        image.save(file, "JPEG", quality=82)
    return f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}">'
