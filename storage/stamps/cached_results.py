"""Cached results: results of a step, kept with the state of the files that they were computed from.

    cache/<step>/<of>.json or .parquet

A result is used only if its state is that of the files now, so a step with unchanged inputs lists folders instead of
reading tables. Any change of a file, by whoever, and any change of the code makes it unused. So cached results are
never needed, and may be lost, damaged or written twice at any time.

The state of the inputs is taken *before* they are read: what changes meanwhile differs from it afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from storage.errors import LakeError
from storage.files.lake import Lake
from storage.stamps.code_version import code_version
from storage.tables.parquet import read_as, read_stamp, stamp, write_table
from storage.text.json_shapes import TEXT, Shape, require

_ENDING = ".parquet"
_UNUSABLE = (LakeError, FileNotFoundError, ValueError)


def state_of(*inputs: Any) -> str:
    """A digest of the inputs of a step (`table_states`, `file_state`, settings) and of the code."""
    return stamp("cached result", code_version()["sources"], inputs)


def table_states(lake: Lake, folder: str) -> dict[str, str]:
    """The state of each table in a folder (`Lake.states`), by name without ending."""
    return {name.removesuffix(_ENDING): one for name, one in lake.states(folder).items() if name.endswith(_ENDING)}


def file_state(lake: Lake, path: str) -> str | None:
    """The state of a file; None if there is no such file."""
    folder, _, name = path.rpartition("/")
    return lake.states(folder).get(name)


def read_cached(lake: Lake, name: str, state: str, shape: Shape) -> dict[str, Any] | None:
    """The result that is kept of this state, an object of this shape; None if none is."""
    path = lake.cache(f"{name}.json")
    try:
        kept = lake.read_json(path)
        require(kept, {"state": TEXT, "result": shape}, f"{lake.url}/{path}")
    except _UNUSABLE:
        return None
    return kept["result"] if kept["state"] == state else None


def write_cached(lake: Lake, name: str, state: str, result: dict[str, Any]) -> None:
    """Keep a result of this state, in place of one of another state."""
    data = json.dumps({"state": state, "result": result}, sort_keys=True, ensure_ascii=False)
    lake.write(lake.cache(f"{name}.json"), data.encode())


def read_cached_table(lake: Lake, name: str, state: str, schema: pa.Schema) -> pa.Table | None:
    """The table that is kept of this state; None if none is."""
    path = lake.cache(f"{name}{_ENDING}")
    try:
        return read_as(lake, path, schema) if read_stamp(lake, path) == state else None
    except _UNUSABLE:
        return None


def write_cached_table(lake: Lake, name: str, state: str, table: pa.Table) -> None:
    """Keep a table of this state, in place of one of another state."""
    write_table(lake, lake.cache(f"{name}{_ENDING}"), table, stamp=state)


@dataclass(frozen=True, slots=True)
class CachedTable:
    """A table that follows from other files, kept so that these are not read again while nothing has changed.

    Attributes:
        name: of the cached result.
        state: the state of its inputs now (`state_of`).
        compute: computes it.
    """

    lake: Lake
    name: str
    schema: pa.Schema
    state: Callable[[], str]
    compute: Callable[[], pa.Table]

    def kept(self) -> pa.Table | None:
        """The table, if it is kept as it is now."""
        return read_cached_table(self.lake, self.name, self.state(), self.schema)

    def now(self) -> pa.Table:
        """The table, kept or computed now; nothing is written."""
        kept = self.kept()
        return self.compute() if kept is None else kept

    def keep(self) -> None:
        """Compute the table, and keep it."""
        state = self.state()
        write_cached_table(self.lake, self.name, state, self.compute())
