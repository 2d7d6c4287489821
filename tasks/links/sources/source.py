"""A source of link lines, and the two tables that it is read into."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from storage.records import LINK_LINES, REJECTED_LINES, Reason
from storage.tables.take import take


@dataclass(frozen=True, slots=True)
class SourceLines:
    """The lines of a source: `records.LINK_LINES` and `REJECTED_LINES`, each by identity, then line."""

    lines: pa.Table
    rejected: pa.Table
    num_files: int

    @property
    def num_lines(self) -> int:
        """The number of lines read, accepted and rejected."""
        return len(self.lines) + len(self.rejected)


@dataclass(frozen=True, slots=True)
class IdentityLines:
    """The lines of one identity: `records.LINK_LINES` and `REJECTED_LINES` without `identity`, by line."""

    lines: pa.Table
    rejected: pa.Table


@dataclass(frozen=True, slots=True)
class Source:
    """A list of pictures of named people.

    Attributes:
        has_boxes: whether its lines have face boxes.
        transport: how a line's `url` is read: over HTTP, or from a folder.
        location: the default location; None if there is none.
        terms: the terms of use, in a sentence or two.
        fingerprint: a digest of everything that `read` reads of a folder or archive, cheaper than `read`.
        read: (folder or archive, wanted identities or None for all, the location as shown in errors) -> its lines.
        parse_file: the bytes of one link file -> its lines; None if the source has no link files.
        recipe: the fields of its recipe; None if it has its own reader.
    """

    name: str
    has_boxes: bool
    transport: Literal["http", "folder"]
    location: str | None
    terms: str
    fingerprint: Callable[[Path], str]
    read: Callable[[Path, Collection[str] | None, str], SourceLines]
    parse_file: Callable[[bytes], IdentityLines] | None
    recipe: dict[str, Any] | None = None

    @property
    def names_people(self) -> bool:
        """Whether its lines name people. If not, `identity` is a group by a hash of the URL."""
        return self.recipe is None or "identity" in self.recipe

    @property
    def has_listed_bytes(self) -> bool:
        """Whether a listed digest is that of the picture the box was drawn on.

        Pictures in tars and Parquet files have the digest of the stored bytes, whatever the box was drawn on.
        """
        return self.recipe is None or "image" not in self.recipe


def identity_lines(lines: dict[str, Any], rejected: list[tuple[int, str, Reason, str]]) -> IdentityLines:
    """Tables from columns of `LINK_LINES` and rejected rows (line, text, reason, detail)."""
    columns = zip(*rejected, strict=True) if rejected else [()] * 4
    bad = dict(zip(["line", "text", "reason", "detail"], columns, strict=True))
    return IdentityLines(_table(lines, _without_identity(LINK_LINES)), _table(bad, _without_identity(REJECTED_LINES)))


def joined(first: IdentityLines, second: IdentityLines) -> IdentityLines:
    """The lines of one identity from two files."""
    lines = pa.concat_tables([first.lines, second.lines]).sort_by("line")
    rejected = pa.concat_tables([first.rejected, second.rejected]).unify_dictionaries().sort_by("line")
    return IdentityLines(lines, rejected)


def assembled(parts: dict[str, IdentityLines]) -> SourceLines:
    """The lines of many identities as one."""
    names = sorted(parts)
    lines = _stacked(names, [parts[name].lines for name in names], LINK_LINES)
    rejected = _stacked(names, [parts[name].rejected for name in names], REJECTED_LINES)
    return SourceLines(lines, rejected, len(names))


def renewed(old: SourceLines, kept: Collection[str], new: SourceLines) -> SourceLines:
    """`new` together with the lines of `old` of the identities in `kept` (none of which is in `new`)."""
    return SourceLines(
        _with_kept(old.lines, kept, new.lines),
        _with_kept(old.rejected, kept, new.rejected),
        len(kept) + new.num_files,
    )


def _with_kept(old: pa.Table, kept: Collection[str], new: pa.Table) -> pa.Table:
    chosen = pa.array(sorted(kept), pa.string())
    old = old.filter(pc.is_in(old["identity"].cast(pa.string()), chosen))
    both = pa.concat_tables([old.cast(new.schema), new]).unify_dictionaries().combine_chunks()
    plain = both.set_column(0, "identity", both["identity"].cast(pa.string()))
    order = pc.sort_indices(plain, sort_keys=[("identity", "ascending"), ("line", "ascending")])
    return take(both, order.to_numpy().astype(np.int64))


def _stacked(names: list[str], tables: list[pa.Table], schema: pa.Schema) -> pa.Table:
    codes = np.repeat(np.arange(len(names), dtype=np.int32), [len(table) for table in tables])
    identity = pa.DictionaryArray.from_arrays(codes, pa.array(names, pa.string()))
    rest = pa.concat_tables(tables) if tables else _without_identity(schema).empty_table()
    return rest.unify_dictionaries().combine_chunks().add_column(0, schema.field("identity"), identity)


def _table(columns: dict[str, Any], schema: pa.Schema) -> pa.Table:
    """Columns as a table; missing ones are null."""
    num = len(columns["line"])
    given = {name: columns.get(name, pa.nulls(num, schema.field(name).type)) for name in schema.names}
    return pa.table({name: pa.array(given[name], schema.field(name).type) for name in schema.names}, schema=schema)


def _without_identity(schema: pa.Schema) -> pa.Schema:
    return schema.remove(schema.get_field_index("identity"))
