from __future__ import annotations

import json

import pyarrow as pa

from tasks.dataset.funnel import Funnel, count_outcomes

OUTCOMES = pa.table(
    {
        "stage": ["fetch", "fetch", "fetch", "fetch", "dedupe", "crop", "crop", "select", "sample", "sample"],
        "reason": ["gone", "dns", "gone", None, "conflict", "no_face", None, "few_faces", None, None],
    }
)


def test_each_stage_takes_in_what_the_one_before_let_out():
    funnel = count_outcomes(OUTCOMES, "mtcnn")

    assert [(one.stage, one.num_in, one.num_out) for one in funnel.stages] == [
        ("fetch", 10, 6),
        ("dedupe", 6, 5),
        ("crop", 5, 3),
        ("select", 3, 2),
    ]


def test_reasons_are_counted_most_frequent_first_and_what_waits_is_pending():
    fetch, _, crop, _ = count_outcomes(OUTCOMES, "mtcnn").stages

    assert fetch.rejected == {"gone": 2, "dns": 1, "pending": 1}
    assert next(iter(fetch.rejected)) == "gone"
    assert crop.rejected == {"no_face": 1, "pending": 1}


def test_lines_that_were_never_planned_come_first():
    funnel = count_outcomes(OUTCOMES, "mtcnn", {"malformed_line": 3, "bad_url": 1})
    links = funnel.stages[0]

    assert (links.stage, links.num_in, links.num_out) == ("links", 14, 10)
    assert links.rejected == {"bad_url": 1, "malformed_line": 3}
    assert funnel.stages[1:] == count_outcomes(OUTCOMES, "mtcnn").stages


def test_the_rows_for_people_give_each_stage_and_below_it_each_reason():
    rows = count_outcomes(OUTCOMES, "mtcnn").rows()

    stage = rows.index({"stage": "dedupe", "in": 6, "out": 5, "rejected": 1, "reason": ""})
    assert rows[stage + 1] == {"stage": "", "in": "", "out": "", "rejected": 1, "reason": "conflict"}


def test_a_funnel_goes_into_json():
    funnel = count_outcomes(OUTCOMES, "mtcnn", {"bad_url": 1})
    value = json.loads(json.dumps(funnel.to_json()))

    assert Funnel.from_json(value) == funnel
    assert value["stages"][0] == {"stage": "links", "num_in": 11, "num_out": 10, "rejected": {"bad_url": 1}}


def test_no_lines_make_a_funnel_of_zeros():
    assert {(one.num_in, one.num_out) for one in count_outcomes(OUTCOMES.slice(0, 0), "mtcnn").stages} == {(0, 0)}


def test_a_funnel_of_the_first_releases_is_read_with_the_reasons_of_today() -> None:
    stage = {"stage": "select", "num_in": 3, "num_out": 1, "rejected": {"straddles": 2}}
    (read,) = Funnel.from_json({"method": "mtcnn", "stages": [stage]}).stages
    assert read.rejected == {"cross_split": 2}
