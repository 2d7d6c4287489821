"""Read a list of any format by a recipe: every line becomes a link line or a rejected line.

The lines of all files of a list are numbered consecutively, in the order of the file names.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from storage.errors import SourceError
from storage.records import LINK_LINES, REJECTED_LINES, Reason
from storage.tables.take import take_values
from storage.text.names import is_text, visible
from tasks.links.recipes.recipe import BoxIs, Column, Recipe
from tasks.links.sources import list_cells as cells
from tasks.links.sources.list_cells import Flags, Floats, Refused
from tasks.links.sources.list_rows import read_rows
from tasks.links.sources.rows import Ints, Rows
from tasks.links.sources.source import Source, SourceLines
from tasks.links.sources.spelling import match_names, suggestion
from tasks.links.sources.tar_members import is_tar
from tasks.links.sources.tar_rows import tar_rows

_ENDINGS = {".csv", ".tsv", ".txt", ".lst", ".json", ".jsonl", ".ndjson", ".parquet"}
_PACKED = {".gz", ".zst"}
_NO_LISTS = {"readme", "license", "licence", "copying"}
# The greatest share of empty boxes under a recipe that fits.
MAX_EMPTY_SHARE = 0.01
# The number of rejected lines after which a list without a valid one is given up.
_GIVE_UP_AFTER = 200_000
TABS_BECAME_BLANKS = "the tabs between its columns were replaced by blanks: download the list again, with its tabs"
_MAX_LINE = 2**31 - 1
# The mean number of rows from which the rows of a run are copied together.
_MIN_RUN = 16
# The number of rows from which joined runs make a chunk.
_CHUNK_ROWS = 65_536


@dataclass
class BoxCounts:
    """Counts of the listed boxes under each order: empty ones, and those that extend beyond a picture of known size."""

    listed: int = 0
    sized: int = 0
    empty: dict[BoxIs, int] = field(default_factory=lambda: dict.fromkeys(cells.ORDERS, 0))
    outside: dict[BoxIs, int] = field(default_factory=lambda: dict.fromkeys(cells.ORDERS, 0))

    def add(self, numbers: Floats, size: Floats, *, is_relative: bool) -> None:
        """Count some boxes: float64[n, 4], and the size of the picture of each, float64[n, 2], NaN where unknown."""
        self.listed += len(numbers)
        is_sized = ~_lacks_number(size)
        self.sized += int(is_sized.sum())
        has_size = bool(is_sized.any())
        for order in cells.ORDERS:
            self.empty[order] += int(np.count_nonzero(cells.is_empty(numbers, order, is_relative=is_relative)))
            if has_size:
                corners = cells.as_corners(numbers[is_sized], order)
                self.outside[order] += int(cells.is_outside(corners, size[is_sized]).sum())

    def misfit(self, order: BoxIs) -> str | None:
        """The reason an order does not fit the boxes, and the orders without empty boxes; None if it fits."""
        if self.empty[order] <= MAX_EMPTY_SHARE * self.listed:
            return None
        others = [f'"{other}"' for other in cells.ORDERS if not self.empty[other]]
        advice = f"none is empty as {' or '.join(others)}" if others else "and some are empty in every other order"
        return f'{self.empty[order]:,} of {self.listed:,} boxes are empty as "{order}", {advice}: correct box_is'


@dataclass(frozen=True)
class ReadList:
    """A list that was read."""

    lines: SourceLines
    boxes: BoxCounts


def source_of(name: str, recipe: Recipe) -> Source:
    """The source of a list with a recipe."""
    return Source(
        name=name,
        has_boxes=recipe.box is not None,
        transport="http" if recipe.url is not None else "folder",
        location=None,
        terms=recipe.terms,
        fingerprint=partial(fingerprint, recipe),
        read=lambda path, wanted, shown: read_list(recipe, path, wanted, shown).lines,
        parse_file=None,
        recipe=recipe.as_json(),
    )


def fingerprint(recipe: Recipe, path: Path) -> str:
    """SHA-256 of the recipe and of the files of a list; empty if there are none."""
    files = list_files(recipe, path)
    sha = hashlib.sha256(json.dumps(recipe.as_json(), sort_keys=True).encode())
    for file in files:
        digest = _digest_of_file(file, recipe)
        sha.update(f"{file.relative_to(path)}\0{digest}\0".encode("utf-8", "surrogateescape"))
    return sha.hexdigest() if files else ""


def _digest_of_file(file: Path, recipe: Recipe) -> str:
    """SHA-256 of a file; for a file with pictures, which may have gigabytes, a digest of size and modification time."""
    if recipe.image is not None:
        stat = file.stat()
        return f"{stat.st_size} {stat.st_mtime_ns}"
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def list_files(recipe: Recipe, path: Path) -> list[Path]:
    """The files of a list, sorted by their paths: the file itself, or the files of a folder that match the recipe."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        return []
    if recipe.files:
        found = path.glob(recipe.files)
    elif recipe.image is not None:
        # img2dataset writes a Parquet file without pictures for every tar.
        found = path.glob("*.tar" if recipe.format == "tar" else "*.parquet")
    else:
        found = (file for file in path.iterdir() if _is_list(file))
    return sorted(file for file in found if file.is_file() and not file.is_symlink() and not file.name.startswith("."))


