"""Read the rows of a list of any format: blocks of columns by name, and the invalid lines.

Text is read in blocks of 16 MB and split into columns by pyarrow, one line per row. Quoted cells of CSV may contain
line ends; a quote that is not closed within 1000 lines and 1 MB invalidates its own line only. Lines that pyarrow
rejects are compared with those it accepts, so that none is lost.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from storage.errors import SourceError
from storage.names import visible
from storage.records import Reason
from storage.text import as_utf8, encoding_of
from tasks.images.formats import sniff
from tasks.links.recipes.recipe import Column, FormatName, Recipe
from tasks.links.sources.parquet_pictures import class_names, is_there, named, picture_column

Ints = npt.NDArray[np.int64]
# The number of a line, its text, and the reason it is invalid.
BadRow = tuple[int, str, Reason, str]

BLOCK_BYTES = 16_000_000
# Limits of a line, and of a decompressed file.
MAX_LINE_BYTES = 64_000_000
MAX_UNPACKED_BYTES = 64_000_000_000
# JSON in one document, and text in UTF-16 or UTF-32, are read as a whole.
MAX_WHOLE_BYTES = 1_000_000_000
# The limits of a quoted cell; the longest known one has 9 lines.
MAX_ROW_LINES, MAX_ROW_BYTES = 1000, 1_000_000
KEPT_TEXT = 300
_PARQUET_ROWS = 65_536
_HEAD_BYTES = 1_000_000
_PART_BYTES = 1 << 18
_NOT_UTF8 = "not UTF-8, perhaps Latin-1 (ISO 8859-1, Windows-1252): save the list as UTF-8"
_DELIMITERS: dict[FormatName, bytes] = {"csv": b",", "tsv": b"\t", "blanks": b" ", "lines": b"\n"}
_COUNT_LINE = re.compile(rb"\s*[0-9]+\s*")
_WEB_PAGE = re.compile(rb"\s*<(?:!doctype|html|\?xml)", re.IGNORECASE)


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


def read_rows(path: Path, recipe: Recipe, shown: str) -> Iterator[Rows]:
    """The rows of one file, in order.

    Args:
        shown: the file as shown in errors.

    Raises:
        SourceError: it has another format, is damaged, or lacks a column of the recipe.
        OSError: it cannot be read.
    """
    with unbroken(shown):
        head = read_head(path)
        kind = recipe.format or format_of(head, path, recipe)
        check_kind(kind, head, shown)
        if recipe.image is not None and kind != "parquet":
            raise SourceError(f"{shown} is {kind}, which holds no bytes of pictures: name url or file in the recipe")
        if kind == "parquet":
            yield from _parquet_rows(path, recipe, shown)
        elif kind == "json":
            yield from _json_rows(path, recipe, shown)
        elif kind == "jsonl":
            yield from _jsonl_rows(path, recipe, shown)
        else:
            yield from _text_rows(path, recipe, kind, shown)


@contextmanager
def unbroken(shown: str) -> Iterator[None]:
    """Within the block, errors of a damaged file become a SourceError of one line."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile, pa.ArrowException) as error:
        why = " ".join(str(error).split())[:200]
        raise SourceError(f"{shown} is broken or cut off ({why}): get it anew") from error


# -- files --


def unpacked(path: Path) -> BinaryIO:
    """A file's bytes, decompressed from gzip or zstd whatever its name."""
    with path.open("rb") as file:
        start = file.read(4)
    if start.startswith(b"\x1f\x8b"):
        return gzip.open(path)  # type: ignore[return-value]
    if start == b"\x28\xb5\x2f\xfd":
        return pa.input_stream(str(path), compression="zstd")  # type: ignore[no-any-return]
    return path.open("rb")


def read_head(path: Path) -> bytes:
    """The first megabyte of a list, in UTF-8 and with line feeds alone; Parquet as it is."""
    with unpacked(path) as stream:
        head = stream.read(_HEAD_BYTES)
    return head if head.startswith(b"PAR1") else _with_line_feeds(as_utf8(head))


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
        rows = rows[: max(len(rows) - (len(rows) > 1 and len(head) >= _HEAD_BYTES), 0)][:num]
        return [[cell.strip() for cell in row] for row in rows]
    full = [line for line in text.split("\n")[:num] if line.strip()]
    if kind == "blanks":
        return [line.split() for line in full]
    return [[cell.strip() for cell in (line.split("\t") if kind == "tsv" else [line])] for line in full]


