"""The faces of a source by one method counted by outcome, kept so that they are not read again if nothing changed."""

from __future__ import annotations

import pyarrow as pa

from storage.files.lake import Lake
from storage.records import FACES
from storage.stamps.cached_results import CachedTable, state_of, table_states
from storage.tables.counts import count_by, counts_schema
from storage.versions.takedowns import takedown_state
from tasks.dataset.source_tables import read_faces
from tasks.fetch.ledger import image_stems

_BY = ("outcome", "reason")
FACE_COUNTS = counts_schema(FACES, _BY)


def face_counts(lake: Lake, source: str, method: str) -> CachedTable:
    """The faces of a source by outcome (`FACE_COUNTS`)."""

    def state() -> str:
        # Faces of shards without an index of images do not count.
        faces = table_states(lake, lake.faces(method, source))
        return state_of(faces, image_stems(lake, source), takedown_state(lake, source))

    def count() -> pa.Table:
        return count_by(read_faces(lake, source, method, list(_BY)), _BY)

    return CachedTable(lake, f"faces/{source}-by-{method}", FACE_COUNTS, state, count)
