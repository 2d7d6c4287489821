from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from storage.errors import UsageError
from storage.files.lake import Lake
from storage.records import FACE_VERDICTS, SAME_PEOPLE, Reason
from storage.tables.parquet import rows_to_table
from storage.versions.models import write_model
from tasks.label_noise.score_table import (
    Cleaned,
    Cleaning,
    clean_stamp,
    faces_to_score,
    open_cleaned,
    score_faces,
    scoring_model,
    write_cleaned,
)
from tests.tasks.builders import BOX, OTHER_BOX, face, faces, verdicts
from tests.tasks.crowds import crowd

JUDGE = Cleaning("embedder@1", 0.5, 0.5)
PEOPLE, EACH = 6, 8
LANDMARKS = (20.0, 25, 45, 25, 32, 38, 22, 48, 42, 48)
SHOWN: dict[str, Any] = {"landmarks": LANDMARKS, "image_width": 400, "image_height": 300, "crop_digest": bytes(32)}


def listed(**changes: Any) -> pa.Table:
    """Faces of six people, eight pictures each; line 0 of Person_1 shows Person_0. Changes to that face."""
    rows = []
    for person in range(PEOPLE):
        for line in range(EACH):
            name, number = (f"Person_{person}", line)
            if (person, line) == (0, 7):
                name, number = "Person_1", 100
            row = face(name, number, f"http://a.invalid/{person}/{line}", **SHOWN)
            rows.append(row | (changes if number == 100 else {}))
    return with_clusters(rows)


def with_clusters(rows: list[dict[str, Any]]) -> pa.Table:
    table = faces(*rows)
    return faces_to_score(table, verdicts(table, [None] * len(rows)))


def embeddings() -> np.ndarray:
    return crowd(people=PEOPLE, each=EACH).embeddings


def test_the_verdicts_are_a_row_a_face_in_its_order_with_whom_it_looks_like():
    table = listed()
    cleaned = score_faces(table, embeddings())
    assert cleaned.faces.schema.equals(FACE_VERDICTS)
    assert cleaned.faces.select(["identity", "line"]).to_pylist() == table.select(["identity", "line"]).to_pylist()
    (wrong,) = [row for row in cleaned.faces.to_pylist() if row["wrong_person_score"] > 0.5]
    assert (wrong["identity"], wrong["line"], wrong["looks_like"]) == ("Person_1", 100, "Person_0")


def test_a_face_that_no_detected_face_confirms_is_judged_too():
    cleaned = score_faces(listed(landmarks=None), embeddings())
    assert cleaned.faces["wrong_person_score"].to_numpy().argmax() == 7


def test_rejected_faces_are_not_judged():
    rows = [face("Ada", 1, "http://a.invalid/1"), face("Ada", 2, "http://a.invalid/2", Reason.NO_FACE)]
    assert with_clusters(rows)["line"].to_pylist() == [1]


def test_boxes_at_two_places_of_one_picture_are_two_faces_of_which_one_is_wrong():
    rows = [face("Ada", line, f"http://a.invalid/{line}", **SHOWN) for line in range(8)]
    same_picture = {"key": rows[0]["key"], "image_digest": rows[0]["image_digest"]}
    others = [face(f"P{person}", line, f"http://b.invalid/{person}/{line}", **SHOWN)
              for person in range(5) for line in range(8)]  # fmt: skip
    for box, is_doubted in ((BOX, False), (OTHER_BOX, True)):
        rows[1] |= same_picture | {"source_box_xyxy": box}
        scores = score_faces(with_clusters(rows + others), embeddings()).faces["wrong_person_score"].to_pylist()
        assert (scores[0] + scores[1] > 0.9) == is_doubted


def test_no_faces_give_no_verdicts():
    cleaned = score_faces(listed().slice(0, 0), np.zeros((0, 4), np.float32))
    assert (len(cleaned.faces), len(cleaned.people)) == (0, 0)


def doubted() -> Cleaned:
    scores = [("Ada", 1, 0.1), ("Ada", 2, 0.6), ("Bo", 1, 0.9), ("Bo", 2, 0.2)]
    rows = [
        {"identity": name, "line": line, "crop_digest": bytes(32), "wrong_person_score": score} | {"is_confirmed": True}
        for name, line, score in scores
    ]
    same = [{"identity": "Ada", "other": "Bo", "same_person_score": 0.7}]
    return Cleaned(rows_to_table(rows, FACE_VERDICTS), rows_to_table(same, SAME_PEOPLE))


@pytest.mark.parametrize(
    ("limit", "lines"), [(0.05, ["Ada 1", "Ada 2", "Bo 1", "Bo 2"]), (0.5, ["Ada 2", "Bo 1"]), (0.95, [])]
)
def test_faces_from_the_limit_on_are_refused_and_another_limit_brings_them_back(limit, lines):
    refused = doubted().refused(Cleaning("embedder@1", limit, same_person_score=1.0)).to_pylist()
    assert [f"{row['identity']} {row['line']}" for row in refused] == lines
    assert {row["reason"] for row in refused} <= {Reason.WRONG_PERSON}


def test_of_two_names_of_one_person_the_lesser_is_refused_and_both_are_tied():
    refused = doubted().refused(Cleaning("embedder@1", 1.0, same_person_score=0.7)).to_pylist()
    assert [(row["identity"], row["line"], row["reason"]) for row in refused] == [
        ("Bo", 1, Reason.SAME_PERSON),
        ("Bo", 2, Reason.SAME_PERSON),
    ]
    assert doubted().ties() == (("Ada", "Bo"),)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def keep(lake: Lake, table: pa.Table, model: str = JUDGE.model) -> None:
    folder = lake.cleaned("mtcnn", "made", *model.split("@"))
    write_cleaned(lake, folder, score_faces(table, embeddings()), clean_stamp(model, table))


def test_what_was_kept_is_read_back(lake):
    table = listed()
    keep(lake, table)
    cleaned = open_cleaned(lake, "made", "mtcnn", JUDGE.model, table)
    assert cleaned.faces.equals(score_faces(table, embeddings()).faces)


def test_faces_that_came_after_the_verdicts_are_not_published_unjudged(lake):
    keep(lake, listed())
    with pytest.raises(UsageError, match=r"has not scored the 48 current faces .* run `facemill clean"):
        open_cleaned(lake, "made", "mtcnn", JUDGE.model, listed(crop_digest=bytes(31) + b"1"))


def test_a_model_that_judged_nothing_is_told_with_those_that_did(lake):
    keep(lake, listed())
    with pytest.raises(UsageError, match=r"no model other has scored .* models: embedder@1"):
        scoring_model(lake, "made", "mtcnn", "other")


def test_a_name_means_the_version_trained_last_and_a_version_itself(lake):
    for version, day in (("b", 1), ("a", 2)):
        write_model(lake, "embedder", version, {}, {"trained_at": f"2026-01-0{day}"})
        keep(lake, listed(), f"embedder@{version}")
    assert scoring_model(lake, "made", "mtcnn", "embedder") == "embedder@a"
    assert scoring_model(lake, "made", "mtcnn", "embedder@b") == "embedder@b"