def data_lines(head: bytes, kind: FormatName) -> list[bytes]:
    """The lines of a list's beginning, without comments and count line."""
    lines = head.split(b"\n")
    start = _num_comments(lines)
    if kind == "blanks" and start < len(lines) and _COUNT_LINE.fullmatch(lines[start]):
        start += 1
    return lines[start:]


def _num_comments(lines: Sequence[bytes]) -> int:
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
        raise SourceError(f"{shown} is a tar that is compressed, so its members cannot be read in place: unpack it")
    found = (
        "empty" if not head.strip()
        else "a picture" if sniff(head[:128])
        else "a page of HTML or XML" if _WEB_PAGE.match(head)
        else "a ZIP archive, or a spreadsheet" if head.startswith(b"PK\x03\x04")
        else "a PDF" if head.startswith(b"%PDF")
        else "Parquet" if head.startswith(b"PAR1") and kind != "parquet"
        else "no Parquet" if kind == "parquet" and not head.startswith(b"PAR1")
        else ""
    )  # fmt: skip
    if found:
        raise SourceError(f"{shown} is {found}: give the list itself, as {kind}")


# -- text --


def _text_blocks(path: Path, shown: str) -> Iterator[tuple[bytes, bool]]:
    """(whole lines, whether they are the last), in UTF-8 and with line feeds alone."""
    with unpacked(path) as stream:
        block = stream.read(BLOCK_BYTES)
        if encoding_of(block) != "utf-8":
            data = as_utf8(block + stream.read(MAX_WHOLE_BYTES))
            if len(data) >= MAX_WHOLE_BYTES:
                raise SourceError(f"{shown} is in UTF-16 or UTF-32 and too large to be read so: save it as UTF-8")
            yield _with_line_feeds(data), True
            return
        rest = b""
        block = block.removeprefix(codecs.BOM_UTF8)
        num_bytes = len(block)
        while True:
            following = stream.read(BLOCK_BYTES)
            num_bytes += len(following)
            if num_bytes > MAX_UNPACKED_BYTES:
                raise SourceError(f"{shown} unpacks to over {MAX_UNPACKED_BYTES:,} bytes: give it in parts")
            # A CR LF split between two blocks must not count as two line ends.
            held = b"\r" if following and block.endswith(b"\r") else b""
            data = _with_line_feeds(block[: len(block) - len(held)])
            if not following:
                yield rest + data, True
                return
            end = data.rfind(b"\n") + 1
            if end:
                # One copy of the block, not one to join it to the rest and another to cut it.
                yield b"".join((rest, memoryview(data)[:end])), False
            rest, block = (data[end:] if end else rest + data), held + following
            if len(rest) > MAX_LINE_BYTES:
                raise SourceError(f"{shown} has a line of over {MAX_LINE_BYTES:,} bytes: it is no list")


def _with_line_feeds(data: bytes) -> bytes:
    if b"\r" not in data:
        return data
    return re.sub(rb"\r+\n", b"\n", data).replace(b"\r", b"\n")


