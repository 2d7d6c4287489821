"""Rows of a list, and the lines that are not rows: what the reader of every format returns."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from storage.records import Reason
from storage.text.names import visible
from tasks.links.recipes.recipe import Column

Ints = npt.NDArray[np.int64]
# The number of a line, its text, and the reason it is invalid.
BadRow = tuple[int, str, Reason, str]

# The number of characters of a line that messages and tables of rejected lines keep.
KEPT_TEXT = 300
# The number of rows that the readers of JSON and Parquet return together.
ROWS_PER_BLOCK = 65_536
NOT_UTF8 = "not UTF-8, perhaps Latin-1 (ISO 8859-1, Windows-1252): save the list as UTF-8"


@dataclass(frozen=True)
class Rows:
    """Some rows of a list, and the invalid lines between them.

    Attributes:
        numbers: int64[n], the number of each row's first line in the file, from 1.
        cells: the requested columns; text, or Parquet's types.
        text: the row as text for messages, by position.
        bad: invalid lines.
        pictures: text[n], the location of each picture in the file; None if a column has it.
    """

    numbers: Ints
    cells: dict[Column, pa.Array]
    text: Callable[[int], str]
    bad: list[BadRow] = field(default_factory=list)
    pictures: pa.Array | None = None


def shown_line(line: bytes) -> str:
    """The start of a line, for messages."""
    return visible(line[: 4 * KEPT_TEXT].decode(errors="replace")[:KEPT_TEXT])


def shown_row(row: dict[str, Any]) -> str:
    """The start of a row as JSON, for messages."""
    return visible(json.dumps(row, default=str, ensure_ascii=False))[:KEPT_TEXT]
