from __future__ import annotations

import numpy as np
import pyarrow as pa

from storage.records import FACES, Reason
from storage.tables.stored_rows import StoredRows
from tasks.dataset.face_rows import OF_ACCEPTED, face_rows
from tests.tasks.builders import face, faces

A = "http://a.example/"
REASONS = [None, Reason.NO_FACE, None, None, Reason.NO_FACE, None]
FOUND = faces(*[face("Ada", line, A, reason, face_px=100.0 + line) for line, reason in enumerate(REASONS)])


def test_all_faces_have_an_outcome_and_the_accepted_ones_what_decides_on_them():
    blocks = [FOUND.slice(0, 2), FOUND.slice(2, 2), FOUND.slice(4)]
    found = face_rows(StoredRows(lambda columns: (block.select(columns) for block in blocks)))

    assert found.all.column_names == ["identity", "line", "outcome", "reason"]
    assert found.all["reason"].to_pylist() == REASONS
    assert found.accepted.column_names == list(OF_ACCEPTED)
    assert found.accepted["face_px"].to_pylist() == [100.0, 102.0, 103.0, 105.0]
    assert found.accepted_at(np.array([5, 0, 3])).tolist() == [3, 0, 2]


def test_faces_of_several_sources_keep_source_and_person():
    words = pa.array(["x"] * len(FOUND)).dictionary_encode()
    several = FOUND.append_column("source", words).append_column("person", words)
    found = face_rows(StoredRows.of(several))

    assert found.all.column_names[-2:] == found.accepted.column_names[-2:] == ["source", "person"]


def test_without_faces_there_are_none():
    found = face_rows(StoredRows.of(FACES.empty_table()))
    assert len(found.all) == len(found.accepted) == len(found.accepted_in) == 0