@dataclass
class _Cutter:
    """Splits text into rows, block by block.

    Attributes:
        wanted: the requested columns and their positions.
        num_lines: the number of lines so far.
        blank: the numbers of the preceding empty lines; those at the end of a file are ignored.
    """

    kind: FormatName
    names: list[str]
    wanted: dict[Column, int]
    num_lines: int = 0
    blank: list[int] = field(default_factory=list)

    def rows(self, block: bytes, *, is_last: bool) -> tuple[Rows, bytes]:
        """The rows of a block of whole lines, and the lines to prepend to the next block."""
        lines = _Lines(block, self.num_lines + 1)
        bad: list[BadRow] = []
        rest = b""
        if self.kind == "csv" and b'"' in block:
            rest = lines.join_quoted(bad, is_last=is_last)
        self._drop_blank(lines, bad)
        self.num_lines += lines.num_lines
        kept, numbers = lines.kept()
        ends = lines.ends if len(numbers) == len(lines.ends) else _line_ends(np.frombuffer(kept, np.uint8))[0]
        cells, numbers, starts = self._cut(kept, numbers, ends, bad)
        return Rows(numbers, cells, lambda at: _shown(_line_at(kept, starts[at])), bad), rest

    def _drop_blank(self, lines: _Lines, bad: list[BadRow]) -> None:
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
        table, wrong = _parsed(data, self.kind, self.names, sorted(set(self.wanted.values())))
        if table is None or len(table) + len(wrong) != len(numbers):
            table, wrong = _parsed_one_by_one(data, self.kind, self.names)
        if wrong:
            bad += [self._bad(kept, numbers, starts, at, self._why(num)) for at, num in wrong]
            is_row = np.ones(len(numbers), bool)
            is_row[[at for at, _ in wrong]] = False
            numbers, starts = numbers[is_row], starts[is_row]
        columns = {at: _one_chunk(table.column(name)) for at, name in _named(table)}
        cells = {one: columns[at] for one, at in self.wanted.items()}
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
        bad += [self._bad(kept, numbers, starts, at, _NOT_UTF8) for at in np.flatnonzero(broken).tolist()]
        good = pa.array(~broken)
        whole = {one: column.filter(good).cast(pa.binary()).cast(pa.string()) for one, column in cells.items()}
        return whole, numbers[~broken], starts[~broken]

    def _bad(self, kept: bytes, numbers: Ints, starts: Ints, at: int, why: str) -> BadRow:
        return int(numbers[at]), _shown(_line_at(kept, starts[at])), Reason.MALFORMED_LINE, why

    def _why(self, num: int) -> str:
        return f"{num} fields, expected {len(self.names)}" if num else "quotes that are not closed, or closed too early"


class _Lines:
    """The lines of a block, some of which are dropped or joined before the split into rows."""

    def __init__(self, block: bytes, first: int) -> None:
        data = block if block.endswith(b"\n") or not block else block + b"\n"
        self.first = first
        self.whole: bytes | None = data
        self.data = np.frombuffer(data, np.uint8)
        self.ends, self.num_quotes = _line_ends(self.data)
        self.starts: Ints = np.r_[0, self.ends + 1][: len(self.ends)]
        self.is_kept = np.ones(len(self.ends), bool)
        # Lines that continue in the next one: their ends become blanks.
        self.goes_on = np.zeros(len(self.ends), bool)
        self.num_lines = len(self.ends)

    def empty(self) -> npt.NDArray[np.bool_]:
        """A mask of the empty lines that are not within a cell."""
        inside = np.r_[False, self.goes_on[:-1]] if len(self.goes_on) else self.goes_on
        return np.asarray((self.ends == self.starts) & ~inside & ~self.goes_on)

    def text(self, first: int, last: int) -> bytes:
        """The lines from `first` to `last`."""
        return self.data[self.starts[first] : self.ends[last]].tobytes()

    def join_quoted(self, bad: list[BadRow], *, is_last: bool) -> bytes:
        """Join the lines of one row, drop lines with an unclosed quote; returns those kept for the next block."""
        odd = np.flatnonzero(self.num_quotes % 2)
        at = 0
        while at < len(odd):
            first = int(odd[at])
            last = int(odd[at + 1]) if at + 1 < len(odd) else None
            if last is not None and self._is_near(first, last) and _is_one_row(self.text(first, last)):
                self.goes_on[first:last] = True
                at += 2
            elif last is None and not is_last and self._is_near(first, len(self.ends) - 1):
                return self._hold_back(first)
            else:
                if not _has_quotes_inside_cells(self.text(first, first)):
                    self.is_kept[first] = False
                    why = "a quote is opened here and not closed"
                    bad.append((self.first + first, _shown(self.text(first, first)), Reason.MALFORMED_LINE, why))
                at += 1
        return b""

    def _is_near(self, first: int, last: int) -> bool:
        return last - first < MAX_ROW_LINES and self.ends[last] - self.starts[first] <= MAX_ROW_BYTES

    def _hold_back(self, first: int) -> bytes:
        rest = self.data[self.starts[first] :].tobytes()
        self.whole = None
        self.data = self.data[: self.starts[first]]
        self.ends, self.starts, self.num_lines = self.ends[:first], self.starts[:first], first
        self.is_kept, self.goes_on = self.is_kept[:first], self.goes_on[:first]
        return rest

    def kept(self) -> tuple[bytes, Ints]:
        """The remaining lines, one per row, and their numbers."""
        data = self.data
        if self.goes_on.any():
            self.whole = None
            data = data.copy()
            data[self.ends[self.goes_on]] = 32
        begins = ~np.r_[False, self.goes_on[:-1]] if len(self.goes_on) else self.goes_on
        numbers: Ints = np.flatnonzero(self.is_kept & begins) + self.first
        if self.is_kept.all():
            return data.tobytes() if self.whole is None else self.whole, numbers
        changes = np.flatnonzero(np.diff(np.r_[False, self.is_kept, False].astype(np.int8)))
        ranges = zip(changes[::2], changes[1::2] - 1, strict=True)
        return b"".join(data[self.starts[a] : self.ends[b] + 1].tobytes() for a, b in ranges), numbers


