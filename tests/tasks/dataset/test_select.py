from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from storage.records import ATTEMPTS, FACES, LINK_LINES, VERDICTS, Reason
from tasks.dataset.funnel import count_outcomes
from tasks.dataset.select import SelectRules, Stage
from tasks.links.line_ids import line_ids
from tests.tasks.builders import BOX, OTHER_BOX, attempt, attempts, face, faces, pick, selected, shuffled, verdicts
from tests.tasks.image_shards import link_lines

A, B, C, D = (f"http://{name}.example/1" for name in "abcd")
ANY_NUMBER = SelectRules(min_faces=1)


def outcomes(
    faces_: list[dict],
    *,
    method: str = "mtcnn",
    rules: SelectRules = ANY_NUMBER,
) -> dict[tuple[str, int], tuple[str, str | None]]:
    """Stage and reason by line, of lines whose pictures were all accepted and survived."""
    by_line = sorted({(row["identity"], row["line"], str(row["key"])) for row in faces_})
    lines = link_lines(*[(identity, line, key, None) for identity, line, key in by_line])
    known = attempts(*[attempt(url) for url in dict.fromkeys(key for _, _, key in by_line)])
    table = selected(
        lines, known, verdicts(lines, [None] * len(lines)), faces(*faces_), method=method, rules=rules
    ).to_pylist()
    return {
        (identity, line): (row["stage"], row["reason"]) for (identity, line, _), row in zip(by_line, table, strict=True)
    }


SAMPLE = (Stage.SAMPLE, None)


def stopped(reason: Reason) -> tuple[str, str]:
    return Stage.SELECT, reason


def test_with_only_as_listed_a_picture_needs_the_listed_digest():
    found = [face("Ada", at, f"http://a.example/{at}", same_bytes=same) for at, same in enumerate([True, False, None])]
    rules = replace(ANY_NUMBER, only_as_listed=True)
    assert outcomes(found, rules=rules) == {
        ("Ada", 0): SAMPLE,
        ("Ada", 1): stopped(Reason.NOT_AS_LISTED),
        ("Ada", 2): stopped(Reason.NOT_AS_LISTED),
    }
    assert set(outcomes(found).values()) == {SAMPLE}


def test_every_line_has_one_outcome_and_it_is_the_first_that_stopped_it():
    urls = {name: f"http://{name}.example/1" for name in ("unfetched", "gone", "waiting", "copy", "uncropped", "empty")}
    lines = link_lines(*[("Ada", at, url, None) for at, url in enumerate([*urls.values(), A, B])])
    ledger = attempts(
        attempt(urls["gone"], Reason.GONE),
        *[attempt(url) for url in (urls["waiting"], urls["copy"], urls["uncropped"], urls["empty"], A, B)],
    )
    # "waiting" was accepted after the pictures were last compared. The faces of "gone" and "copy" are left from before.
    judged = verdicts(lines.slice(3), [Reason.NEAR_DUPLICATE, None, None, None, None])
    found = faces(
        face("Ada", 7, B, face_px=50.0),
        face("Ada", 6, A),
        face("Ada", 5, urls["empty"], Reason.NO_FACE),
        face("Ada", 3, urls["copy"]),
        face("Ada", 1, urls["gone"]),
    )
    table = selected(lines, ledger, judged, found, method="mtcnn", rules=ANY_NUMBER)

    assert list(zip(table["stage"].to_pylist(), table["reason"].to_pylist(), strict=True)) == [
        (Stage.FETCH, None),
        (Stage.FETCH, Reason.GONE),
        (Stage.DEDUPE, None),
        (Stage.DEDUPE, Reason.NEAR_DUPLICATE),
        (Stage.CROP, None),
        (Stage.CROP, Reason.NO_FACE),
        (Stage.SAMPLE, None),
        (Stage.SELECT, Reason.FACE_TOO_SMALL),
    ]
    assert table["face"].to_pylist()[5:] == [2, 1, 0]
    assert table["verdict"].to_pylist() == [None, None, None, 0, 1, 2, 3, 4]


def test_a_face_must_be_large_enough():
    found = outcomes([face("Ada", 1, A, face_px=99.9), face("Ada", 2, B, face_px=100.0)])

    assert found == {("Ada", 1): stopped(Reason.FACE_TOO_SMALL), ("Ada", 2): SAMPLE}


def test_a_listed_box_must_agree_with_a_face_found_but_only_bbox_takes_it_at_its_word():
    rows = [face("Ada", 1, A, agreement=0.39), face("Ada", 2, B, agreement=0.4), face("Ada", 3, C, agreement=None)]
    disagrees = {("Ada", 1): stopped(Reason.BOX_DISAGREES), ("Ada", 2): SAMPLE, ("Ada", 3): SAMPLE}

    assert outcomes(rows, method="bbox") == disagrees
    assert set(outcomes(rows, method="mtcnn").values()) == {SAMPLE}
    assert set(outcomes(rows, method="bbox", rules=SelectRules(min_agreement=0, min_faces=1)).values()) == {SAMPLE}


