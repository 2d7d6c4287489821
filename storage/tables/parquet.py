"""Parquet tables in the lake: written in one step, compressed, each with a stamp of what it was computed from.

A *stamp* is a digest over all inputs of a computed table. A table is up to date if and only if its stamp equals the
digest of the current inputs. Stages find out from the stamps in the lake alone what is done.

`read_as` validates what it reads: column types, UTF-8, the form of names (`storage.text.names`), and that offsets and
lengths in tars are not negative. A lake may come from an untrusted party.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from storage.errors import LakeError, changed_meanwhile, if_there
from storage.files.lake import Lake
from storage.files.object_requests import EndFirst
from storage.files.stores import refusals
from storage.records import (
    ATTEMPTS,
    FACE_VERDICTS,
    FACES,
    LINE_OUTCOMES,
    PLACED_SAMPLES,
    SAMPLES,
    SHARED_LINES,
    STORED_OUTCOMES,
    TAKEDOWNS,
    VERDICTS,
)
from storage.tables.native_file import native_file
from storage.text import names
from storage.text.names import Form

_STAMP, _SETTINGS = b"facemill.stamp", b"facemill.settings"
# `bench.layout`: an index of 200,000 rows has 9.5 MB with groups of 100,000. With groups of 100 it has 19.0 MB, and a
# column takes forty times as long to read.
_ROW_GROUP = 100_000
# Of a table in a bucket, what is read at once: all of most tables, and all of most footers.
_TABLE_BYTES, _FOOTER_BYTES = 8_000_000, 250_000
# So many rows of a table that does not fit into memory are read at a time: of link lines 150 MB.
_BLOCK_ROWS = 1_000_000
# What Arrow raises for bytes that are not valid Parquet. Some are also OSError or ValueError.
_NOT_PARQUET = (pa.ArrowException, OSError, ValueError, KeyError, MemoryError)
_OUTCOME = {"outcome": names.WORD, "reason": names.WORD}
_LINE_OUTCOME = {"stage": names.WORD, "reason": names.WORD, "source": names.NAME}
_SAMPLE = {
    "sample": names.SAMPLE,
    "split": names.SPLIT,
    "source": names.NAME,
    "method": names.NAME,
    "shard": names.DATASET_SHARD,
}
_FORMS: tuple[tuple[pa.Schema, dict[str, Form]], ...] = (
    (ATTEMPTS, {**_OUTCOME, "shard": names.STEM, "format": names.FORMAT}),
    (FACES, _OUTCOME),
    (FACE_VERDICTS, {"source": names.NAME}),
    (VERDICTS, _OUTCOME),
    (LINE_OUTCOMES, _LINE_OUTCOME),
    (STORED_OUTCOMES, _LINE_OUTCOME),
    (SHARED_LINES, {"source": names.NAME}),
    (SAMPLES, _SAMPLE),
    (PLACED_SAMPLES, _SAMPLE),
    (TAKEDOWNS, {"kind": names.WORD, "source": names.NAME}),
)
# Offset and length of a member in its tar.
_PLACE = ("offset", "length")


def stamp(*inputs: Any) -> str:
    """A digest of 16 hex digits over anything JSON can hold; bytes are hashed as hex."""
    return hashlib.sha256(to_hash(*inputs).encode()).hexdigest()[:16]


def to_hash(*inputs: Any) -> str:
    """The JSON of which `stamp` is the digest."""

    def plain(value: object) -> object:
        return value.hex() if isinstance(value, bytes) else str(value)

    return json.dumps(inputs, sort_keys=True, separators=(",", ":"), default=plain)


def write_table(
    lake: Lake,
    path: str,
    table: pa.Table,
    *,
    stamp: str = "",
    settings: dict[str, Any] | None = None,
    facts: dict[bytes, bytes] | None = None,
) -> None:
    """Write `table` to `path` in one step, with its stamp in the Parquet metadata.

    Args:
        settings: those that made the table and differ from their defaults, for `read_settings`.
        facts: further metadata, for `read_metadata`.
    """
    told = {_SETTINGS: json.dumps(settings, sort_keys=True).encode()} if settings else {}
    write_blocks(lake, path, table.schema, [table], stamp=stamp, facts={**told, **(facts or {})})


def write_blocks(
    lake: Lake,
    path: str,
    schema: pa.Schema,
    blocks: Iterable[pa.Table],
    *,
    stamp: str = "",
    facts: dict[bytes, bytes] | None = None,
) -> int:
    """Write a table of `schema` that comes in blocks of rows, as `write_table` does; returns the number of rows.

    Blocks should have 100,000 rows or more: a row group of the file has rows of one block.
    """
    num_rows = 0
    schema = schema.with_metadata({_STAMP: stamp.encode(), **(facts or {})})
    with lake.create(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for block in blocks:
            writer.write_table(block.replace_schema_metadata(schema.metadata), row_group_size=_ROW_GROUP)
            num_rows += len(block)
    return num_rows


def read_table(lake: Lake, path: str, columns: list[str] | None = None) -> pa.Table:
    """Read a table, or some columns of it, without validation. Use `read_as` where the schema is known.

    Raises:
        LakeError: there is no such table, or it cannot be read.
    """
    table = _read(lake, path, lambda _: columns)
    missing = sorted(set(columns or ()) - set(table.column_names))
    if missing:
        raise LakeError(f"{lake.url}/{path} has no column {missing[0]}: run `facemill check`")
    return table


def _read(lake: Lake, path: str, choose: Callable[[list[str]], list[str] | None]) -> pa.Table:
    """Read the columns that `choose` takes of those in the file (None: all), with one look at its footer."""
    with _opened(lake, path) as parquet:
        # Of a small table threads take 0.6 CPU-ms instead of 0.45.
        use_threads = parquet.metadata.num_rows > _ROW_GROUP
        table = parquet.read(choose(parquet.schema_arrow.names), use_threads=use_threads)
        _validate(table, parquet.metadata.num_rows)
    return table


@contextmanager
def _opened(lake: Lake, path: str) -> Iterator[pq.ParquetFile]:
    """A table to read from in the block, in which all that Arrow raises is an error in the file.

    One in a bucket is read in pieces: if another run has replaced it meanwhile, they are of two tables.
    """
    file: IO[bytes] | EndFirst | None = None
    try:
        # Of a bucket all columns are requested ahead; of a disk that would hold the whole file a second time.
        with (
            lake.open_end_first(path, _TABLE_BYTES) as file,
            pq.ParquetFile(native_file(file), pre_buffer=not lake.is_local) as parquet,
        ):
            yield parquet
    except (*refusals(), *_NOT_PARQUET) as error:
        if isinstance(file, EndFirst) and file.is_replaced():
            raise changed_meanwhile(f"{lake.url}/{path}: rows") from error
        raise _unreadable(f"{lake.url}/{path}", error) from error


def _validate(table: pa.Table, num_rows: int) -> None:
    table.validate(full=True)
    # Damaged counts may differ from column to column, which only shows when two readings are put together.
    if len(table) != num_rows:
        raise ValueError(f"{len(table)} rows, and the footer has {num_rows}")


def read_as(lake: Lake, path: str, schema: pa.Schema, columns: list[str] | None = None) -> pa.Table:
    """Read a table of `schema`, or some columns of it; nullable columns that the file lacks are null.

    Raises:
        LakeError: there is no such table, it cannot be read, or it violates `schema`.
    """
    wanted = columns or schema.names
    table = _read(lake, path, lambda there: [name for name in wanted if name in there])
    return _in_form(table, schema, wanted, f"{lake.url}/{path}")


def read_if_there(lake: Lake, path: str, schema: pa.Schema, columns: list[str] | None = None) -> pa.Table | None:
    """A table as `read_as` gives it; None if there is none, or none any more.

    Raises:
        LakeError: it cannot be read, or it violates `schema`.
    """
    return if_there(lambda: read_as(lake, path, schema, columns))


def read_blocks(
    lake: Lake, path: str, schema: pa.Schema, columns: list[str] | None = None, *, num_rows: int | None = None
) -> Iterator[pa.Table]:
    """A table of `schema` as `read_as` gives it, in blocks of consecutive rows, so that it need not fit into memory.

    Args:
        num_rows: the least number of rows of a block but the last; None for a million. Row groups stay whole.

    Raises:
        LakeError: as `read_as`.
    """
    wanted = columns or schema.names
    with _opened(lake, path) as parquet:
        there = [name for name in wanted if name in parquet.schema_arrow.names]
        for groups in _groups(parquet.metadata, num_rows or _BLOCK_ROWS):
            table = parquet.read_row_groups(groups, there)
            _validate(table, sum(parquet.metadata.row_group(one).num_rows for one in groups))
            yield _in_form(table, schema, wanted, f"{lake.url}/{path}")


def _groups(metadata: pq.FileMetaData, least: int) -> Iterator[list[int]]:
    """The row groups in runs of at least so many rows; an empty run if there are none."""
    run, num_rows = list[int](), 0
    for group in range(metadata.num_row_groups):
        run.append(group)
        num_rows += metadata.row_group(group).num_rows
        if num_rows >= least:
            yield run
            run, num_rows = [], 0
    if run or not metadata.num_row_groups:
        yield run


def _in_form(table: pa.Table, schema: pa.Schema, columns: list[str], where: str) -> pa.Table:
    """Some columns of a table of `schema`, in its types; columns that it lacks are null."""
    wanted = pa.schema([schema.field(name) for name in columns])
    table = pa.table([_column(table, field, where) for field in wanted], schema=wanted)
    check_forms(table, next((forms for known, forms in _FORMS if known is schema), {}), where)
    return table


def check_forms(table: pa.Table, forms: dict[str, Form], where: str) -> None:
    """Check the names of a table against their forms, and that offsets and lengths in tars are not negative.

    Args:
        where: the file, for errors.

    Raises:
        LakeError: a value is invalid.
    """
    for name in forms.keys() & set(table.column_names):
        words = pc.unique(with_plain_words(table.select([name]))[name]).drop_null()
        wrong = words.filter(pc.invert(pc.match_substring_regex(words, f"^(?:{forms[name].pattern})$")))
        if len(wrong):
            raise names.bad_value(where, name, wrong[0].as_py(), forms[name].words)
    for name in set(_PLACE) & set(table.column_names):
        lowest = pc.min(table[name]).as_py()
        if lowest is not None and lowest < 0:
            raise names.bad_value(where, name, lowest, "at least 0")


def _column(table: pa.Table, field: pa.Field, where: str) -> pa.ChunkedArray:
    """A column in the type of its schema; all null if it is nullable and the table was written before it existed."""
    is_there = field.name in table.column_names
    column = table[field.name] if is_there else pa.nulls(len(table), field.type)
    if not field.nullable and (not is_there or column.null_count):
        raise LakeError(f"{where}: column {field.name} has rows without a value: run `facemill check`")
    try:
        return column if column.type == field.type else column.cast(field.type)
    except pa.ArrowException as error:
        raise LakeError(
            f"{where}: column {field.name} has type {column.type} and must have {field.type}: run `facemill check`"
        ) from error


def read_stamp(lake: Lake, path: str) -> str | None:
    """The stamp of the table at `path`; None if there is no such table or it has no stamp.

    Raises:
        LakeError: the table cannot be read.
    """
    return stamp_in(read_metadata(lake, path))


def stamp_in(metadata: dict[bytes, bytes]) -> str | None:
    """The stamp in the metadata of a table."""
    return metadata.get(_STAMP, b"").decode("utf-8", "replace") or None


def read_settings(lake: Lake, path: str) -> dict[str, Any]:
    """The settings that the table at `path` was made with; empty for defaults, or if there is no such table.

    Raises:
        LakeError: the table or its settings cannot be read.
    """
    return settings_in(read_metadata(lake, path), f"{lake.url}/{path}")


def settings_in(metadata: dict[bytes, bytes], where: str) -> dict[str, Any]:
    """The settings in the metadata of the table `where`.

    Raises:
        LakeError: they cannot be read.
    """
    try:
        found = json.loads(metadata.get(_SETTINGS, b"{}"))
    except ValueError as error:
        raise _unreadable(where, error) from error
    return found if isinstance(found, dict) else {}


def read_metadata(lake: Lake, path: str) -> dict[bytes, bytes]:
    """The metadata of a table; empty if there is no such table.

    Raises:
        LakeError: it cannot be read.
    """
    try:
        with lake.open_end_first(path, _FOOTER_BYTES) as file:
            return pq.read_schema(file).metadata or {}
    except FileNotFoundError:
        return {}
    except (*refusals(), *_NOT_PARQUET) as error:
        raise _unreadable(f"{lake.url}/{path}", error) from error


def _unreadable(where: str, error: BaseException) -> LakeError:
    words = " ".join(names.visible(str(error)).split()) or type(error).__name__
    return LakeError(f"{where} cannot be read ({words[:200]}): run `facemill check`")


def rows_to_table(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """A table of `schema` from dictionaries; a missing field is null."""
    columns = {name: [row.get(name) for row in rows] for name in schema.names}
    return pa.table({name: pa.array(columns[name], schema.field(name).type) for name in schema.names}, schema=schema)


def with_plain_words(table: pa.Table) -> pa.Table:
    """The table with dictionary-encoded columns as strings, which compare and join across different dictionaries."""
    plain = [
        field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field
        for field in table.schema
    ]
    return table.cast(pa.schema(plain))