def _line_ends(data: npt.NDArray[np.uint8]) -> tuple[Ints, Ints]:
    """The positions of the line ends of whole lines, and the number of quotes in each line."""
    found: list[Ints] = []
    # In parts that stay in a cache of the processor, and in one pass for both bytes.
    for at in range(0, len(data), _PART_BYTES):
        part = data[at : at + _PART_BYTES]
        found.append(np.flatnonzero((part == 10) | (part == 34)) + at)
    places: Ints = np.concatenate(found) if found else np.zeros(0, np.int64)
    ends = np.flatnonzero(data[places] == 10)
    return places[ends], np.diff(ends, prepend=-1) - 1


def _is_one_row(text: bytes) -> bool:
    """Whether lines are one valid row of CSV."""
    try:
        return len(list(csv.reader(io.StringIO(text.decode("latin-1")), strict=True))) == 1
    except csv.Error:
        return False


def _has_quotes_inside_cells(line: bytes) -> bool:
    """Whether a line's quotes belong to its cells, as in `5" tall`: none is at the start of a cell."""
    return not re.search(rb'(?:^|,)"', line)


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


def _shown(line: bytes) -> str:
    """The start of a line, for messages."""
    return visible(line[: 4 * KEPT_TEXT].decode(errors="replace")[:KEPT_TEXT])


def _text_rows(path: Path, recipe: Recipe, kind: FormatName, shown: str) -> Iterator[Rows]:
    cutter: _Cutter | None = None
    rest = b""
    for block, is_last in _text_blocks(path, shown):
        data = rest + block
        if cutter is None:
            names, num_skipped = _header(data, recipe, kind)
            cutter = _Cutter(kind, names, places_of(recipe, names, shown), num_skipped)
            for _ in range(num_skipped):
                data = data[data.find(b"\n") + 1 :] if b"\n" in data else b""
        rows, rest = cutter.rows(data, is_last=is_last)
        yield rows


def _header(block: bytes, recipe: Recipe, kind: FormatName) -> tuple[list[str], int]:
    """The names of the columns, and the number of lines before the rows: comments, a count line, a header."""
    lines = block[:_HEAD_BYTES].split(b"\n")
    comments = lines[: _num_comments(lines)]
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
                f"{shown} has no column {one!r}; it has {len(names)}: {listed}: name it in the recipe as the list does"
            )
    return found


# -- Parquet and JSON --


def _parquet_rows(path: Path, recipe: Recipe, shown: str) -> Iterator[Rows]:
    with unpacked(path) as stream, pq.ParquetFile(_seekable(stream, path)) as file:
        names = file.schema_arrow.names
        places = places_of(recipe, names, shown)
        columns = {names[at] for at in places.values()}
        where = None if recipe.image is None else picture_column(file.schema_arrow, recipe.image, shown)
        if where is not None:
            if where.column in columns:
                raise SourceError(f"{shown}: column {where.column!r} holds the pictures: no other field may name it")
            # The leaf with the bytes is not read here: it is nearly all of the file.
            columns |= {where.leaf_beside} if where.leaf_beside else set()
        labels = class_names(file.schema_arrow) if where is not None else {}
        first = 1
        for every in file.iter_batches(_PARQUET_ROWS, columns=sorted(columns)):
            batch = every
            numbers = np.arange(first, first + len(batch), dtype=np.int64)
            first += len(batch)
            bad: list[BadRow] = []
            if where is not None and where.leaf_beside:
                has_picture = is_there(batch.column(where.column), where)
                lost = numbers[pc.invert(has_picture).to_numpy(zero_copy_only=False)].tolist()
                bad = [(number, "", Reason.MALFORMED_LINE, f"{recipe.image} is null: no picture") for number in lost]
                batch, numbers = batch.filter(has_picture), np.setdiff1d(numbers, lost)
            cells = {one: batch.column(names[at]) for one, at in places.items()}
            cells |= {one: named(cells[one], labels[names[at]]) for one, at in places.items() if names[at] in labels}
            pictures = None if where is None else pa.array(numbers).cast(pa.string())
            yield Rows(numbers, cells, partial(_shown_batch_row, batch), bad, pictures)