def _is_list(path: Path) -> bool:
    suffixes = [one.lower() for one in path.suffixes if one.lower() not in _PACKED]
    return bool(suffixes) and suffixes[-1] in _ENDINGS and path.name.split(".")[0].lower() not in _NO_LISTS


def read_list(recipe: Recipe, path: Path, wanted: Collection[str] | None, shown: str) -> ReadList:
    """Read a list by a recipe.

    Args:
        path: the list, or a folder of its files.
        wanted: the people to keep, in any normal form of Unicode; None for all.
        shown: the location as shown in errors.

    Raises:
        SourceError: the list does not exist, a file is invalid or lacks a column, or a wanted person is not in it.
        OSError: a file cannot be read.
    """
    files = list_files(recipe, path)
    if not files:
        missing = recipe.files or ".csv, .tsv, .txt, .lst, .json, .jsonl, .ndjson or .parquet"
        raise SourceError(
            f"{shown} contains no list (no file {missing}): give another folder, or the list itself"
            if path.is_dir()
            else f"{shown} does not exist: give the path of a list, or of a folder of lists"
        )
    reader = _Reader(recipe)
    for file in files:
        folder = "" if path.is_file() else f"{PurePosixPath(file.relative_to(path)).parent}/".removeprefix("./")
        reader.read(file, folder, shown if path.is_file() else f"{shown}/{file.relative_to(path)}")
    lines, rejected = reader.tables()
    misfit = reader.boxes.misfit(recipe.box_is)
    if not misfit:
        _check_usable(lines, rejected, shown)
    if wanted is not None and len(lines):
        lines, rejected = _chosen(lines, rejected, wanted, shown)
    if misfit:
        raise SourceError(f"{shown}: {misfit}")
    return ReadList(SourceLines(lines, rejected, len(files)), reader.boxes)


def _check_usable(lines: pa.Table, rejected: pa.Table, shown: str) -> None:
    """Reject a list without a valid line, with the reason of the first.

    Raises:
        SourceError: no line is valid.
    """
    if len(lines):
        return
    if not len(rejected):
        raise SourceError(f"{shown} contains no row: give another list")
    first = rejected.slice(0, 1).to_pylist()[0]
    why = first["detail"] + (f", since {TABS_BECAME_BLANKS}" if _has_lost_tabs(first) else "")
    raise SourceError(
        f"{shown}: the recipe fits none of its {len(rejected):,} lines; the first is line {first['line']} "
        f"({why}): {first['text'][:80]!r}"
    )


def _has_lost_tabs(line: dict[str, Any]) -> bool:
    """Whether a line has runs of blanks in place of tabs."""
    is_whole = str(line["detail"]).startswith("1 fields")
    return is_whole and "\\t" not in line["text"] and "  " in line["text"]


def _chosen(lines: pa.Table, rejected: pa.Table, wanted: Collection[str], shown: str) -> tuple[pa.Table, pa.Table]:
    """The lines of some people, and the rejected lines of them or of no person."""
    names = set(pc.unique(lines["identity"].cast(pa.string())).to_pylist())
    found, missing = match_names(wanted, names)
    if missing:
        raise SourceError(
            f"{shown} does not list {missing[0]} ({len(missing)} of the requested names are missing): "
            f"{suggestion(missing[0], names)}"
        )
    chosen = pa.array(found, pa.string())
    with_unnamed = pa.array([*found, ""], pa.string())
    return (
        lines.filter(pc.is_in(lines["identity"].cast(pa.string()), chosen)),
        rejected.filter(pc.is_in(rejected["identity"].cast(pa.string()), with_unnamed)),
    )


