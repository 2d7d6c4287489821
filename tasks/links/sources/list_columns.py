"""The columns of a list: their names, from its header or its recipe, and the positions of those of a recipe."""

from __future__ import annotations

from collections.abc import Sequence

from storage.errors import SourceError
from storage.text.names import visible
from tasks.links.recipes.recipe import Column, FormatName, Recipe
from tasks.links.sources.list_bytes import HEAD_BYTES
from tasks.links.sources.list_format import data_lines, num_comments, sample_rows


def header_of(block: bytes, recipe: Recipe, kind: FormatName) -> tuple[list[str], int]:
    """The names of the columns, and the number of lines before the rows: comments, a count line, a header."""
    lines = block[:HEAD_BYTES].split(b"\n")
    comments = lines[: num_comments(lines)]
    num = len(comments)
    body = data_lines(b"\n".join(lines), kind)
    num += len(lines) - num - len(body)
    rows = sample_rows(b"\n".join(body), kind, 3)
    first = rows[0] if rows else []
    behind = (
        [name.strip() for name in comments[-1].lstrip(b"#\t ").decode(errors="replace").split("\t")] if comments else []
    )
    if recipe.columns:
        used = {one.lower() for one in recipe.used() if isinstance(one, str)}
        if [name.lower() for name in first] == [name.lower() for name in recipe.columns]:
            return recipe.columns, num + 1
        if used and used <= {name.lower() for name in first}:
            return first, num + _num_header_lines(body, first)
        return recipe.columns, num
    wanted = [one for one in recipe.used() if isinstance(one, str)]
    if not wanted:
        return [str(at + 1) for at in range(len(rows[-1] if rows else []))], num
    if behind and {one.lower() for one in wanted} <= {name.lower() for name in behind}:
        return behind, num
    if len(rows) > 1 and all(len(row) == len(first) + 1 for row in rows[1:]):
        # R writes row names in a column without a header; so do CelebA's landmarks.
        first = ["", *first]
    return with_numbers(first), num + _num_header_lines(body, first)


def with_numbers(names: list[str]) -> list[str]:
    """The names of columns; those without one are numbered, such as `column_1`."""
    return [name or f"column_{at}" for at, name in enumerate(names, start=1)]


def _num_header_lines(body: list[bytes], names: list[str]) -> int:
    """The number of lines of the header: one, except for CSV with line ends in names."""
    return 1 + sum(name.count("\n") for name in names) if body else 0


def places_of(recipe: Recipe, names: Sequence[str], shown: str) -> dict[Column, int]:
    """The position of each column of the recipe; case is ignored if the name is then unique.

    Raises:
        SourceError: a column is missing.
    """
    found: dict[Column, int] = {}
    lower = [name.lower() for name in names]
    for one in recipe.used():
        if isinstance(one, int) and one <= len(names):
            found[one] = one - 1
        elif isinstance(one, str) and names.count(one) == 1:
            found[one] = names.index(one)
        elif isinstance(one, str) and lower.count(one.lower()) == 1:
            found[one] = lower.index(one.lower())
        else:
            listed = ", ".join(visible(name)[:40] for name in names[:20]) or "none"
            raise SourceError(
                f"{shown} has no column {one!r}; it has {len(names)} columns ({listed}): correct the name in the recipe"
            )
    return found