def _shown_batch_row(batch: pa.RecordBatch, at: int) -> str:
    return _shown_row(batch.slice(at, 1).to_pylist()[0])


def _seekable(stream: BinaryIO, path: Path) -> Any:
    """A seekable file; a compressed one is decompressed in memory, since Parquet is read from its end."""
    return str(path) if isinstance(stream, io.BufferedReader) else pa.BufferReader(stream.read(MAX_WHOLE_BYTES))


def _jsonl_rows(path: Path, recipe: Recipe, shown: str) -> Iterator[Rows]:
    number = 0
    blank: list[int] = []
    for block, _ in _text_blocks(path, shown):
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
                bad.append((number, _shown(line), Reason.MALFORMED_LINE, why))
            else:
                objects.append((number, value))
        check_keys(objects, recipe, shown)
        yield object_rows(objects, recipe, bad)


def check_keys(objects: list[tuple[int, dict[str, Any]]], recipe: Recipe, shown: str) -> None:
    """Reject objects if a column is missing in all of them.

    Raises:
        SourceError: a column is missing in all.
    """
    missing = [one for one in recipe.used() if all(value_at(value, one) is None for _, value in objects)]
    if objects and missing:
        raise SourceError(
            f"{shown} has no column {missing[0]!r} in {len(objects):,} objects; the first has "
            f"{', '.join(visible(name)[:40] for name in list(objects[0][1])[:20])}: name it as the list does"
        )


def json_object(line: bytes) -> tuple[dict[str, Any] | None, str]:
    """A JSON object, or None and the reason."""
    try:
        value = json.loads(line.decode())
    except UnicodeDecodeError:
        return None, _NOT_UTF8
    except (ValueError, RecursionError) as error:
        return None, f"no JSON: {visible(str(error))[:100]}"
    return (value, "") if isinstance(value, dict) else (None, f"a JSON {type(value).__name__}, no object")


def _json_rows(path: Path, recipe: Recipe, shown: str) -> Iterator[Rows]:
    with unpacked(path) as stream:
        data = as_utf8(stream.read(MAX_WHOLE_BYTES + 1))
    if len(data) > MAX_WHOLE_BYTES:
        raise SourceError(f"{shown} has over {MAX_WHOLE_BYTES:,} bytes of JSON: give it as jsonl, an object a line")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{shown} is no JSON ({visible(str(error))[:100]}): get it anew") from error
    values = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(values, list) or not any(isinstance(one, dict) for one in values):
        raise SourceError(f"{shown} holds no list of objects: give JSON with an object a picture")
    for start in range(0, len(values), _PARQUET_ROWS):
        some = list(enumerate(values[start : start + _PARQUET_ROWS], start + 1))
        bad = [
            (number, visible(json.dumps(one))[:KEPT_TEXT], Reason.MALFORMED_LINE, "no JSON object")
            for number, one in some
            if not isinstance(one, dict)
        ]
        objects = [(number, one) for number, one in some if isinstance(one, dict)]
        check_keys(objects, recipe, shown)
        yield object_rows(objects, recipe, bad)


def object_rows(
    objects: list[tuple[int, dict[str, Any]]], recipe: Recipe, bad: list[BadRow], pictures: pa.Array | None = None
) -> Rows:
    """Rows of numbered JSON objects, and the invalid lines between them."""
    cells = {
        one: pa.array([as_text(value_at(value, one)) for _, value in objects], pa.string()) for one in recipe.used()
    }
    numbers = np.array([number for number, _ in objects], np.int64)
    return Rows(numbers, cells, lambda at: _shown_row(objects[at][1]), bad, pictures)


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


def _shown_row(row: dict[str, Any]) -> str:
    return visible(json.dumps(row, default=str, ensure_ascii=False))[:KEPT_TEXT]