class _Reader:
    """Reads the files of a list, a block of rows at a time."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.boxes = BoxCounts()
        self._good: list[pa.Table] = []
        self._bad: list[tuple[str, int, str, Reason, str]] = []
        self._num_good = 0
        self._num_before = 0

    def read(self, file: Path, folder: str, shown: str) -> None:
        """Read one file; pictures in files are below `folder`."""
        last = 0
        read = tar_rows if self.recipe.format == "tar" or is_tar(file) else read_rows
        for rows in read(file, self.recipe, shown):
            self._add(rows, folder, file)
            numbers = [*rows.numbers[-1:].tolist(), *(number for number, *_ in rows.bad)]
            last = max([last, *numbers])
            if not self._num_good and len(self._bad) >= _GIVE_UP_AFTER:
                break
        self._num_before += last
        if self._num_before > _MAX_LINE:
            raise SourceError(f"{shown} exceeds {_MAX_LINE:,} lines: split the list into several lists")

    def tables(self) -> tuple[pa.Table, pa.Table]:
        """`records.LINK_LINES` and `REJECTED_LINES`, each by identity, then line."""
        lines = pa.concat_tables(self._good) if self._good else LINK_LINES.empty_table()
        self._good = []
        lines = lines.unify_dictionaries()
        order, repeated = _order(lines)
        for at in repeated.tolist():
            row = lines.slice(at, 1).to_pylist()[0]
            why = f"{self.recipe.line} {row['line']} is used by an earlier line of this person"
            self._bad.append((row["identity"], row["line"], row["url"], Reason.MALFORMED_LINE, why))
        return _in_order(lines, order), _rejected(self._bad)

    def _add(self, rows: Rows, folder: str, file: Path) -> None:
        many = len(rows.numbers)
        self._bad += [("", number + self._num_before, text, reason, why) for number, text, reason, why in rows.bad]
        if not many:
            return
        meant = _Meaning(self.recipe, rows.cells, many)
        url, key = meant.places(folder) if rows.pictures is None else meant.packed(folder, file.name, rows.pictures)
        # The folders of a tar's members are in the tar.
        identity = meant.identity(url if rows.pictures is None else rows.pictures, key, _stem(file))
        line = meant.lines(rows.numbers + self._num_before)
        box = meant.box(self.boxes)
        table = pa.table(
            {
                "identity": identity.cast(LINK_LINES.field("identity").type),
                "line": pa.array(line, pa.int32()),
                "url": url,
                "key": key,
                **box,
                "pose": pa.nulls(many, pa.float32()),
                "score": pa.nulls(many, pa.float32()),
                "curated": pa.nulls(many, pa.bool_()),
                "listed_digest": meant.digests(),
                "kept": meant.kept(),
            }
        ).select(LINK_LINES.names)
        self._keep(table.cast(LINK_LINES), rows, meant.refused, identity)

    def _keep(self, table: pa.Table, rows: Rows, refused: Refused, identity: pa.DictionaryArray) -> None:
        good = np.ones(len(table), bool)
        for at, (reason, why) in sorted(refused.items()):
            good[at] = False
            name = identity[at].as_py() or ""
            number = int(rows.numbers[at]) + self._num_before
            self._bad.append((name if is_text(name) else visible(name), number, rows.text(at), reason, why))
        kept = table if good.all() else table.filter(pa.array(good))
        self._num_good += len(kept)
        self._good.append(kept)


class _Meaning:
    """The values of the columns of some rows; `refused` collects the invalid rows with their first reason."""

    def __init__(self, recipe: Recipe, columns: dict[Column, pa.Array], num: int) -> None:
        self._recipe = recipe
        self._columns = columns
        self._num = num
        self.refused: Refused = {}

    def _refuse(self, refused: Refused) -> None:
        self.refused = refused | self.refused

    def places(self, folder: str) -> tuple[pa.Array, pa.Array]:
        """The location of each picture, and its key."""
        if self._recipe.url is not None:
            found, refused = cells.urls(self._columns[self._recipe.url])
        else:
            parts = [(text, None if name is None else self._columns[name]) for text, name in self._recipe.path_parts()]
            found, refused = cells.paths(parts, folder, self._num)
        self._refuse(refused)
        return found, cells.url_keys(found)

    def packed(self, folder: str, name: str, pictures: pa.Array) -> tuple[pa.Array, pa.Array]:
        """As `places`, of pictures in a file called `name`: `<file>/<member>` of a tar, `<file>/<row>` of Parquet."""
        found, refused = cells.paths([(f"{name}/", None), ("", pictures)], folder, self._num)
        self._refuse(refused)
        return found, cells.url_keys(found)

    def identity(self, url: pa.Array, key: pa.Array, stem: str) -> pa.DictionaryArray:
        """The identity of each row. Without names, `unnamed-` and three hex digits of the picture's key."""
        asked = self._recipe.identity
        if asked is None:
            groups = [f"unnamed-{one.hex()[:3]}" for one in key.to_pylist()]
            return pa.array(groups, pa.string()).dictionary_encode()
        if asked == "file":
            column = pa.array([stem], pa.string()).take(pa.array(np.zeros(self._num, np.int64)))
        else:
            column = cells.folders(url) if asked == "folder" else self._columns[asked]
        found, refused = cells.people(column)
        self._refuse(refused)
        return found

    def lines(self, numbers: Ints) -> Ints:
        """The line number of each row."""
        if self._recipe.line is None:
            return numbers
        found, refused = cells.numbers_of_lines(self._columns[self._recipe.line])
        self._refuse(refused)
        return found

    def box(self, counts: BoxCounts) -> dict[str, pa.Array]:
        """The box of each face, and the picture size it refers to."""
        recipe = self._recipe
        none = np.zeros(self._num, bool)
        if recipe.box is None:
            return self._boxes(np.zeros((self._num, 4)), none, np.zeros((self._num, 2)), none)
        numbers, is_listed, refused = cells.four_numbers(self._all(recipe.box))
        self._refuse(refused)
        is_relative = recipe.box_of == "relative"
        size = np.full((self._num, 2), 1.0 if is_relative else np.nan)
        if isinstance(recipe.box_of, list):
            size, refused = cells.sizes(self._all(recipe.box_of), is_height_first=recipe.size_is == "hw")
            self._refuse(refused)
        if is_listed.all():
            counts.add(numbers, size, is_relative=is_relative)
        else:
            counts.add(numbers[is_listed], size[is_listed], is_relative=is_relative)
        corners = cells.as_corners(numbers, recipe.box_is)
        empty = is_listed & cells.is_empty(numbers, recipe.box_is, is_relative=is_relative)
        self._refuse_boxes(empty, f'empty as "{recipe.box_is}"')
        if is_relative:
            self._refuse_boxes(is_listed & cells.is_beyond(corners), "not relative: its numbers are beyond 1")
        return self._boxes(corners, is_listed, size, is_listed & ~_lacks_number(size))

    def _refuse_boxes(self, flags: Flags, why: str) -> None:
        self._refuse(dict.fromkeys(np.flatnonzero(flags).tolist(), (Reason.MALFORMED_LINE, f"the box is {why}")))

    def _boxes(self, corners: Floats, is_listed: Flags, size: Floats, is_sized: Flags) -> dict[str, pa.Array]:
        kind = LINK_LINES.field("box_xyxy").type
        # Null children too, as Parquet reads it back: the stored table then has the digest of this one.
        without = None if is_listed.all() else ~is_listed
        flat = pa.array(corners.astype(np.float32).ravel(), mask=None if without is None else np.repeat(without, 4))
        return {
            "box_xyxy": pa.FixedSizeListArray.from_arrays(
                flat, type=kind, mask=None if without is None else pa.array(without)
            ),
            "listed_width": pa.array(size[:, 0], pa.float32(), mask=~is_sized),
            "listed_height": pa.array(size[:, 1], pa.float32(), mask=~is_sized),
        }

    def _all(self, asked: Column | Sequence[Column]) -> list[pa.Array]:
        return [self._columns[one] for one in (asked if isinstance(asked, list) else [asked])]  # type: ignore[index]

    def digests(self) -> pa.Array:
        """The listed digest of each picture."""
        if self._recipe.digest is None:
            return pa.nulls(self._num, pa.binary())
        found, refused = cells.digests(self._columns[self._recipe.digest])
        self._refuse(refused)
        return found

    def kept(self) -> pa.Array:
        """The columns of `keep`, as a JSON object per row."""
        keep = self._recipe.keep
        if not keep:
            return pa.nulls(self._num, pa.string())
        rows = zip(*(self._columns[one].to_pylist() for one in keep), strict=True)
        return pa.array([_as_json(keep, row) for row in rows], pa.string())


