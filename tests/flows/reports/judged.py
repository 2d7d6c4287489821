"""Scores of a model for the faces of the made lake: two doubtful faces, and a pair of names with similar faces."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from storage.files.lake import Lake
from storage.records import FACE_VERDICTS, SAME_PEOPLE
from storage.tables.parquet import rows_to_table
from tasks.dataset.find_duplicates import verdicts_now
from tasks.dataset.source_tables import read_faces
from tasks.label_noise.score_table import Cleaned, Cleaning, faces_to_score
from tests.tasks.made_lake import SOURCE

CLEANING = Cleaning("judge@v1", 0.9)
_SCORES = {("Person_A", 3): 0.99, ("Person_B", 9): 0.95, ("Person_C", 9): 0.5}
_LOOKS_LIKE = {("Person_A", 3): "Person_H"}


def faces_of(lake: Lake) -> pa.Table:
    return faces_to_score(read_faces(lake, SOURCE, "mtcnn"), verdicts_now(lake, SOURCE))


def scores_of(faces: pa.Table) -> Cleaned:
    rows = [_scored(row) for row in faces.select(["identity", "line", "crop_digest"]).to_pylist()]
    pairs = [{"identity": "Person_D", "other": "Person_E", "same_person_score": 0.6}]
    return Cleaned(rows_to_table(rows, FACE_VERDICTS), rows_to_table(pairs, SAME_PEOPLE))


def _scored(row: dict[str, Any]) -> dict[str, Any]:
    line = (row["identity"], row["line"])
    verdict = {"wrong_person_score": _SCORES.get(line, 0.01), "looks_like": _LOOKS_LIKE.get(line)}
    return {**row, **verdict, "is_confirmed": True}
