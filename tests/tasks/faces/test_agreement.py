from __future__ import annotations

import pyarrow as pa
import pytest

from storage.records import Reason
from tasks.faces.agreement import Agreement, agreed, compare, count_agreement, gives_face
from tests.tasks.builders import OTHER_BOX, face, faces

A = "http://a.example/1"
NEARLY = (110.0, 60.0, 210.0, 180.0)


def tables() -> dict[str, pa.Table]:
    """The listed boxes in one order, the detected faces of some of these lines in another."""
    listed = [
        face("Ada", 1, A),
        face("Ada", 2, A),
        face("Ada", 3, A),
        face("Ada", 4, A, fit=None, agreement=0.1),
        face("Ada", 5, A, Reason.NO_BOX),
        face("Bo", 1, A),
    ]
    detected = [
        face("Ada", 5, A, Reason.NO_FACE),
        face("Ada", 4, A, fit=None),
        face("Ada", 3, A, Reason.SEVERAL_PEOPLE),
        face("Ada", 2, A, fit=None, source_box_xyxy=OTHER_BOX),
        face("Ada", 1, A, fit=None, source_box_xyxy=NEARLY),
        face("Cy", 1, A, fit=None),
    ]
    return {"bbox": faces(*listed), "mtcnn": faces(*detected)}


def test_a_listed_box_that_no_face_confirms_is_no_face_but_a_detected_one_needs_no_box():
    both = tables()
    assert gives_face(both["bbox"], "bbox").tolist() == [True, True, True, False, False, True]
    assert gives_face(both["mtcnn"], "mtcnn").tolist() == [False, True, False, True, True, True]


def test_lines_judged_by_both_are_told_apart_by_what_they_gave():
    pairs = compare(tables(), "bbox", "mtcnn")
    assert pairs.select(["first", "second", "agreement"]).to_pylist() == [
        {"first": 0, "second": 4, "agreement": Agreement.SAME},
        {"first": 1, "second": 3, "agreement": Agreement.DIFFERENT},
        {"first": 2, "second": 2, "agreement": Agreement.ONLY_FIRST},
        {"first": 3, "second": 1, "agreement": Agreement.ONLY_SECOND},
        {"first": 4, "second": 0, "agreement": Agreement.NEITHER},
    ]
    assert pairs["iou"].to_pylist() == [pytest.approx(90 / 110), 0.0, None, None, None]
    assert list(count_agreement(pairs).values()) == [1, 1, 1, 1, 1]


def test_the_lines_compared_are_all_counted_once_whichever_comes_first():
    both = tables()
    there, back = compare(both, "bbox", "mtcnn"), compare(both, "mtcnn", "bbox")
    assert sum(count_agreement(there).values()) == sum(count_agreement(back).values()) == 5
    assert count_agreement(there)[Agreement.ONLY_FIRST] == count_agreement(back)[Agreement.ONLY_SECOND]


def test_agreed_are_the_detected_faces_that_the_listed_boxes_frame_and_the_others_say_why_not():
    both = tables()
    found = agreed(both["bbox"], both["mtcnn"])

    assert {(row["identity"], row["line"]): row["reason"] for row in found.to_pylist()} == {
        ("Ada", 1): None,
        ("Ada", 2): Reason.METHODS_DISAGREE,
        ("Ada", 3): Reason.SEVERAL_PEOPLE,
        ("Ada", 4): Reason.BOX_DISAGREES,
        ("Ada", 5): Reason.NO_FACE,
    }
    assert found["outcome"].to_pylist() == ["accepted", *["rejected"] * 4]
    assert found["source_box_xyxy"].to_pylist()[0] == list(NEARLY)
    assert found.schema == both["mtcnn"].schema


def test_nothing_in_common_compares_to_nothing():
    assert len(compare({"one": faces(), "two": faces(face("Ada", 1, A))}, "one", "two")) == 0
