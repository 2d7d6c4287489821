"""Building blocks of a self-contained HTML page: no scripts, no external resources."""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterable, Sequence
from html import escape as escape_html
from io import BytesIO
from typing import NamedTuple

from flows.reports.style import STYLE
from storage.names import visible
from tasks.images.decode import UndecodableImage, decode

_COLOURS = ("#3b8f5a", "#c9862b", "#3b6fb6", "#8a5bb0", "#9aa3af")
_THUMB_PX = 100


def escape(text: str) -> str:
    """Escape text for HTML, with control and bidi characters shown as escapes."""
    return escape_html(visible(text))


class Step(NamedTuple):
    """One stage of a funnel: counts in and out, and the rejected by reason, most frequent first."""

    name: str
    num_in: int
    num_out: int
    lost: dict[str, int]


def page(title: str, subtitle: str, parts: Iterable[str]) -> str:
    """A whole page."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>'
        f"<body><h1>{escape(title)}</h1><p>{escape(subtitle)}</p>{''.join(parts)}</body></html>\n"
    )


def contents(headings: Iterable[str]) -> str:
    """Links to the sections of the page by their headings."""
    links = (f"<a href='#{anchor(text)}'>{escape(text)}</a>" for text in headings)
    return f"<nav>{''.join(links)}</nav>"


def anchor(text: str) -> str:
    """The id of a heading, for links."""
    return "".join(letter if letter.isalnum() else "-" for letter in text.lower())


def heading(text: str, words: str = "") -> str:
    """A section title, with an optional paragraph."""
    return f'<h2 id="{anchor(text)}">{escape(text)}</h2>' + (f"<p>{escape(words)}</p>" if words else "")


def subheading(text: str) -> str:
    """A title within a section."""
    return f"<h3>{escape(text)}</h3>"


def words(text: str) -> str:
    """A paragraph."""
    return f"<p>{escape(text)}</p>"


def tiles(figures: dict[str, str]) -> str:
    """The main numbers side by side, each above its label."""
    shown = (
        f"<div class=card><b>{escape(value)}</b><span>{escape(what)}</span></div>" for what, value in figures.items()
    )
    return f"<div class=tiles>{''.join(shown)}</div>"


def side_by_side(parts: Iterable[str]) -> str:
    """Parts in two columns, if the page is wide enough."""
    return f"<div class=pair>{''.join(f'<div>{part}</div>' for part in parts if part)}</div>"


def funnel(steps: Sequence[Step], sheets: Collection[str] = ()) -> str:
    """One bar per stage, on a common scale: the count out, the loss, and the reasons.

    Args:
        sheets: reasons with a contact sheet on the page, which are linked to it.
    """

    def linked(reason: str) -> str:
        return f"<a href='#{anchor(reason)}'>{escape(reason)}</a>" if reason in sheets else escape(reason)

    whole = max([step.num_in for step in steps], default=0) or 1
    rows = []
    for step in steps:
        out, lost = step.num_out / whole, (step.num_in - step.num_out) / whole
        why = "".join(f"<span>{linked(reason)} {num:,}</span>" for reason, num in step.lost.items())
        rows.append(
            f"<span>{escape(step.name)}</span><span class=track><i style='width:{out:.3%}'></i>"
            f"<u style='width:{lost:.3%}'></u></span><b>{step.num_out:,}</b>"
            f"<small>{f'{step.num_in - step.num_out:,} rejected: ' if why else 'none rejected'}{why}</small>"
        )
    return f"<div class=card><div class=funnel>{''.join(rows)}</div></div>"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table. The first and last columns are text, the others numbers."""

    def line(cells: Sequence[str], tag: str) -> str:
        last = len(cells) - 1
        html = (f"<{tag}{' class=text' if at == last else ''}>{escape(cell)}</{tag}>" for at, cell in enumerate(cells))
        return f"<tr>{''.join(html)}</tr>"

    return f"<div class=card><table>{line(columns, 'th')}{''.join(line(row, 'td') for row in rows)}</table></div>"


def shares(counts: dict[str, int]) -> str:
    """A bar divided into shares, at most five, with a legend."""
    total = max(sum(counts.values()), 1)
    colours = dict(zip(counts, _COLOURS, strict=False))
    bars = (f'<i style="flex:{num};background:{colours[word]}"></i>' for word, num in counts.items() if num)
    keys = (
        f'<span><i style="background:{colours[word]}"></i>{escape(word)} <b>{num:,}</b> ({num / total:.1%})</span>'
        for word, num in counts.items()
    )
    return f"<div class=card><div class=stack>{''.join(bars)}</div><div class=key>{''.join(keys)}</div></div>"


def histogram(values: Sequence[float], title: str, *, low: float = 0.0, high: float = 1.0, num_bins: int = 20) -> str:
    """A histogram from `low` to `high`; the outer bins include values beyond."""
    counts = [0] * num_bins
    for value in values:
        counts[min(max(int((value - low) / (high - low) * num_bins), 0), num_bins - 1)] += 1
    most, step, width = max(*counts, 1), 520 / num_bins, (high - low) / num_bins
    digits = 2 if width < 1 else 0
    bars = []
    for place, num in enumerate(counts):
        tall, left = 110 * num / most, 20 + place * step
        if num:
            low_to = f"{low + place * width:.{digits}f} to {low + (place + 1) * width:.{digits}f}"
            bars.append(
                f'<rect x="{left + 1:.1f}" y="{130 - tall:.1f}" width="{step - 2:.1f}" height="{tall:.1f}" rx="1.5">'
                f"<title>{low_to}: {num:,}</title></rect>"
                f'<text x="{left + step / 2:.1f}" y="{126 - tall:.1f}" text-anchor="middle">{_short(num)}</text>'
            )
    ticks = (
        f'<text x="{20 + 104 * at}" y="146" text-anchor="middle">{low + (high - low) * at / 5:g}</text>'
        for at in range(6)
    )
    drawing = (
        f'<svg viewBox="0 0 560 152" role="img"><title>{escape(title)}</title>{"".join(bars)}{"".join(ticks)}</svg>'
    )
    return f"<h3>{escape(title)}</h3><div class=card>{drawing}</div>"


def sheet(title: str, words: str, figures: Sequence[tuple[list[bytes], str]]) -> str:
    """A contact sheet of figures with one or two pictures and a caption; a blank for an unreadable picture.

    Its id is the part of the title before the colon.
    """
    pairs = " pairs" if any(len(pictures) > 1 for pictures, _ in figures) else ""
    shown = "".join(
        f"<figure>{''.join(_image(one) for one in pictures)}<figcaption>{escape(caption)}</figcaption></figure>"
        for pictures, caption in figures
    )
    name, paragraph = anchor(title.partition(":")[0]), f"<p>{escape(words)}</p>" if words else ""
    return (
        f"<h3 id='{name}'>{escape(title)}</h3>{paragraph}<div class=card><div class='sheet{pairs}'>{shown}</div></div>"
    )


def _short(num: int) -> str:
    """A short count: 950, 2k, 34k."""
    return str(num) if num < 1000 else f"{num / 1000:.0f}k"


def _image(data: bytes) -> str:
    try:
        image = decode(data)
    except UndecodableImage:
        return "<i class=blank></i>"
    image.thumbnail((_THUMB_PX, _THUMB_PX))
    file = BytesIO()
    image.save(file, "JPEG", quality=82)
    return f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}">'