def _as_json(keep: Sequence[Column], row: Sequence[Any]) -> str:
    """The kept columns of one row; NaN, which pandas writes for missing values, is null."""
    values = [None if value != value else value for value in row]  # noqa: PLR0124
    return json.dumps(dict(zip(map(str, keep), values, strict=True)), ensure_ascii=False, default=str)


def _lacks_number(size: Floats) -> Flags:
    """A mask of the sizes of which a side is NaN."""
    return np.asarray(np.isnan(size[:, 0]) | np.isnan(size[:, 1]))


def _stem(file: Path) -> str:
    return file.name.split(".")[0]


def _order(lines: pa.Table) -> tuple[Ints | None, Ints]:
    """The order by identity and line, each pair once (None if already in order), and the rows that repeat a pair."""
    if not len(lines):
        return None, np.zeros(0, np.int64)
    identity = lines["identity"].combine_chunks()
    names = identity.dictionary
    ranks = np.empty(len(names), np.int64)
    ranks[pc.sort_indices(names).to_numpy()] = np.arange(len(names))
    # Lists are nearly sorted, so a stable sort of one number per row takes one pass.
    pairs = (ranks[identity.indices.to_numpy()] << 32) | lines["line"].to_numpy()
    if (pairs[1:] > pairs[:-1]).all():
        return None, np.zeros(0, np.int64)
    order = np.argsort(pairs, kind="stable")
    is_first = np.r_[True, np.diff(pairs[order]) > 0]
    return order[is_first], np.sort(order[~is_first])


