"""The rows of a list of JSON: one object per line, or one document of objects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from storage.errors import SourceError
from storage.records import Reason
from storage.text.encodings import as_utf8
from storage.text.names import visible
from tasks.links.recipes.recipe import Column, Recipe
from tasks.links.sources.list_bytes import MAX_WHOLE_BYTES, text_blocks, unpacked
from tasks.links.sources.rows import KEPT_TEXT, NOT_UTF8, ROWS_PER_BLOCK, BadRow, Rows, shown_line, shown_row


def jsonl_rows(path: Path, recipe: Recipe, shown: str) -> Iterator[Rows]:
    """The rows of a file with one object per line."""
    number = 0
    blank: list[int] = []
    for block, _ in text_blocks(path, shown):
        objects: list[tuple[int, dict[str, Any]]] = []
        bad: list[BadRow] = []
        for line in block.removesuffix(b"\n").split(b"\n"):
            number += 1
            if not line.strip():
                blank.append(number)
                continue
            bad += [(one, "", Reason.MALFORMED_LINE, "an empty line") for one in blank]
            blank.clear()
            value, why = json_object(line)
            if value is None:
                bad.append((number, shown_line(line), Reason.MALFORMED_LINE, why))
            else:
                objects.append((number, value))
        check_keys(objects, recipe, shown)
        yield object_rows(objects, recipe, bad)


def json_rows(path: Path, recipe: Recipe, shown: str) -> Iterator[Rows]:
    """The rows of a file that is one document of JSON: an array of objects, or an object of objects."""
    with unpacked(path) as stream:
        data = as_utf8(stream.read(MAX_WHOLE_BYTES + 1))
    if len(data) > MAX_WHOLE_BYTES:
        raise SourceError(
            f"{shown} has over {MAX_WHOLE_BYTES:,} bytes of JSON in one document: convert it to jsonl, one object "
            f"per line"
        )
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{shown} is not valid JSON ({visible(str(error))[:100]}): download it again") from error
    values = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(values, list) or not any(isinstance(one, dict) for one in values):
        raise SourceError(
            f"{shown} contains no JSON objects in an array or object: give JSON with one object per picture"
        )
    for start in range(0, len(values), ROWS_PER_BLOCK):
        some = list(enumerate(values[start : start + ROWS_PER_BLOCK], start + 1))
        bad = [
            (number, visible(json.dumps(one))[:KEPT_TEXT], Reason.MALFORMED_LINE, "not a JSON object")
            for number, one in some
            if not isinstance(one, dict)
        ]
        objects = [(number, one) for number, one in some if isinstance(one, dict)]
        check_keys(objects, recipe, shown)
        yield object_rows(objects, recipe, bad)


def json_object(line: bytes) -> tuple[dict[str, Any] | None, str]:
    """A JSON object, or None and the reason."""
    try:
        value = json.loads(line.decode())
    except UnicodeDecodeError:
        return None, NOT_UTF8
    except (ValueError, RecursionError) as error:
        return None, f"not valid JSON: {visible(str(error))[:100]}"
    return (
        (value, "") if isinstance(value, dict) else (None, f"JSON of type {type(value).__name__}, expected an object")
    )


def check_keys(objects: list[tuple[int, dict[str, Any]]], recipe: Recipe, shown: str) -> None:
    """Reject objects if a column is missing in all of them.

    Raises:
        SourceError: a column is missing in all.
    """
    missing = [one for one in recipe.used() if all(value_at(value, one) is None for _, value in objects)]
    if objects and missing:
        raise SourceError(
            f"{shown} has no column {missing[0]!r} in {len(objects):,} objects; the first has "
            f"{', '.join(visible(name)[:40] for name in list(objects[0][1])[:20])}: correct the name in the recipe"
        )


def object_rows(
    objects: list[tuple[int, dict[str, Any]]], recipe: Recipe, bad: list[BadRow], pictures: pa.Array | None = None
) -> Rows:
    """Rows of numbered JSON objects, and the invalid lines between them."""
    cells = {
        one: pa.array([as_text(value_at(value, one)) for _, value in objects], pa.string()) for one in recipe.used()
    }
    numbers = np.array([number for number, _ in objects], np.int64)
    return Rows(numbers, cells, lambda at: shown_row(objects[at][1]), bad, pictures)


def value_at(value: dict[str, Any], column: Column) -> Any:
    """The value of a name; `a.b` is `b` in the object `a`. A number is a position from 1."""
    if isinstance(column, int):
        return list(value.values())[column - 1] if column <= len(value) else None
    if column in value:
        return value[column]
    lower = [one for name, one in value.items() if name.lower() == column.lower()]
    if len(lower) == 1:
        return lower[0]
    outer, _, inner = column.partition(".")
    deeper = value.get(outer)
    return value_at(deeper, inner) if inner and isinstance(deeper, dict) else None


def as_text(value: Any) -> str | None:
    """A value of JSON as a cell of text."""
    if value is None or isinstance(value, str):
        # A lone surrogate is not valid text; Arrow would reject the whole column.
        return value if value is None else value.encode("utf-8", "replace").decode()
    return json.dumps(value)
