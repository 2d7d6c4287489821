"""Takedowns: who and what must not be used any more, and what of the lake that covers.

    takedowns/<stamp>.parquet     records.TAKEDOWNS; a file a call of `facemill forget`, never rewritten

Stages do not ask for a takedown, they cannot help obeying it: the ledger and the readers of shards leave out what is
covered, whether or not its bytes have been purged yet.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc

from storage.lake import Lake
from storage.records import TAKEDOWNS, Outcome, Reason, Takedown, TakedownKind, identity_key
from storage.tables import read_stamp, read_table, rows_to_table, table_digest, write_table

# What a row of the ledger keeps once its picture is taken down: that there was one, and no word of whose.
_KEPT = ("key", "tries", "round", "fetched_at")
_SAID = {"url": "", "outcome": Outcome.REJECTED.value, "reason": Reason.TAKEN_DOWN.value}


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What the takedowns cover in one source: the keys of links, and the digests of pictures at any link."""

    keys: frozenset[bytes] = frozenset()
    digests: frozenset[bytes] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.keys or self.digests)

    def rows(self, table: pa.Table, digest: str = "digest") -> pa.ChunkedArray:
        """Whether each row of a table with `key`, and a digest of the picture if it has that column, is covered."""
        covered = _is_among(table["key"], self.keys)
        return pc.or_(covered, _is_among(table[digest], self.digests)) if digest in table.column_names else covered


def record(lake: Lake, takedowns: list[Takedown]) -> str:
    """Add takedowns to those of the lake; what makes them is told by their own file, so that nothing is rewritten."""
    table = rows_to_table([one._asdict() for one in takedowns], TAKEDOWNS)
    when = takedowns[0].recorded_at.strftime("%Y%m%dT%H%M%S%f")
    path = lake.takedowns(f"{when}-{table_digest(table)}")
    write_table(lake, path, table)
    return path


def read_takedowns(lake: Lake) -> pa.Table:
    """All takedowns of a lake (`records.TAKEDOWNS`), oldest first.

    Raises:
        LakeError: a file of them cannot be read; it is not passed over, since someone is named in it.
    """
    tables = [read_table(lake, f"{lake.takedowns()}/{name}") for name in lake.names(lake.takedowns())]
    return pa.concat_tables([TAKEDOWNS.empty_table(), *tables]).unify_dictionaries()


def read_forgotten(lake: Lake, source: str) -> Forgotten:
    """What the takedowns of a lake cover in one source."""
    names = tuple(lake.names(lake.takedowns()))
    return _forgotten(lake.url, source, names, read_stamp(lake, _lines(lake, source))) if names else Forgotten()


# Every one of thousands of shards asks, and names are looked up among 2.6 million lines. No file of takedowns ever
# changes, so their names say whether the answer still holds.
@lru_cache(maxsize=8)
def _forgotten(url: str, source: str, _names: tuple[str, ...], _lines_stamp: str | None) -> Forgotten:
    lake = Lake(url)
    takedowns = read_takedowns(lake)
    here = pc.fill_null(pc.equal(takedowns["source"].cast(pa.string()), source), True)
    targets = takedowns.filter(here)
    keys = _targets(targets, TakedownKind.URL)
    names = _targets(targets, TakedownKind.IDENTITY)
    if names and lake.exists(_lines(lake, source)):
        lines = read_table(lake, _lines(lake, source), ["identity", "key"])
        keys |= set(lines["key"].filter(lines_of(lines, names)).to_pylist())
    return Forgotten(frozenset(keys), frozenset(_targets(targets, TakedownKind.DIGEST)))


def lines_of(lines: pa.Table, people: Iterable[bytes]) -> pa.ChunkedArray:
    """Whether each of `lines` is about one of `people`, given by their `records.identity_key`."""
    wanted = frozenset(people)
    names = [
        name for name in pc.unique(lines["identity"].cast(pa.string())).to_pylist() if identity_key(name) in wanted
    ]
    return pc.is_in(lines["identity"].cast(pa.string()), value_set=pa.array(names, pa.string()))


def blanked(attempts: pa.Table, covered: pa.ChunkedArray) -> pa.Table:
    """`records.ATTEMPTS`, or some columns of it, with the rows that are `covered` rejected as `taken_down`."""
    for at, field in enumerate(attempts.schema):
        if field.name not in _KEPT:
            plain = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
            said = pa.scalar(_SAID.get(field.name), plain)
            column = pc.if_else(covered, said, attempts[field.name].cast(plain)).cast(field.type)
            attempts = attempts.set_column(at, field, column)
    return attempts


def takedown(
    kind: TakedownKind, target: bytes, when: datetime, *, source: str | None = None, note: str = ""
) -> Takedown:
    """A takedown; a name alone is narrowed to a source."""
    return Takedown(kind, target, source if kind is TakedownKind.IDENTITY else None, when, note)


def _lines(lake: Lake, source: str) -> str:
    return lake.links(source, "lines.parquet")


def _targets(takedowns: pa.Table, kind: TakedownKind) -> set[bytes]:
    return set(takedowns["target"].filter(pc.equal(takedowns["kind"].cast(pa.string()), kind.value)).to_pylist())


def _is_among(column: pa.ChunkedArray, values: frozenset[bytes]) -> pa.ChunkedArray:
    return pc.is_in(column, value_set=pa.array(sorted(values), column.type))
