"""The faces of a source by one method counted by outcome, kept so that they are not read again if nothing changed."""

from __future__ import annotations

import pyarrow as pa

from storage.cached_results import read_cached_table, state_of, table_states, write_cached_table
from storage.counts import count_by, counts_schema
from storage.lake import Lake
from storage.records import FACES
from storage.takedowns import takedown_state
from tasks.dataset.source_tables import read_faces
from tasks.fetch.ledger import image_stems

_BY = ("outcome", "reason")
FACE_COUNTS = counts_schema(FACES, _BY)


def kept_face_counts(lake: Lake, source: str, method: str) -> pa.Table | None:
    """The faces of a source by outcome (`FACE_COUNTS`), if they are kept as they are now."""
    return read_cached_table(lake, _name(source, method), _state(lake, source, method), FACE_COUNTS)


def count_faces(lake: Lake, source: str, method: str) -> pa.Table:
    """The faces of a source by outcome (`FACE_COUNTS`), kept or counted now; nothing is written."""
    kept = kept_face_counts(lake, source, method)
    return _count(lake, source, method) if kept is None else kept


def keep_face_counts(lake: Lake, source: str, method: str) -> None:
    """Count the faces of a source by outcome, and keep the counts."""
    state = _state(lake, source, method)
    write_cached_table(lake, _name(source, method), state, _count(lake, source, method))


def _count(lake: Lake, source: str, method: str) -> pa.Table:
    return count_by(read_faces(lake, source, method, list(_BY)), _BY)


def _state(lake: Lake, source: str, method: str) -> str:
    # Faces of shards without an index of images do not count.
    faces = table_states(lake, lake.faces(method, source))
    return state_of(faces, image_stems(lake, source), takedown_state(lake, source))


def _name(source: str, method: str) -> str:
    return f"faces/{source}-by-{method}"
