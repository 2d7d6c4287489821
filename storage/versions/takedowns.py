"""Takedowns: people, links and pictures excluded from use, and the rows of the lake they cover.

    takedowns/<stamp>.parquet     records.TAKEDOWNS; one file per call of `facemill forget`, never rewritten

Takedowns are applied on reading: the ledger, the readers of shards and the index of a dataset version leave out covered
rows, whether or not the bytes have been purged yet. Stages need no code for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc

from storage.files.lake import Lake
from storage.records import LINK_LINES, TAKEDOWNS, Outcome, Reason, Takedown, TakedownKind, identity_keys, url_key
from storage.tables.digests import table_digest
from storage.tables.parquet import read_as, read_stamp, rows_to_table, write_table

# The columns that decide whether a sample of a dataset version is covered.
COVERED_BY = ("source", "identity", "url", "image_digest", "crop_digest")
# The columns a ledger row keeps after a takedown: that there was a picture, but not whose.
_KEPT = ("key", "tries", "round", "fetched_at")
_SAID = {"url": "", "outcome": Outcome.REJECTED.value, "reason": Reason.TAKEN_DOWN.value}


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What takedowns cover in one source: keys of links, digests of pictures at any link, people (`identity_key`)."""

    keys: frozenset[bytes] = frozenset()
    digests: frozenset[bytes] = frozenset()
    people: frozenset[bytes] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.keys or self.digests or self.people)

    def rows(self, table: pa.Table, digest: str = "digest") -> pa.ChunkedArray:
        """Whether each row of a table with `key`, and a digest of the picture if it has that column, is covered."""
        covered = _is_among(table["key"], self.keys)
        return pc.or_(covered, _is_among(table[digest], self.digests)) if digest in table.column_names else covered


def record(lake: Lake, takedowns: list[Takedown]) -> str:
    """Add takedowns to those of the lake; each call writes its own file, so nothing is rewritten."""
    table = rows_to_table([one._asdict() for one in takedowns], TAKEDOWNS)
    when = takedowns[0].recorded_at.strftime("%Y%m%dT%H%M%S%f")
    path = lake.takedowns(f"{when}-{table_digest(table)}")
    write_table(lake, path, table)
    return path


def read_takedowns(lake: Lake) -> pa.Table:
    """All takedowns of a lake (`records.TAKEDOWNS`), oldest first.

    Raises:
        LakeError: a file of them cannot be read; it is not skipped, since it names a person.
    """
    files = [f"{lake.takedowns()}/{name}" for name in lake.names(lake.takedowns())]
    tables = [read_as(lake, file, TAKEDOWNS) for file in files]
    return pa.concat_tables([TAKEDOWNS.empty_table(), *tables]).unify_dictionaries()


def read_forgotten(lake: Lake, source: str) -> Forgotten:
    """What the takedowns of a lake cover in one source."""
    names, stamp = takedown_state(lake, source)
    return _forgotten(lake.url, source, names, stamp) if names else Forgotten()


def takedown_state(lake: Lake, source: str) -> tuple[tuple[str, ...], str | None]:
    """What `read_forgotten` depends on: the takedown files, and the stamp of the lines if there are any."""
    names = tuple(lake.names(lake.takedowns()))
    return names, read_stamp(lake, _lines(lake, source)) if names else None


# Called once per shard (thousands), and names are looked up among 2.6 million lines. Takedown files never change,
# so the list of their names is the cache key.
@lru_cache(maxsize=8)
def _forgotten(url: str, source: str, _names: tuple[str, ...], _lines_stamp: str | None) -> Forgotten:
    lake = Lake(url)
    takedowns = read_takedowns(lake)
    here = takedowns.filter(pc.fill_null(pc.equal(takedowns["source"].cast(pa.string()), source), True))
    kinds = (TakedownKind.URL, TakedownKind.DIGEST, TakedownKind.IDENTITY)
    forgotten = Forgotten(*(_targets(here, kind) for kind in kinds))
    return with_their_links(forgotten, read_lines(lake, source, ["identity", "key"]))


def read_lines(lake: Lake, source: str, columns: list[str]) -> pa.Table:
    """Some columns of the link lines of a source; no rows where it has none."""
    if not lake.exists(_lines(lake, source)):
        return pa.schema([LINK_LINES.field(name) for name in columns]).empty_table()
    return read_as(lake, _lines(lake, source), LINK_LINES, columns)


