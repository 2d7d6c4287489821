"""Pictures in a column of Parquet: the leaf with their bytes, read by row group."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from storage.errors import SourceError
from storage.text.names import visible
from tasks.links.recipes.recipe import Column

# A row group of 1000 pictures of 100 kB has 100 MB.
MAX_GROUP_BYTES = 1_000_000_000


@dataclass(frozen=True)
class PictureColumn:
    """The location of the pictures in a Parquet file.

    Attributes:
        column: the name of the top column.
        inner: the names below it that lead to the bytes; empty for a plain binary column.
        sibling: the name of another leaf of the struct; it shows which rows are null without reading the bytes.
    """

    column: str
    inner: tuple[str, ...]
    sibling: str | None

    @property
    def leaf(self) -> str:
        """The Parquet path of the bytes."""
        return ".".join([self.column, *self.inner])

    @property
    def sibling_leaf(self) -> str | None:
        """The Parquet path of the sibling."""
        return None if self.sibling is None else ".".join([self.column, *self.inner[:-1], self.sibling])


def picture_column(schema: pa.Schema, asked: Column, shown: str) -> PictureColumn:
    """The column of pictures by its name, by its number, or as `a.b` for `b` in the struct `a`.

    Raises:
        SourceError: it does not exist, or has no bytes; the message lists the columns.
    """
    names = schema.names
    if isinstance(asked, int):
        path = [names[asked - 1]] if asked <= len(names) else [str(asked)]
    else:
        path = [asked] if asked in names else asked.split(".")
    if names.count(path[0]) != 1:
        listed = ", ".join(visible(name)[:40] for name in names[:20])
        raise SourceError(
            f"{shown} has no column {asked!r}; it has {listed}: give the column with the pictures as image in the "
            f"recipe"
        )
    kind = schema.field(path[0]).type
    for name in path[1:]:
        if not pa.types.is_struct(kind) or kind.get_field_index(name) < 0:
            raise SourceError(
                f"{shown} has no {name!r} in {path[0]!r}: give the column with the pictures as image in the recipe"
            )
        kind = kind.field(name).type
    if _is_bytes(kind):
        return PictureColumn(path[0], tuple(path[1:]), None)
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0 and _is_bytes(kind.field("bytes").type):
        siblings = [one.name for one in kind if one.name != "bytes" and not pa.types.is_nested(one.type)]
        return PictureColumn(path[0], (*path[1:], "bytes"), siblings[0] if siblings else None)
    raise SourceError(
        f"{shown}: column {asked!r} is {str(kind)[:80]} and must be binary, or a struct with binary `bytes`: "
        "give the column with the pictures as image in the recipe"
    )


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def picture_columns(schema: pa.Schema) -> list[str]:
    """The top-level columns with bytes."""
    found = []
    for name in schema.names:
        try:
            picture_column(schema, name, "")
        except SourceError:
            continue
        found.append(name)
    return found


def is_there(column: pa.Array, where: PictureColumn) -> pa.Array:
    """A mask of the rows with a picture, by the sibling of the bytes: bool[n]."""
    inside = list(where.inner[:-1])
    return pc.is_valid(pc.struct_field(column, inside) if inside else column)


def class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """The names of the numbers in columns of Hugging Face's type ClassLabel."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {
            name: [str(one) for one in kind["names"]]
            for name, kind in features.items()
            if isinstance(kind, dict) and kind.get("_type") == "ClassLabel"
        }
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def named(numbers: pa.Array, names: list[str]) -> pa.Array:
    """The names of numbers; null for numbers without one."""
    if not pa.types.is_integer(numbers.type):
        return numbers
    return pa.array([names[at] if at is not None and 0 <= at < len(names) else None for at in numbers.to_pylist()],
                    pa.string())  # fmt: skip


class GroupTooLargeError(ValueError):
    """A row group has more bytes of pictures than the limit."""


class PictureFile:
    """The pictures of one Parquet file, by the number of their row, from 1.

    Raises:
        SourceError: the file has no such column.
        pa.ArrowException: it is not Parquet, or damaged.
        OSError: it cannot be read.
    """

    def __init__(self, path: Path, asked: Column) -> None:
        self._file = pq.ParquetFile(path)
        self._where = picture_column(self._file.schema_arrow, asked, path.name)
        meta = self._file.metadata
        self._starts = [0, *accumulate(meta.row_group(at).num_rows for at in range(meta.num_row_groups))]
        leaves = [meta.schema.column(at).path for at in range(meta.num_columns)]
        self._leaf_at = leaves.index(self._where.leaf)

    def place(self, row: int) -> tuple[int, int]:
        """(row group, row in it) of a row.

        Raises:
            IndexError: the file has no such row.
        """
        if not 1 <= row <= self._starts[-1]:
            raise IndexError(f"row {row:,} of {self._starts[-1]:,}")
        group = bisect_right(self._starts, row - 1) - 1
        return group, row - 1 - self._starts[group]

    def read(self, group: int) -> pa.Array | pa.ChunkedArray:
        """The pictures of a row group: binary[n], null where a row has none.

        Raises:
            GroupTooLargeError: the file states more than `MAX_GROUP_BYTES`.
        """
        claimed = self._file.metadata.row_group(group).column(self._leaf_at).total_uncompressed_size
        if not 0 <= claimed <= MAX_GROUP_BYTES:
            raise GroupTooLargeError(
                f"row group {group} has {claimed:,} bytes of pictures, at most {MAX_GROUP_BYTES:,}: write the file "
                "with smaller row groups"
            )
        column = self._file.read_row_group(group, columns=[self._where.leaf], use_threads=False).column(0)
        return pc.struct_field(column, list(self._where.inner)) if self._where.inner else column

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class GroupCache:
    """A cache of the last row groups, bounded in bytes; the newest is kept whatever its size."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._num_bytes = 0
        self._groups: OrderedDict[tuple[str, int], pa.ChunkedArray] = OrderedDict()

    def get(self, name: str, group: int, file: PictureFile) -> pa.ChunkedArray:
        """A row group of the file called `name`. Raises what `PictureFile.read` does."""
        key = (name, group)
        if key not in self._groups:
            found = file.read(group)
            self._groups[key] = found
            self._num_bytes += found.nbytes
            while self._num_bytes > self._max_bytes and len(self._groups) > 1:
                _, oldest = self._groups.popitem(last=False)
                self._num_bytes -= oldest.nbytes
        self._groups.move_to_end(key)
        return self._groups[key]