def _in_order(lines: pa.Table, order: Ints | None) -> pa.Table:
    """The rows in an order, in chunks of about `_CHUNK_ROWS`."""
    if order is None:
        return lines
    schema = lines.schema
    runs = _runs(order)
    columns: dict[str, pa.ChunkedArray] = {}
    # One column after the other, the largest one last: a copy of all columns at once would double the memory of the
    # list, and memory that a column gave back is used again. The system zeroes fresh memory at 1 s a GB.
    for name in sorted(schema.names, key=lambda name: lines[name].nbytes):
        column = lines[name]
        lines = lines.drop_columns(name)
        # A column of nulls alone is in every order; a list has five or more of them.
        if column.null_count == len(column):
            columns[name] = column.slice(0, len(order))
        elif runs is not None:
            columns[name] = _joined_runs(column, runs)
        else:
            columns[name] = take_values(column, order)
    return pa.table(columns).select(schema.names).cast(schema)


def _joined_runs(column: pa.ChunkedArray, runs: list[tuple[int, int]]) -> pa.ChunkedArray:
    """Runs of rows one after the other. A slice of a chunked array for each would take ten times as long."""
    chunks = column.chunks
    starts = np.cumsum([0, *map(len, chunks)])
    first_chunks = (np.searchsorted(starts, [first for first, _ in runs], "right") - 1).tolist()
    joined: list[pa.Array] = []
    parts: list[pa.Array] = []
    num_rows = 0
    for (first, num), first_chunk in zip(runs, first_chunks, strict=True):
        done, at = 0, first_chunk
        while done < num:
            part = chunks[at].slice(first + done - int(starts[at]), num - done)
            parts.append(part)
            done, at = done + len(part), at + 1
        num_rows += num
        if num_rows >= _CHUNK_ROWS:
            joined.append(pa.concat_arrays(parts))
            parts, num_rows = [], 0
    if parts:
        joined.append(pa.concat_arrays(parts))
    return pa.chunked_array(joined, column.type)


def _runs(order: Ints | None) -> list[tuple[int, int]] | None:
    """An order as runs of consecutive rows, (first, number); None if the runs are short.

    In most lists the rows of a person are together. To copy runs costs half as much as to copy row by row.
    """
    if order is None:
        return None
    starts = np.flatnonzero(np.diff(order, prepend=-2) != 1)
    if len(starts) * _MIN_RUN > len(order):
        return None
    nums = np.diff(starts, append=len(order))
    return list(zip(order[starts].tolist(), nums.tolist(), strict=True))


def _rejected(bad: list[tuple[str, int, str, Reason, str]]) -> pa.Table:
    columns = list(zip(*sorted(bad, key=lambda row: (row[0], row[1])), strict=True)) or [()] * 5
    arrays = {
        name: pa.array(list(map(str, column)) if name != "line" else column, REJECTED_LINES.field(name).type)
        for name, column in zip(("identity", "line", "text", "reason", "detail"), columns, strict=True)
    }
    return pa.table(arrays, schema=REJECTED_LINES)
