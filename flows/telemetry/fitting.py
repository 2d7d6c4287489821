"""Items of text on lines of limited width. An item is never broken: it moves to the next line, or is left out whole."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len

_MORE = "..."


def fitted(items: Sequence[str], room: int, between: str = ", ") -> str:
    """The first items that fit in `room` columns of a terminal, with `...` if some are left out.

    Empty if not even the first item fits.
    """
    whole = between.join(items)
    if cell_len(whole) <= room:
        return whole
    for num in range(len(items) - 1, 0, -1):
        text = f"{between.join(items[:num])}{between}{_MORE}"
        if cell_len(text) <= room:
            return text
    return ""


def wrapped(items: Sequence[str], width: int, *, first: str = "", rest: str = "", between: str = ", ") -> list[str]:
    """The items on as few lines as possible, each at most `width` columns unless a single item is longer.

    Args:
        first: begins the first line.
        rest: begins the other lines.
        between: separates two items; at the end of a line without its blanks.
    """
    lines: list[str] = []
    line, is_empty = first, True
    for place, item in enumerate(items):
        ending = between.rstrip() if place < len(items) - 1 else ""
        joined = line + ("" if is_empty else between) + item
        if is_empty or cell_len(joined + ending) <= width:
            line, is_empty = joined, False
        else:
            lines.append(line + between.rstrip())
            line = rest + item
    return [*lines, line] if not is_empty else lines
