"""The format of a list, by its first rows; files that are not lists are rejected."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from storage.errors import SourceError
from tasks.images.formats import sniff
from tasks.links.recipes.recipe import FormatName, Recipe
from tasks.links.sources.list_bytes import HEAD_BYTES

_COUNT_LINE = re.compile(rb"\s*[0-9]+\s*")
_WEB_PAGE = re.compile(rb"\s*<(?:!doctype|html|\?xml)", re.IGNORECASE)


def format_of(head: bytes, path: Path, recipe: Recipe | None = None) -> FormatName:
    """The format of a list, by its first rows, then by the name of the file."""
    if head.startswith(b"PAR1"):
        return "parquet"
    start = head.lstrip()[:1]
    if start == b"{":
        first = head.lstrip().split(b"\n", 1)[0].strip()
        return "jsonl" if first.endswith(b"}") and _is_json(first) and not _is_nested(first) else "json"
    if start == b"[":
        return "json"
    expected = len(recipe.columns) if recipe and recipe.columns else None
    kinds: tuple[FormatName, ...] = ("tsv", "csv", "blanks")
    fields: dict[FormatName, int] = {kind: num for kind in kinds if (num := num_fields(head, kind)) > 1}
    for kind, num in fields.items():
        if num == expected:
            return kind
    by_name: dict[str, FormatName] = {".csv": "csv", ".tsv": "tsv"}
    named = by_name.get(Path(path.name.removesuffix(".gz").removesuffix(".zst")).suffix)
    return next(iter(fields), named or ("csv" if expected and expected > 1 else "lines"))


def num_fields(head: bytes, kind: FormatName) -> int:
    """The number of fields of at least 90% of the first rows in a format; 0 if there is no such number."""
    rows = sample_rows(head, kind)
    rows = rows[1:] or rows  # a header may have another number
    counts = np.bincount([len(row) for row in rows]) if rows else np.zeros(1, int)
    return int(counts.argmax()) if counts.max() >= 0.9 * len(rows) > 0 else 0


def sample_rows(head: bytes, kind: FormatName, num: int = 200) -> list[list[str]]:
    """The first rows of a list without its comments and count line, split into trimmed cells."""
    lines = data_lines(head, kind)
    text = b"\n".join(lines[: 20 * num]).decode(errors="replace")
    if kind == "csv":
        rows = []
        try:
            for row in csv.reader(io.StringIO(text)):
                rows += [row] if row else []
        except csv.Error:
            pass
        # The last row of the sample may be truncated.
        rows = rows[: max(len(rows) - (len(rows) > 1 and len(head) >= HEAD_BYTES), 0)][:num]
        return [[cell.strip() for cell in row] for row in rows]
    full = [line for line in text.split("\n")[:num] if line.strip()]
    if kind == "blanks":
        return [line.split() for line in full]
    return [[cell.strip() for cell in (line.split("\t") if kind == "tsv" else [line])] for line in full]


def data_lines(head: bytes, kind: FormatName) -> list[bytes]:
    """The lines of a list's beginning, without comments and count line."""
    lines = head.split(b"\n")
    start = num_comments(lines)
    if kind == "blanks" and start < len(lines) and _COUNT_LINE.fullmatch(lines[start]):
        start += 1
    return lines[start:]


def num_comments(lines: Sequence[bytes]) -> int:
    """The number of lines at the start that begin with a number sign."""
    return next((at for at, line in enumerate(lines) if not line.startswith(b"#")), len(lines))


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _is_nested(line: bytes) -> bool:
    """Whether all values of an object are objects, as in an object of rows by key."""
    value = json.loads(line)
    return isinstance(value, dict) and len(value) > 1 and all(isinstance(one, dict) for one in value.values())


def check_kind(kind: FormatName, head: bytes, shown: str) -> None:
    """Reject files that are not lists.

    Raises:
        SourceError: it is empty, a picture, a page, an archive, or Parquet under a text format or the reverse.
    """
    if head[257:262] == b"ustar":
        raise SourceError(f"{shown} is a compressed tar, of which single members cannot be read: decompress it to .tar")
    found = (
        "empty" if not head.strip()
        else "a picture" if sniff(head[:128])
        else "an HTML or XML page" if _WEB_PAGE.match(head)
        else "a ZIP archive, or a spreadsheet" if head.startswith(b"PK\x03\x04")
        else "a PDF" if head.startswith(b"%PDF")
        else "Parquet" if head.startswith(b"PAR1") and kind != "parquet"
        else "not Parquet" if kind == "parquet" and not head.startswith(b"PAR1")
        else ""
    )  # fmt: skip
    if found:
        raise SourceError(f"{shown} is {found}, expected a list as {kind}: give the list itself")
