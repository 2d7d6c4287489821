"""Read a list of given bytes, and show what was read."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from storage.records import LINK_LINES, REJECTED_LINES
from tasks.links.recipes.recipe import Recipe
from tasks.links.sources.source import SourceLines
from tasks.links.sources.table import read_list

NAMED = Recipe(url="url", identity="name")
URL = "http://a.example/x.jpg"
SHA = hashlib.sha256(b"x").hexdigest()


def read(folder: Path, data: bytes | str, recipe: Recipe = NAMED, name: str = "list.csv") -> SourceLines:
    file = folder / name
    file.write_bytes(data.encode() if isinstance(data, str) else data)
    found = read_list(recipe, file, None, name).lines
    assert found.lines.schema == LINK_LINES
    assert found.rejected.schema == REJECTED_LINES
    return found


def good(found: SourceLines) -> list[tuple[str, int, str]]:
    """(person, line, URL) in the order of the list."""
    rows = found.lines.select(["identity", "line", "url"]).sort_by("line").to_pylist()
    return [tuple(row.values()) for row in rows]


def bad(found: SourceLines) -> list[tuple[int, str, str]]:
    """(line, reason, detail) in the order of the list."""
    rows = found.rejected.select(["line", "reason", "detail"]).sort_by("line").to_pylist()
    return [tuple(row.values()) for row in rows]


def parquet(rows: list[dict[str, Any]]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue().to_pybytes()
