"""A source of link lines, and the two tables that it is read into."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from storage.records import LINK_LINES, REJECTED_LINES, Reason
from storage.tables.take import take

# The lines of so many rows of identities are put into one chunk: 160 MB.
_ROWS_AT_A_TIME = 1_000_000
ROWS_TO_GATHER = 200_000


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


def gather(parts: dict[str, IdentityLines], names: Sequence[str]) -> None:
    """Put the lines of some identities into one piece of memory; call it each time `ROWS_TO_GATHER` have been read.

    Thousands of small tables take 630 MB for 390 MB of lines, since the objects that they are parsed from lie between.
    """
    lines, rejected = (_stacked([getattr(parts[name], kind) for name in names]) for kind in ("lines", "rejected"))
    first = first_rejected = 0
    for name in names:
        num, num_rejected = len(parts[name].lines), len(parts[name].rejected)
        parts[name] = IdentityLines(lines.slice(first, num), rejected.slice(first_rejected, num_rejected))
        first, first_rejected = first + num, first_rejected + num_rejected


def assembled(parts: dict[str, IdentityLines]) -> SourceLines:
    """The lines of many identities as one.

    Args:
        parts: emptied, so that most lines are in memory once: 8 GB of fifty million.
    """
    names = sorted(parts)
    done = [IdentityLines(*(_without_identity(schema).empty_table() for schema in (LINK_LINES, REJECTED_LINES)))]
    some, num_rows = list[IdentityLines](), 0
    sizes: list[tuple[int, int]] = []
    for name in names:
        part = parts.pop(name)
        some.append(part)
        sizes.append((len(part.lines), len(part.rejected)))
        num_rows += sum(sizes[-1])
        if num_rows > _ROWS_AT_A_TIME or name == names[-1]:
            done.append(IdentityLines(_stacked([one.lines for one in some]), _stacked([one.rejected for one in some])))
            some, num_rows = [], 0
    lines, rejected = ([getattr(one, name) for one in done] for name in ("lines", "rejected"))
    num_lines, num_rejected = np.array(sizes, np.int64).reshape(-1, 2).T
    whole = _named(names, num_lines, lines, LINK_LINES), _named(names, num_rejected, rejected, REJECTED_LINES)
    return SourceLines(*whole, len(names))


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


def _stacked(tables: list[pa.Table]) -> pa.Table:
    """The rows of many small tables in one chunk."""
    return pa.concat_tables(tables).unify_dictionaries().combine_chunks()


def _named(names: list[str], sizes: NDArray[np.int64], tables: list[pa.Table], schema: pa.Schema) -> pa.Table:
    """Rows with their identity: `sizes` says how many each name has."""
    codes = np.repeat(np.arange(len(names), dtype=np.int32), sizes)
    identity = pa.DictionaryArray.from_arrays(codes, pa.array(names, pa.string()))
    return pa.concat_tables(tables).unify_dictionaries().add_column(0, schema.field("identity"), identity)


def _table(columns: dict[str, Any], schema: pa.Schema) -> pa.Table:
    """Columns as a table; missing ones are null."""
    num = len(columns["line"])
    given = {name: columns.get(name, pa.nulls(num, schema.field(name).type)) for name in schema.names}
    return pa.table({name: pa.array(given[name], schema.field(name).type) for name in schema.names}, schema=schema)


def _without_identity(schema: pa.Schema) -> pa.Schema:
    return schema.remove(schema.get_field_index("identity"))
