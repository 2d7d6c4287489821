"""Guess the recipe of a list from its first rows, and list the doubts.

The content of a column is determined from its cells. Its name is used only where cells are not enough: for the person,
and for the four numbers of a box.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from storage.errors import SourceError
from storage.text.names import visible
from tasks.links.recipes.recipe import BoxIs, FormatName, Recipe, checked_recipe, open_recipe, preset_names
from tasks.links.sources.json_rows import as_text
from tasks.links.sources.list_bytes import MAX_WHOLE_BYTES, read_head, unbroken, unpacked
from tasks.links.sources.list_cells import as_corners, digest_of, is_empty, is_outside, numbers_in
from tasks.links.sources.list_columns import with_numbers
from tasks.links.sources.list_format import check_kind, data_lines, format_of, sample_rows
from tasks.links.sources.parquet_pictures import picture_columns
from tasks.links.sources.table import MAX_EMPTY_SHARE, TABS_BECAME_BLANKS, list_files
from tasks.links.sources.tar_members import is_tar
from tasks.links.sources.tar_rows import first_fields

_NUM_ROWS = 200
_ENDINGS = "jpe?g|jpe|jfif|png|gif|webp|bmp|tiff?|avif"
_URL = re.compile(r"[a-z][a-z0-9+.-]*://\S", re.IGNORECASE)
PICTURE_URL = re.compile(rf"https?://[^?#]*\.(?:{_ENDINGS})(?![a-z0-9])|https?://.*\.(?:{_ENDINGS})$", re.IGNORECASE)
_FILE = re.compile(rf"(?!\w+://)[^\s?*<>|,]+\.(?:{_ENDINGS})", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_NAMES = re.compile(
    r"(full[_ ]?|person[_ ]?|celeb(rity)?[_ ]?|actor[_ ]?)?names?|person|people|identity|identities|subject([_ ]?id)?"
    r"|person[_ ]?id|celeb([_ ]?id)?|celebrity|label|who",
    re.IGNORECASE,
)
_NO_NAMES = re.compile(r"text|txt|caption|title|description|alt([_ ]?text)?|license|licence", re.IGNORECASE)
# And img2dataset's columns.
_NO_NAMES_BESIDE_BYTES = re.compile(rf"{_NO_NAMES.pattern}|status|error_message|exif|key|__key__", re.IGNORECASE)
_THUMBNAIL = re.compile(r"thumb|icon|small|preview", re.IGNORECASE)
_FOUR: tuple[tuple[BoxIs, tuple[str, ...]], ...] = (
    ("xyxy", ("left", "top", "right", "bottom")),
    ("xyxy", ("xmin", "ymin", "xmax", "ymax")),
    ("xyxy", ("x0", "y0", "x1", "y1")),
    ("xyxy", ("x1", "y1", "x2", "y2")),
    ("xywh", ("x1", "y1", "width", "height")),
    ("xywh", ("x", "y", "w", "h")),
    ("xywh", ("x", "y", "width", "height")),
    ("xywh", ("facex", "facey", "facewidth", "faceheight")),
)
# The least number of boxes to determine their order.
_ENOUGH_BOXES = 20
_SIZES = (("width", "height"), ("imagewidth", "imageheight"), ("imgwidth", "imgheight"))


@dataclass(frozen=True)
class Guess:
    """A recipe and its doubts; certain if there are none."""

    recipe: Recipe
    doubts: tuple[str, ...]


@dataclass(frozen=True)
class _Sample:
    """The first rows of a list: format, names of the columns (None without a header), cells as text."""

    kind: FormatName
    names: list[str] | None
    rows: list[list[str]]

    def column(self, at: int) -> list[str]:
        """The non-empty cells of a column."""
        return [row[at] for row in self.rows if at < len(row) and row[at]]


@dataclass
class _Columns:
    """The columns by the content of their cells."""

    urls: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    boxes: list[int] = field(default_factory=list)
    digests: list[int] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    texts: list[int] = field(default_factory=list)


def guess_recipe(path: Path, shown: str) -> Guess:
    """The recipe of a list, by its first rows; of a folder, by its first file.

    Raises:
        SourceError: there is no list, or no column has URLs or paths of pictures.
    """
    # A folder of img2dataset has tars and tables: the pictures are in the tars.
    files = (path.is_dir() and list_files(Recipe(format="tar", image="*"), path)) or list_files(Recipe(url=1), path)
    if not files:
        raise SourceError(f"{shown} contains no list: give a file, or a recipe with --recipe")
    file = files[0]
    with unbroken(shown):
        if is_tar(file):
            return _of_files(_tar_guess(file, shown), path, files)
        head = read_head(file)
        check_kind(format_of(head, file), head, shown)
        preset = _preset_for(file, head)
        if preset is not None:
            return Guess(preset, ())
        sample = _sample(file, head, shown)
        pictures = _picture_columns(file) if sample.kind == "parquet" else []
    guesser = _Guesser(sample, _sorted_columns(sample), shown, pictures[0] if pictures else None)
    if len(pictures) > 1:
        guesser.doubt(f"{len(pictures)} columns contain bytes: {', '.join(map(visible, pictures))}")
    return _of_files(guesser.guess(), path, files)


def _tar_guess(file: Path, shown: str) -> Guess:
    sample = _of_objects("tar", first_fields(file, shown, _NUM_ROWS))
    guesser = _Guesser(sample, _sorted_columns(sample), shown, "*")
    if sample.names and any("/" in key for key in sample.column(sample.names.index("__key__"))):
        guesser.doubt('the members are in folders: give identity = "folder" if these are people')
    return guesser.guess()


def _picture_columns(file: Path) -> list[str]:
    with unpacked(file) as stream:
        return picture_columns(pq.read_schema(stream)) if stream.seekable() else []


def _of_files(guess: Guess, path: Path, files: Sequence[Path]) -> Guess:
    """A guess from the first file of a list, with a doubt if there are more."""
    if path.is_dir() and len(files) > 1:
        if guess.recipe.image is not None:
            return guess  # shards of one list
        return Guess(guess.recipe, (*guess.doubts, f"only {files[0].name} of {len(files)} files was examined"))
    return guess


def _preset_for(file: Path, head: bytes) -> Recipe | None:
    """The preset for files of this name with these columns."""
    for name in preset_names():
        recipe = open_recipe(name)
        if recipe.files is None or recipe.columns is None or not Path(file.name).match(recipe.files):
            continue
        kind = recipe.format or format_of(head, file, recipe)
        rows = [row for row in sample_rows(head, kind, _NUM_ROWS) if len(row) == len(recipe.columns)]
        if recipe.columns in rows[:1]:
            rows = rows[1:]
        if rows and all(_fits(recipe, dict(zip(recipe.columns, row, strict=True))) for row in rows[:20]):
            return recipe
    return None


def _fits(recipe: Recipe, row: dict[str, str]) -> bool:
    """Whether the cells of a row fit a recipe."""
    box = [str(one) for one in (recipe.box if isinstance(recipe.box, list) else [recipe.box]) if one is not None]
    numbers = [numbers_in(row[one]) or [] for one in box]
    return (
        (recipe.url is None or bool(_URL.match(row[str(recipe.url)])))
        and sum(map(len, numbers)) == (4 if box else 0)
        and (recipe.digest is None or digest_of(row[str(recipe.digest)]) is not None)
    )


# -- the first rows --


def _sample(file: Path, head: bytes, shown: str) -> _Sample:
    kind = format_of(head, file)
    if kind == "parquet":
        with pq.ParquetFile(file) as table:
            bytes_in = picture_columns(table.schema_arrow)
            names = [name for name in table.schema_arrow.names if name not in bytes_in]
            rows = next(table.iter_batches(_NUM_ROWS, columns=names)).to_pylist() if table.metadata.num_rows else []
        return _of_objects(kind, rows)
    if kind == "jsonl":
        return _of_objects(kind, [value for line in head.split(b"\n")[:_NUM_ROWS] if (value := _object(line))])
    if kind == "json":
        with unpacked(file) as stream:
            value = _object(stream.read(MAX_WHOLE_BYTES), dict | list)
        values = list(value.values()) if isinstance(value, dict) else value or []
        return _of_objects(kind, [one for one in values[:_NUM_ROWS] if isinstance(one, dict)])
    if kind == "csv" and b'"' not in head and max(map(len, sample_rows(head, kind)), default=0) == 1:
        kind = "lines"
    _check_tabs(head, shown)
    return _with_header(kind, sample_rows(head, kind, _NUM_ROWS), _behind_sign(head))


def _object(line: bytes, kind: Any = dict) -> Any:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, kind) else None


def _of_objects(kind: FormatName, rows: list[dict[str, Any]]) -> _Sample:
    flat = [dict(_flattened(row)) for row in rows]
    names = list(dict.fromkeys(name for row in flat for name in row))
    return _Sample(kind, names, [[(as_text(row.get(name)) or "").strip() for name in names] for row in flat])


def _flattened(row: dict[str, Any], before: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in row.items():
        if isinstance(value, bytes | bytearray):
            continue
        found += _flattened(value, f"{before}{name}.") if isinstance(value, dict) else [(f"{before}{name}", value)]
    return found


def _check_tabs(head: bytes, shown: str) -> None:
    """Reject rows in which tabs between columns became blanks.

    Raises:
        SourceError: rows have single blanks as well as runs of blanks.
    """
    lines = [line.decode(errors="replace") for line in data_lines(head, "lines")[:_NUM_ROWS] if line.strip()]
    inside = [line.split() for line in lines if _has_url_between_blanks(line.split())]
    uneven = [line for line in lines if re.search(r"\S \S", line) and re.search(r"\S {2,}\S", line)]
    if b"\t" not in head and min(len(inside), len(uneven)) > 0.5 * len(lines):
        raise SourceError(f"{shown}: its rows have {_range(map(len, inside))} fields, since {TABS_BECAME_BLANKS}")


def _has_url_between_blanks(row: list[str]) -> bool:
    """Whether a URL is between other cells, without a comma before it."""
    places = [at for at, cell in enumerate(row) if 0 < at < len(row) - 1 and _URL.match(cell)]
    return any(not row[at - 1].endswith(",") for at in places)


def _range(counts: Iterable[int]) -> str:
    found = sorted(set(counts))
    return f"{found[0]} to {found[-1]}" if len(found) > 1 else str(found[0])


def _behind_sign(head: bytes) -> list[str]:
    """The column names in the last of the leading comment lines."""
    comments = [line for line in head[:10_000].split(b"\n") if line.startswith(b"#")]
    return (
        [cell.strip() for cell in comments[-1].lstrip(b"# \t").decode(errors="replace").split("\t")] if comments else []
    )


def _with_header(kind: FormatName, rows: list[list[str]], behind: list[str]) -> _Sample:
    first, rest = (rows[0], rows[1:]) if rows else ([], [])
    width = max((len(row) for row in rest), default=len(first))
    if len(behind) == width and width > 1:
        return _Sample(kind, behind, rows)
    if not first or any(_is_typed(cell) for cell in first):
        return _Sample(kind, None, rows)
    if not rest:
        return _Sample(kind, None, rows)
    # R and CelebA write no name for the first column.
    names = ["", *first] if len(first) == width - 1 else first
    return _Sample(kind, with_numbers(names), rest)


def _is_typed(cell: str) -> bool:
    """Whether a cell has the content of a row rather than a header."""
    kinds: tuple[Callable[[str], Any], ...] = (_URL.match, _FILE.fullmatch, _NUMBER.fullmatch, digest_of, _box_of)
    return any(kind(cell) for kind in kinds)


def _box_of(cell: str) -> bool:
    return len(numbers_in(cell) or []) == 4


def _sorted_columns(sample: _Sample) -> _Columns:
    found = _Columns()
    width = max([len(sample.names or []), *(len(row) for row in sample.rows)], default=0)
    for at in range(width):
        cells = sample.column(at)
        kinds: tuple[tuple[list[int], Callable[[str], Any], float], ...] = (
            (found.urls, _URL.match, 0.5),
            (found.files, _FILE.fullmatch, 0.9),
            (found.boxes, _box_of, 0.9),
            (found.digests, digest_of, 0.6),
            (found.numbers, _NUMBER.fullmatch, 0.9),
        )
        for kept, is_one, share in kinds:
            if cells and sum(bool(is_one(cell)) for cell in cells) >= share * len(cells):
                kept.append(at)
                break
        else:
            found.texts.append(at)
    return found


# -- the meaning of the columns --


class _Guesser:
    """Builds a recipe; `doubts` collects the uncertainties."""

    def __init__(self, sample: _Sample, columns: _Columns, shown: str, image: str | None = None) -> None:
        self._image = image
        self._sample = sample
        self._columns = columns
        self._shown = shown
        self._doubts: list[str] = []
        self._labels = sample.names or self._made_up(columns)

    def doubt(self, what: str) -> None:
        """Add a doubt."""
        self._doubts.append(what)

    def guess(self) -> Guess:
        """The recipe.

        Raises:
            SourceError: no column has the location of pictures.
        """
        fields: dict[str, Any] = {"format": self._sample.kind}
        if self._image is not None and self._columns.urls:
            fields["keep"] = [self._labels[self._columns.urls[0]]]
        if self._sample.names is None or self._sample.kind == "lines":
            fields["columns"] = self._labels
        place = self._place()
        fields |= place
        identity = self._identity(place.get("file"))
        fields |= {} if identity is None else {"identity": identity}
        fields |= self._box()
        if self._columns.digests:
            fields["digest"] = self._labels[self._columns.digests[0]]
        if self._sample.kind == "lines" and self._sample.names is None and self._columns.urls:
            fields = {"format": "lines", "url": 1}
        return Guess(checked_recipe(fields, self._shown), tuple(self._doubts))

    def _made_up(self, columns: _Columns) -> list[str]:
        """Names for columns without one."""
        kinds = {"url": columns.urls, "path": columns.files, "box": columns.boxes, "digest": columns.digests}
        names: dict[int, str] = {}
        for name, places in kinds.items():
            names |= {at: name if not num else f"{name}_{num + 1}" for num, at in enumerate(places)}
        width = max((len(row) for row in self._sample.rows), default=0)
        return [names.get(at, f"column_{at + 1}") for at in range(width)]

    def _place(self) -> dict[str, Any]:
        """The location of the pictures: `url`, `file` or `image`."""
        if self._image is not None:
            return {"image": self._image}
        shares = {at: self._share(at, PICTURE_URL.match) for at in self._columns.urls}
        pictures = [at for at, share in shares.items() if share >= 0.5]
        large = [at for at in pictures if not _THUMBNAIL.search(self._labels[at])] or pictures
        if large:
            if len(pictures) > 1:
                self._doubts.append(f"{len(pictures)} columns contain URLs of pictures: {self._listed(pictures)}")
            return {"url": self._labels[large[0]]}
        if shares:
            best = max(shares, key=lambda at: shares[at])
            if shares[best] < 0.2:
                self._doubts.append(f"{self._labels[best]} seems to contain URLs of pages, not of pictures")
            return {"url": self._labels[best]}
        if not self._columns.files:
            names = ", ".join(map(visible, self._labels[:20]))
            raise SourceError(
                f"{self._shown}: no column contains URLs or paths of pictures (columns: {names}): if one does, name "
                f"it in a "
                "recipe, and give that with --recipe"
            )
        if len(self._columns.files) > 1:
            self._doubts.append(
                f"{len(self._columns.files)} columns contain paths: {self._listed(self._columns.files)}"
            )
        return {"file": "{" + self._labels[self._columns.files[0]] + "}"}

    def _share(self, at: int, is_one: Callable[[str], Any]) -> float:
        cells = self._sample.column(at)
        return sum(bool(is_one(cell)) for cell in cells) / max(len(cells), 1)

    def _listed(self, places: Sequence[int]) -> str:
        return ", ".join(visible(self._labels[at]) for at in places)

    def _identity(self, file: str | None) -> str | None:
        """The column of people, or the folder; None if unknown."""
        open_ones = [*self._columns.texts, *self._columns.numbers]
        named = [at for at in open_ones if self._sample.names and _NAMES.fullmatch(self._labels[at])]
        if named:
            if len(named) > 1:
                self._doubts.append(f"{len(named)} columns may name the person: {self._listed(named)}")
            return self._labels[named[0]]
        no_names = _NO_NAMES if self._image is None else _NO_NAMES_BESIDE_BYTES
        texts = [at for at in self._columns.texts if not no_names.fullmatch(self._labels[at])]
        if file is not None:
            folders = {cell.rpartition("/")[0] for cell in self._sample.column(self._columns.files[0])}
            if len(folders) > 1 and "" not in folders:
                self._doubts.append("the folder of a picture is assumed to be the name of the person")
                return "folder"
        if self._sample.names is None and texts:
            self._doubts.append(f"{self._labels[texts[0]]} is assumed to be the name of the person")
            return self._labels[texts[0]]
        if texts:
            self._doubts.append(f"no column is certain to contain names; candidates: {self._listed(texts)}")
        elif self._sample.names is None and self._columns.numbers:
            self._doubts.append(
                f"no column contains names, unless a number identifies people: "
                f"{self._listed(self._columns.numbers[:3])}"
            )
        return None

    # -- boxes --

    def _box(self) -> dict[str, Any]:
        if self._columns.boxes:
            at = self._columns.boxes[0]
            numbers = np.array([numbers_in(cell) for cell in self._sample.column(at) if _box_of(cell)], float)
            fields = {"box": self._labels[at], **self._order_and_unit(numbers, None)}
            return fields
        plain = {re.sub(r"[^a-z0-9]", "", name.lower()): at for at, name in enumerate(self._labels)}
        order, names = next(((one, four) for one, four in _FOUR if set(four) <= plain.keys()), (None, ()))
        if order is None or not {plain[name] for name in names} <= set(self._columns.numbers):
            return {}
        box = [plain[name] for name in names]
        size = [plain[name] for name in self._size_names(plain, names)]
        numbers = self._numbers(box)
        fields = {"box": [self._labels[at] for at in box], **self._order_and_unit(numbers, order)}
        if size and "box_of" not in fields:
            fields["box_of"] = [self._labels[at] for at in size]
            if is_outside(as_corners(numbers, order), self._numbers(size)).mean() > MAX_EMPTY_SHARE:
                self._doubts.append("boxes extend beyond the listed size of the picture")
        return fields

    def _size_names(self, plain: dict[str, int], used: Sequence[str]) -> tuple[str, ...]:
        return next((two for two in _SIZES if set(two) <= plain.keys() - set(used)), ())

    def _numbers(self, places: Sequence[int]) -> Any:
        rows = [[row[at] for at in places] for row in self._sample.rows if max(places) < len(row)]
        return np.array([row for row in rows if all(_NUMBER.fullmatch(cell) for cell in row)], float)

    def _order_and_unit(self, numbers: Any, order: BoxIs | None) -> dict[str, Any]:
        """The order of the numbers and their unit; `order` is that by the names of four columns."""
        is_relative = bool(len(numbers)) and float(np.abs(numbers).max()) <= 1.5
        fields: dict[str, Any] = {"box_of": "relative"} if is_relative else {}
        if order is None:
            orders: tuple[BoxIs, ...] = ("xyxy", "xywh")
            order = next((one for one in orders if self._empty(numbers, one, is_relative) <= MAX_EMPTY_SHARE), "xyxy")
            if len(numbers) < _ENOUGH_BOXES or order != "xyxy":
                self._doubts.append(f"the order of the box numbers is assumed to be {order}, from {len(numbers)} boxes")
        elif self._empty(numbers, order, is_relative) > MAX_EMPTY_SHARE:
            self._doubts.append(f"boxes are empty as {order}, the order that the names of their columns suggest")
        return fields | ({} if order == "xyxy" else {"box_is": order})

    def _empty(self, numbers: Any, order: BoxIs, is_relative: bool) -> float:
        return float(is_empty(numbers, order, is_relative=is_relative).mean()) if len(numbers) else 0.0
