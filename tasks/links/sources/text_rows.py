"""The rows of a list of text: CSV, TSV, columns separated by blanks, or a value a line.

Text is read in blocks of 8 MB and split into columns by pyarrow, one line per row. Lines that pyarrow rejects are
compared with those it accepts, so that none is lost.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from storage.records import Reason
from tasks.links.recipes.recipe import Column, FormatName, Recipe
from tasks.links.sources.list_bytes import text_blocks
from tasks.links.sources.list_columns import header_of, places_of
from tasks.links.sources.rows import NOT_UTF8, BadRow, Ints, Rows, shown_line
from tasks.links.sources.text_lines import Lines, line_ends, num_lines

_DELIMITERS: dict[FormatName, bytes] = {"csv": b",", "tsv": b"\t", "blanks": b" ", "lines": b"\n"}


def text_rows(path: Path, recipe: Recipe, kind: FormatName, shown: str) -> Iterator[Rows]:
    """The rows of a file of text, a block at a time."""
    cutter: _Cutter | None = None
    rest = b""
    for block, is_last in text_blocks(path, shown):
        data = rest + block
        if cutter is None:
            names, num_skipped = header_of(data, recipe, kind)
            cutter = _Cutter(kind, names, places_of(recipe, names, shown), num_skipped)
            for _ in range(num_skipped):
                data = data[data.find(b"\n") + 1 :] if b"\n" in data else b""
        rows, rest = cutter.rows(data, is_last=is_last)
        yield rows


@dataclass
class _Cutter:
    """Splits text into rows, block by block.

    Attributes:
        wanted: the requested columns and their positions.
        num_lines: the number of lines so far.
        blank: the numbers of the preceding empty lines; those at the end of a file are ignored.
        is_plain: whether every line so far was a row. Such blocks are read without a search for their lines.
    """

    kind: FormatName
    names: list[str]
    wanted: dict[Column, int]
    num_lines: int = 0
    blank: list[int] = field(default_factory=list)
    is_plain: bool = True

    def rows(self, block: bytes, *, is_last: bool) -> tuple[Rows, bytes]:
        """The rows of a block of whole lines, and the lines to prepend to the next block."""
        plain = self._plain_rows(block) if self.is_plain else None
        if plain is not None:
            return plain, b""
        self.is_plain = False
        lines = Lines(block, self.num_lines + 1)
        bad: list[BadRow] = []
        rest = b""
        if self.kind == "csv" and b'"' in block:
            rest = lines.join_quoted(bad, is_last=is_last)
        self._drop_blank(lines, bad)
        self.num_lines += lines.num_lines
        kept, numbers = lines.kept()
        ends = lines.ends if len(numbers) == len(lines.ends) else line_ends(np.frombuffer(kept, np.uint8))[0]
        cells, numbers, starts = self._cut(kept, numbers, ends, bad)
        return Rows(numbers, cells, lambda at: shown_line(_line_at(kept, starts[at])), bad), rest

    def _plain_rows(self, block: bytes) -> Rows | None:
        """The rows of a block in ASCII of which every line is one row; None of any other block."""
        if self.kind not in {"csv", "tsv"} or not block.endswith(b"\n") or not block.isascii():
            return None
        # pyarrow takes a quote that is not closed at the end for closed.
        if self.kind == "csv" and block.count(b'"', block.rfind(b"\n", 0, -1) + 1) % 2:
            return None
        table, wrong = self._parse(block)
        if table is None or wrong or len(table) != num_lines(block):
            return None
        cells = self._cells(table)
        if _has_empty_row(list(cells.values())):
            return None
        numbers = np.arange(len(table)) + self.num_lines + 1
        self.num_lines += len(table)
        lines = cache(partial(Lines, block, 1))
        return Rows(numbers, cells, lambda at: shown_line(lines().text(at, at)))

    def _parse(self, data: bytes) -> tuple[Any, list[tuple[int, int]]]:
        return _parsed(data, self.kind, self.names, sorted(set(self.wanted.values())))

    def _cells(self, table: pa.Table) -> dict[Column, pa.Array]:
        """The requested columns of a table."""
        columns = {at: _one_chunk(table.column(name)) for at, name in _named(table)}
        return {one: columns[at] for one, at in self.wanted.items()}

    def _drop_blank(self, lines: Lines, bad: list[BadRow]) -> None:
        empty = lines.empty()
        full = np.flatnonzero(lines.is_kept & ~empty)
        last = int(full[-1]) if len(full) else -1
        inside = [lines.first + int(at) for at in np.flatnonzero(empty[: last + 1])]
        if len(full):
            bad += [(number, "", Reason.MALFORMED_LINE, "an empty line") for number in [*self.blank, *inside]]
            self.blank = []
        self.blank += [lines.first + int(at) for at in np.flatnonzero(empty[last + 1 :]) + last + 1]
        lines.is_kept &= ~empty

    def _cut(
        self, kept: bytes, numbers: Ints, ends: Ints, bad: list[BadRow]
    ) -> tuple[dict[Column, pa.Array], Ints, Ints]:
        """Cells by column, and the number and offset of each row; other lines go to `bad`."""
        starts = np.r_[0, ends + 1][: len(ends)]
        is_utf8 = kept.isascii() or _is_utf8(kept)
        if self.kind == "lines":
            cells: dict[Column, pa.Array] = dict.fromkeys(self.wanted, _slices(kept, starts, ends))
            return (cells, numbers, starts) if is_utf8 else self._decoded(cells, kept, numbers, starts, bad)
        data = kept
        if self.kind == "blanks":
            data = re.sub(rb"(?m)^ | $", b"", re.sub(rb"[ \t]+", b" ", kept))
        if not is_utf8:
            # pyarrow cannot return rows that are not UTF-8: read as Latin-1, and converted back below.
            data = data.decode("latin-1").encode()
        table, wrong = self._parse(data)
        if table is None or len(table) + len(wrong) != len(numbers):
            table, wrong = _parsed_one_by_one(data, self.kind, self.names)
        if wrong:
            bad += [self._bad(kept, numbers, starts, at, self._why(num)) for at, num in wrong]
            is_row = np.ones(len(numbers), bool)
            is_row[[at for at, _ in wrong]] = False
            numbers, starts = numbers[is_row], starts[is_row]
        cells = self._cells(table)
        if is_utf8:
            return cells, numbers, starts
        return self._decoded({one: _as_bytes(cell) for one, cell in cells.items()}, kept, numbers, starts, bad)

    def _decoded(
        self, cells: dict[Column, pa.Array], kept: bytes, numbers: Ints, starts: Ints, bad: list[BadRow]
    ) -> tuple[dict[Column, pa.Array], Ints, Ints]:
        """Remove the rows with a requested cell that is not UTF-8; other cells are not checked."""
        broken = np.zeros(len(numbers), bool)
        for column in cells.values():
            broken |= _not_utf8(column)
        bad += [self._bad(kept, numbers, starts, at, NOT_UTF8) for at in np.flatnonzero(broken).tolist()]
        good = pa.array(~broken)
        whole = {one: column.filter(good).cast(pa.binary()).cast(pa.string()) for one, column in cells.items()}
        return whole, numbers[~broken], starts[~broken]

    def _bad(self, kept: bytes, numbers: Ints, starts: Ints, at: int, why: str) -> BadRow:
        return int(numbers[at]), shown_line(_line_at(kept, starts[at])), Reason.MALFORMED_LINE, why

    def _why(self, num: int) -> str:
        return f"{num} fields, expected {len(self.names)}" if num else "quotes that are not closed, or closed too early"


def _parsed(data: bytes, kind: FormatName, names: list[str], places: list[int]) -> tuple[Any, list[tuple[int, int]]]:
    """Some columns of the valid lines, (position, number of fields) of the others; no table if pyarrow fails."""
    wrong: list[tuple[int, int]] = []

    def on_wrong(row: Any) -> str:
        wrong.append((row.number - 1, row.actual_columns))
        return "skip"

    labels = [str(at) for at in range(len(names))]
    if not data:
        return pa.table({str(at): pa.array([], pa.string()) for at in places}), []
    try:
        table = pa.csv.read_csv(
            pa.BufferReader(data),
            pa.csv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=labels),
            pa.csv.ParseOptions(
                delimiter=_DELIMITERS[kind].decode(),
                quote_char='"' if kind == "csv" else False,
                ignore_empty_lines=False,
                invalid_row_handler=on_wrong,
            ),
            pa.csv.ConvertOptions(
                check_utf8=False,
                column_types=dict.fromkeys(labels, pa.string()),
                include_columns=[str(at) for at in places],
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid:
        return None, []
    return table, wrong


def _parsed_one_by_one(data: bytes, kind: FormatName, names: list[str]) -> tuple[Any, list[tuple[int, int]]]:
    """As `_parsed`, line by line: an invalid line does not affect others."""
    rows: list[list[str]] = []
    wrong: list[tuple[int, int]] = []
    for at, line in enumerate(data.split(b"\n")[:-1]):
        cells = _cells_of(line.decode(), kind)
        if len(cells) == len(names):
            rows.append(cells)
        else:
            wrong.append((at, len(cells)))
    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    return pa.table({str(at): pa.array(column, pa.string()) for at, column in enumerate(columns)}), wrong


def _cells_of(line: str, kind: FormatName) -> list[str]:
    if kind != "csv":
        return line.split(_DELIMITERS[kind].decode())
    try:
        rows = list(csv.reader([line], strict=True))
    except csv.Error:
        return []
    return rows[0] if len(rows) == 1 else []


def _has_empty_row(columns: list[pa.Array]) -> bool:
    """Whether all cells of a row are empty, as those of an empty line."""
    is_empty = np.ones(len(columns[0]), bool) if columns else np.zeros(0, bool)
    for column in columns:
        is_empty &= pc.equal(pc.binary_length(column), 0).to_numpy(zero_copy_only=False)
        if not is_empty.any():
            return False
    return bool(is_empty.any())


def _not_utf8(column: pa.Array) -> npt.NDArray[np.bool_]:
    """A mask of the cells that are not UTF-8, of an unchecked column."""
    raw = column.cast(pa.binary())
    try:
        raw.cast(pa.string())
    except pa.ArrowInvalid:
        return np.array([not _is_utf8(cell) for cell in raw.to_pylist()])
    return np.zeros(len(column), bool)


def _is_utf8(cell: bytes) -> bool:
    try:
        cell.decode()
    except UnicodeDecodeError:
        return False
    return True


def _as_bytes(column: pa.Array) -> pa.Array:
    """The bytes that were read as Latin-1."""
    return pa.array([cell.encode("latin-1") for cell in column.to_pylist()], pa.binary())


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _named(table: pa.Table) -> list[tuple[int, str]]:
    return [(int(name), name) for name in table.column_names]


def _slices(data: bytes, starts: Ints, ends: Ints) -> pa.Array:
    """Lines as an array of text not validated as UTF-8."""
    if not len(starts):
        return pa.array([], pa.string())
    offsets = np.r_[starts, ends[-1] + 1].astype(np.int32)
    with_ends = pa.StringArray.from_buffers(len(starts), pa.py_buffer(offsets), pa.py_buffer(data))
    return pc.ascii_rtrim(with_ends, "\n")


def _line_at(data: bytes, start: int) -> bytes:
    end = data.find(b"\n", start)
    return data[start : end if end >= 0 else len(data)]
