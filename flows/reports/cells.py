"""Cells of the pages' tables: labels for narrow screens, and URLs that break where they may."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import cycle

from markupsafe import Markup, escape

from storage.text.names import visible

_ROW = re.compile(r"<tr[ >].*?</tr>", re.DOTALL)
_CELL = re.compile(r"<td(?=[ >])")
# After these a URL may continue on the next line.
_BREAKS = re.compile(r"(?<=[/?&=_.-])(?=[^/?&=_.-])")


def labelled(rows: Markup, columns: Sequence[str]) -> Markup:
    """Rows of a table whose cells carry the name of their column, which narrow screens show beside the value.

    Args:
        rows: `<tr>` elements without tables inside.
        columns: one name for each cell of a row.
    """

    def label(row: re.Match[str]) -> str:
        names = cycle(columns)
        return _CELL.sub(lambda _: f'<td data-label="{escape(visible(next(names)))}"', row[0])

    return Markup(_ROW.sub(label, rows))


def breakable(text: str) -> Markup:
    """A text, escaped; where it is a URL, a line may break after its separators. Markup stays as it is."""
    if isinstance(text, Markup):
        return text
    shown = visible(text)
    parts = _BREAKS.split(shown) if "://" in shown else [shown]
    return Markup("<wbr>").join(parts)