def with_their_links(forgotten: Forgotten, lines: pa.Table) -> Forgotten:
    """`forgotten` plus the links of its people among `lines`."""
    keys = lines["key"].filter(about(lines, forgotten.people)).to_pylist() if forgotten.people else []
    return replace(forgotten, keys=forgotten.keys.union(keys))


def about(table: pa.Table, people: frozenset[bytes]) -> pa.ChunkedArray:
    """Whether each row of a table with `identity` is about one of `people`."""
    names = table["identity"].cast(pa.string())
    wanted = [name for name in pc.unique(names).to_pylist() if not people.isdisjoint(identity_keys(name))]
    return pc.is_in(names, value_set=pa.array(wanted, pa.string()))


def covered_samples(index: pa.Table, forgotten_in: Callable[[str], Forgotten]) -> pa.ChunkedArray:
    """Whether each sample of a dataset version is covered by a takedown.

    Args:
        index: `COVERED_BY` columns of `records.SAMPLES` at least.
        forgotten_in: what takedowns cover in a source.
    """
    covered = pa.chunked_array([pa.array([False] * len(index), pa.bool_())])
    sources = index["source"].cast(pa.string())
    found = {source: forgotten for source in pc.unique(sources).to_pylist() if (forgotten := forgotten_in(source))}
    if not found:
        return covered
    keys = pa.array([url_key(url) for url in index["url"].to_pylist()], pa.binary(16))
    keyed = index.append_column("key", keys)
    for source, forgotten in found.items():
        covered = pc.or_(covered, pc.and_(pc.equal(sources, source), _covered(keyed, forgotten)))
    return covered


def covered_lines(lines: pa.Table, forgotten_in: Callable[[str], Forgotten]) -> pa.ChunkedArray:
    """Whether each link line has a URL, and is covered by a takedown.

    Args:
        lines: source, identity and url of `records.LINE_OUTCOMES`.
        forgotten_in: what takedowns cover in a source.
    """
    covered = pa.chunked_array([pa.array([False] * len(lines), pa.bool_())])
    sources = lines["source"].cast(pa.string())
    found = {source: forgotten for source in pc.unique(sources).to_pylist() if (forgotten := forgotten_in(source))}
    if not found:
        return covered
    keyed = lines.append_column("key", pa.array([url_key(url) for url in lines["url"].to_pylist()], pa.binary(16)))
    for source, forgotten in found.items():
        theirs = pc.or_(forgotten.rows(keyed), about(lines, forgotten.people))
        covered = pc.or_(covered, pc.and_(theirs, pc.equal(sources, source)))
    return pc.and_(covered, pc.not_equal(lines["url"], ""))


def _covered(index: pa.Table, forgotten: Forgotten) -> pa.ChunkedArray:
    known = forgotten.rows(index, "image_digest")
    crops = pc.is_in(index["crop_digest"], value_set=pa.array(sorted(forgotten.digests), pa.binary(32)))
    return pc.or_(pc.or_(known, crops), about(index, forgotten.people))


def blanked(attempts: pa.Table, covered: pa.ChunkedArray) -> pa.Table:
    """`records.ATTEMPTS`, or some columns of it, with the rows that are `covered` rejected as `taken_down`."""
    for at, field in enumerate(attempts.schema):
        if field.name not in _KEPT:
            plain = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
            said = pa.scalar(_SAID.get(field.name), plain)
            column = pc.if_else(covered, said, attempts[field.name].cast(plain)).cast(field.type)
            attempts = attempts.set_column(at, field, column)
    return attempts


def _lines(lake: Lake, source: str) -> str:
    return lake.links(source, "lines.parquet")


def _targets(takedowns: pa.Table, kind: TakedownKind) -> frozenset[bytes]:
    return frozenset(takedowns["target"].filter(pc.equal(takedowns["kind"].cast(pa.string()), kind.value)).to_pylist())


def _is_among(column: pa.ChunkedArray, values: frozenset[bytes]) -> pa.ChunkedArray:
    return pc.is_in(column, value_set=pa.array(sorted(values), column.type))