@pytest.mark.parametrize(
    ("rules", "limit", "beyond", "reason"),
    [
        ({"min_score": 0.8}, {"score": 0.8}, {"score": 0.79}, Reason.UNSURE),
        ({}, {"border": 0.3}, {"border": 0.31}, Reason.TRUNCATED),
        ({"min_sharpness": 75}, {"sharpness": 75.0}, {"sharpness": 74.0}, Reason.BLURRED),
        ({"max_yaw_deg": 30}, {"yaw_deg": -30.0}, {"yaw_deg": -31.0}, Reason.TURNED),
        ({"max_roll_deg": 20}, {"roll_deg": 20.0}, {"roll_deg": 21.0}, Reason.TURNED),
        ({"rescaled_boxes": False}, {"fit": "unrotated"}, {"fit": "rescaled"}, Reason.BOX_DISAGREES),
    ],
)
def test_quality_is_judged_by_limits_that_pass_what_was_not_measured(rules, limit, beyond, reason):
    unknown = dict.fromkeys(limit)
    found = [face("Ada", 1, A, **limit), face("Ada", 2, B, **beyond), face("Ada", 3, C, **unknown)]

    assert outcomes(found, method="bbox", rules=SelectRules(min_faces=1, **rules)) == {
        ("Ada", 1): SAMPLE,
        ("Ada", 2): stopped(reason),
        ("Ada", 3): SAMPLE,
    }


def test_unless_asked_for_nothing_is_refused_for_its_sharpness_score_or_pose():
    odd: dict[str, Any] = {"score": 0.01, "sharpness": 0.0, "yaw_deg": -90.0, "roll_deg": 180.0, "fit": "rescaled"}

    assert outcomes([face("Ada", 1, A, **odd)], method="bbox") == {("Ada", 1): SAMPLE}


def test_of_lines_of_one_person_with_one_face_the_best_fit_stays():
    rows = [
        face("Ada", 1, A, agreement=0.5),
        face("Ada", 2, A, agreement=0.9),
        face("Ada", 3, A, agreement=None),
        face("Ada", 4, A, source_box_xyxy=OTHER_BOX),
    ]
    repeated = stopped(Reason.REPEATED_FACE)

    assert outcomes(rows) == {("Ada", 1): repeated, ("Ada", 2): SAMPLE, ("Ada", 3): repeated, ("Ada", 4): SAMPLE}


def test_of_equally_fitting_lines_the_first_stays_whatever_the_order_of_faces():
    rows = [face("Ada", line, A) for line in (3, 1, 2)]

    assert outcomes(rows) == outcomes(rows[::-1])
    assert outcomes(rows)["Ada", 1] == SAMPLE


def test_a_face_that_two_people_claim_is_neither_one_s():
    rows = [
        face("Ada", 1, A, agreement=0.9),
        face("Bo", 1, A, agreement=0.4),
        face("Bo", 2, A, source_box_xyxy=OTHER_BOX),
        face("Cy", 1, B),
    ]
    conflict = stopped(Reason.CONFLICT)

    assert outcomes(rows) == {("Ada", 1): conflict, ("Bo", 1): conflict, ("Bo", 2): SAMPLE, ("Cy", 1): SAMPLE}


def test_where_nobody_is_named_a_face_on_two_lines_is_repeated_and_not_contested():
    lines = link_lines(("g1", 1, A, None), ("g2", 1, A, None), ("g3", 1, B, None))
    found = faces(face("g1", 1, A, agreement=0.4), face("g2", 1, A, agreement=0.9), face("g3", 1, B))
    known = attempts(attempt(A), attempt(B)), verdicts(lines, [None] * 3)
    table = selected(lines, *known, found, method="mtcnn", rules=ANY_NUMBER, names_people=False)
    assert table["reason"].to_pylist() == [Reason.REPEATED_FACE, None, None]


def test_the_weightier_reason_is_told():
    both: dict[str, Any] = {"agreement": 0.1, "face_px": 50.0}

    assert outcomes([face("Ada", 1, A, **both)], method="bbox") == {("Ada", 1): stopped(Reason.FACE_TOO_SMALL)}
    assert outcomes([face("Ada", 1, A), face("Ada", 2, A, agreement=0.7), face("Bo", 1, A)]) == {
        ("Ada", 1): stopped(Reason.CONFLICT),
        ("Ada", 2): stopped(Reason.CONFLICT),
        ("Bo", 1): stopped(Reason.CONFLICT),
    }


