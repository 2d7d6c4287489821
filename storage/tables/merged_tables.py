"""Merged tables: the rows of many small tables of one folder, stored once more in few large ones.

    merged/<folder>/<digest>.parquet

A lake has an index for each of thousands of shards, and opening one takes CPU-milliseconds whatever its size. A merged
table holds the rows of the tables that it *covers*, one after the other, and in its metadata the name, state, number of
rows, stamp and settings of each. It is read in their place while they are unchanged: a table of another size or
modification time is opened itself. So merged tables are never needed, and may be lost or written twice at any time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import pyarrow as pa

from storage.errors import LakeError
from storage.files.lake import Lake
from storage.files.read_ahead import read_ahead
from storage.tables.parquet import read_as, read_if_there, read_metadata, settings_in, stamp, stamp_in, write_table

_COVERS = b"facemill.covers"
# From this number of uncovered tables on they are merged; to open them takes half a second.
MANY = 64
# The most tables that a merged one covers: with 900 links each, 230,000 rows, which take 100 MB while they are merged.
_MOST = 256


@dataclass(frozen=True, slots=True)
class Marks:
    """The stamp and the settings of a table (`tables.read_stamp`, `tables.read_settings`)."""

    stamp: str | None
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Covered:
    """A small table as it was when its rows were merged; `state` as `Lake.states` gives it."""

    name: str
    state: str
    num_rows: int
    stamp: str | None
    settings: dict[str, Any]


class _Place(NamedTuple):
    """Where the rows of a small table are in a merged one."""

    path: str
    first: int
    num_rows: int


class Rows(NamedTuple):
    """The rows of consecutive small tables, and the name and number of rows of each."""

    of: list[tuple[str, int]]
    table: pa.Table


def read_tables(
    lake: Lake, folder: str, names: Sequence[str], schema: pa.Schema, columns: list[str] | None = None
) -> Iterator[Rows]:
    """The rows of small tables in the order of `names`, which are file names without ending.

    A table that was removed since the folder was listed is left out, as if it had been listed a moment later.

    Args:
        columns: some of `schema`; None for all.

    Raises:
        LakeError: as `tables.read_as`.
    """
    covers = {path: _covers(lake, path) for path in _paths(lake, folder)} if len(names) > 1 else {}
    places = _places(covers, _states(lake, folder)) if covers else {}
    runs = [(run, places[run[0]].path if run[0] in places else "") for run in _runs(names, places)]
    last = {path: number for number, (_, path) in enumerate(runs)}
    opened: dict[str, pa.Table | None] = {"": None}
    for number, (run, path) in enumerate(runs):
        if path not in opened:
            opened[path] = _open(lake, path, covers[path], schema, columns)
        if (table := opened[path]) is not None:
            of = [(name, places[name].num_rows) for name in run]
            yield Rows(of, table.slice(places[run[0]].first, sum(num for _, num in of)))
        else:
            yield from _read_small(lake, folder, run, schema, columns)
        if last[path] == number:
            # Not all of them at once: whoever takes a few columns of each has no more in memory.
            opened[path] = None


def read_table_marks(lake: Lake, folder: str, names: Iterable[str]) -> dict[str, Marks]:
    """The marks of those of `names` that exist.

    Raises:
        LakeError: a table cannot be read.
    """
    states = _states(lake, folder)
    covered = {
        one.name: one for path in _paths(lake, folder) for one in _covers(lake, path) if _is_current(one, states)
    }
    there = [name for name in names if name in states]
    read = read_ahead(lake, partial(_marks, lake, folder), (name for name in there if name not in covered))
    return {name: Marks(one.stamp, one.settings) if (one := covered.get(name)) else next(read) for name in there}


def merge_tables(lake: Lake, folder: str, schema: pa.Schema, *, at_least: int = MANY) -> int:
    """Merge the small tables of a folder, if many are not covered; returns the number of merged tables written.

    Merged tables that are less than half full are replaced. Tables that have changed, and those that another merged
    table covers too, do not count: two runs may have merged at the same time.

    Raises:
        LakeError: a table cannot be read.
    """
    states = _states(lake, folder)
    current = {path: [one for one in _covers(lake, path) if _is_current(one, states)] for path in _paths(lake, folder)}
    kept = _kept(current)
    if len(states.keys() - {one.name for covers in current.values() for one in covers}) < at_least:
        return 0
    loose = sorted(states.keys() - {one.name for covers in kept.values() for one in covers})
    written = [_merge(lake, folder, loose[at : at + _MOST], states, schema) for at in range(0, len(loose), _MOST)]
    for path in current.keys() - kept.keys() - set(written):
        lake.remove(path)
    return len(written)


def _kept(current: dict[str, list[_Covered]]) -> dict[str, list[_Covered]]:
    """The merged tables that are half full of tables which no fuller one covers."""
    kept: dict[str, list[_Covered]] = {}
    known: set[str] = set()
    for path in sorted(current, key=lambda path: (-len(current[path]), path)):
        names = {one.name for one in current[path]}
        if len(names - known) >= _MOST // 2:
            kept[path] = current[path]
            known |= names
    return kept


def _merge(lake: Lake, folder: str, names: list[str], states: dict[str, str], schema: pa.Schema) -> str:
    small = list(_read_small(lake, folder, names, schema, None))
    there = [name for rows in small for name, _ in rows.of]
    marks = read_ahead(lake, partial(_marks, lake, folder), there)
    covers = [
        _Covered(name, states[name], len(rows.table), *astuple(one))
        for name, rows, one in zip(there, small, marks, strict=True)
    ]
    facts = [list(astuple(one)) for one in covers]
    path = lake.merged(folder, stamp(facts))
    table = pa.concat_tables([schema.empty_table(), *(rows.table for rows in small)]).unify_dictionaries()
    write_table(lake, path, table, facts={_COVERS: json.dumps(facts).encode()})
    return path


def _read_small(
    lake: Lake, folder: str, names: list[str], schema: pa.Schema, columns: list[str] | None
) -> Iterator[Rows]:
    tables = read_ahead(lake, lambda name: read_if_there(lake, f"{folder}/{name}.parquet", schema, columns), names)
    for name, table in zip(names, tables, strict=True):
        if table is not None:
            yield Rows([(name, len(table))], table)


def _open(
    lake: Lake, path: str, covers: list[_Covered], schema: pa.Schema, columns: list[str] | None
) -> pa.Table | None:
    """A merged table; None if it is damaged, or was removed meanwhile."""
    try:
        table = read_as(lake, path, schema, columns)
    except (LakeError, FileNotFoundError):
        return None
    return table if len(table) == sum(one.num_rows for one in covers) else None


def _runs(names: Sequence[str], places: dict[str, _Place]) -> Iterator[list[str]]:
    """The names in runs whose rows are consecutive in one merged table, or in none."""
    run = list(names[:1])
    for before, name in pairwise(names):
        if _follows(places.get(before), places.get(name)):
            run.append(name)
        else:
            yield run
            run = [name]
    if run:
        yield run


def _follows(before: _Place | None, place: _Place | None) -> bool:
    if before is None or place is None:
        return before is place
    return before.path == place.path and before.first + before.num_rows == place.first


def _places(covers: dict[str, list[_Covered]], states: dict[str, str]) -> dict[str, _Place]:
    """The place of each small table whose rows in a merged one are current."""
    places: dict[str, _Place] = {}
    for path, covered in covers.items():
        first = 0
        for one in covered:
            if _is_current(one, states):
                places[one.name] = _Place(path, first, one.num_rows)
            first += one.num_rows
    return places


def _paths(lake: Lake, folder: str) -> list[str]:
    return [f"{lake.merged(folder)}/{name}" for name in lake.names(lake.merged(folder)) if name.endswith(".parquet")]


def _covers(lake: Lake, path: str) -> list[_Covered]:
    """The tables that a merged one covers, in the order of its rows; none if it is damaged or was removed meanwhile."""
    try:
        return [_Covered(*one) for one in json.loads(read_metadata(lake, path).get(_COVERS, b"[]"))]
    except (LakeError, FileNotFoundError, ValueError, TypeError):
        return []


def _states(lake: Lake, folder: str) -> dict[str, str]:
    ending = ".parquet"
    return {name.removesuffix(ending): state for name, state in lake.states(folder).items() if name.endswith(ending)}


def _is_current(one: _Covered, states: dict[str, str]) -> bool:
    return states.get(one.name) == one.state


def _marks(lake: Lake, folder: str, name: str) -> Marks:
    path = f"{folder}/{name}.parquet"
    metadata = read_metadata(lake, path)
    return Marks(stamp_in(metadata), settings_in(metadata, f"{lake.url}/{path}"))