def test_a_person_with_few_faces_left_makes_no_pair():
    rows = [face("Ada", 1, A), face("Ada", 2, B, face_px=10.0), face("Bo", 1, C), face("Bo", 2, D)]

    assert outcomes(rows, rules=SelectRules()) == {
        ("Ada", 1): stopped(Reason.FEW_FACES),
        ("Ada", 2): stopped(Reason.FACE_TOO_SMALL),
        ("Bo", 1): SAMPLE,
        ("Bo", 2): SAMPLE,
    }
    assert set(outcomes(rows, rules=SelectRules(min_faces=3)).values()) == {
        stopped(Reason.FEW_FACES),
        stopped(Reason.FACE_TOO_SMALL),
    }


def test_what_was_refused_elsewhere_stops_with_that_reason_and_claims_no_face():
    lines = link_lines(("Ada", 1, A, None), ("Ada", 2, B, None), ("Bo", 1, A, None), ("Bo", 2, C, None))
    ledger = attempts(attempt(A), attempt(B), attempt(C, Reason.GONE))
    found = faces(face("Ada", 1, A), face("Ada", 2, B), face("Bo", 1, A))
    reasons = [Reason.TURNED, Reason.TURNED]
    refused = pa.table({"identity": ["Ada", "Bo"], "line": pa.array([1, 2], pa.int32()), "reason": reasons})
    judged = verdicts(lines, [None] * 4)
    table = selected(lines, ledger, judged, found, method="mtcnn", rules=ANY_NUMBER, refused=refused)

    assert list(zip(table["stage"].to_pylist(), table["reason"].to_pylist(), strict=True)) == [
        stopped(Reason.TURNED),
        SAMPLE,
        SAMPLE,
        (Stage.FETCH, Reason.GONE),
    ]


def test_before_anything_was_fetched_all_lines_wait():
    lines = link_lines(("Ada", 1, A, BOX), ("Bo", 1, A, BOX))
    empty = (ATTEMPTS.empty_table(), VERDICTS.empty_table(), FACES.empty_table())
    table = selected(lines, *empty, method="bbox", rules=SelectRules())

    assert table.to_pylist() == [{"stage": "fetch", "reason": None, "verdict": None, "face": None}] * 2
    assert len(selected(LINK_LINES.empty_table(), *empty, method="bbox", rules=SelectRules())) == 0


def test_a_line_is_told_by_person_and_number():
    lines = link_lines(("Ada", 1, A, None), ("Ada", 11, A, None), ("Bo", 1, A, None))

    assert line_ids(lines).to_pylist() == ["Ada/1", "Ada/11", "Bo/1"]


def a_road(seed: int) -> tuple[pa.Table, pa.Table, pa.Table, pa.Table]:
    """Lines, attempts, verdicts and faces with every kind of gap and failure, in shuffled order."""
    rng = np.random.default_rng(seed)
    urls = [f"http://h{number}.example/" for number in range(60)]
    rows = sorted({(f"Person_{rng.integers(6)}", line): pick(rng, *urls) for line in range(150)}.items())
    lines = link_lines(*[(*name, url, None) for name, url in rows])
    reasons = {url: pick(rng, None, None, None, Reason.GONE, Reason.DNS) for url in urls if rng.random() < 0.9}
    fetched = [row for row in rows if row[1] in reasons and reasons[row[1]] is None]
    ledger = attempts(*[attempt(url, reason) for url, reason in reasons.items()])
    picked = link_lines(*[(*name, url, None) for name, url in fetched if rng.random() < 0.9])
    judged = verdicts(picked, [pick(rng, None, None, None, Reason.CONFLICT) for _ in range(len(picked))])
    found = [
        face(*name, url, pick(rng, None, None, None, Reason.NO_FACE))
        | pick(rng, {}, {}, {"face_px": 60.0}, {"source_box_xyxy": OTHER_BOX})
        for name, url in fetched
        if rng.random() < 0.9
    ]
    return lines, ledger, judged, faces(*shuffled(found, seed))


@pytest.mark.parametrize("method", ["bbox", "mtcnn"])
@pytest.mark.parametrize("seed", range(10))
def test_lines_in_are_lines_out_and_rejected_at_every_stage(seed, method):
    lines, *rest = a_road(seed)
    table = selected(lines, *rest, method=method, rules=SelectRules())
    funnel = count_outcomes(table, method, {"malformed_line": 3})

    assert len(table) == len(lines)
    assert funnel.stages[0].num_in == len(lines) + 3
    for one in funnel.stages:
        assert one.num_in == one.num_out + sum(one.rejected.values())
    assert [one.num_in for one in funnel.stages[1:]] == [one.num_out for one in funnel.stages[:-1]]
    assert funnel.stages[-1].num_out == table["stage"].to_pylist().count("sample") > 0


@pytest.mark.parametrize("seed", range(5))
def test_outcomes_do_not_hang_on_the_order_of_what_is_known(seed):
    lines, *rest = a_road(seed)
    shuffled = [table.take(np.random.default_rng(seed).permutation(len(table))) for table in rest]
    one, other = (selected(lines, *tables, method="bbox", rules=SelectRules()) for tables in (rest, shuffled))

    assert one.select(["stage", "reason"]).equals(other.select(["stage", "reason"]))
