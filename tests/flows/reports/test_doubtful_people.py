from __future__ import annotations

import pyarrow as pa

from flows.reports.doubtful_people import Giver, LooseFit, Offender, loosest_fits, main_hosts, worst_hosts, worst_people


def outcomes(*rows: tuple[str, str, str, str | None]) -> pa.Table:
    """(person, host, stage, reason) of lines that are numbered in their order."""
    names = ("identity", "host", "stage", "reason")
    columns = {name: pa.array([row[at] for row in rows], pa.string()) for at, name in enumerate(names)}
    urls = [f"http://{row[1]}/{number}" for number, row in enumerate(rows)]
    return pa.table(columns | {"url": pa.array(urls), "line": pa.array(range(len(rows)), pa.int32())}).drop(["host"])


LINE_OUTCOMES = outcomes(
    ("Ada", "a.example", "sample", None),
    ("Ada", "a.example", "fetch", "gone"),
    ("Ada", "a.example", "select", "gone_too"),
    ("Bo", "B.example", "fetch", "dns"),
    ("Bo", "b.example", "fetch", "dns"),
    ("Bo", "b.example", "fetch", None),
    ("Cy", "c.example", "sample", None),
    ("Di", "d.example", "fetch", "gone"),
    ("Di", "d.example", "sample", None),
)


def test_hosts_are_ranked_by_what_was_asked_for_in_vain():
    assert worst_hosts(LINE_OUTCOMES, 2) == [
        Offender("b.example", 3, 2, 0, {"dns": 2, "pending": 1}),
        Offender("d.example", 2, 1, 1, {"gone": 1}),
    ]
    assert [one.name for one in worst_hosts(LINE_OUTCOMES, 9)] == ["b.example", "d.example", "a.example"]


def test_people_are_ranked_by_the_share_they_lose_and_who_loses_nothing_is_not_named():
    assert [(one.name, one.num_samples, one.num_lines) for one in worst_people(LINE_OUTCOMES, 9)] == [
        ("Bo", 0, 3),
        ("Ada", 1, 3),
        ("Di", 1, 2),
    ]


def test_lines_that_stopped_are_counted_once_each():
    for one in worst_people(LINE_OUTCOMES, 9):
        assert one.num_lines == one.num_samples + sum(one.lost.values())


def test_the_loosest_fits_come_first_and_people_without_listed_boxes_not_at_all():
    index = pa.table({"identity": ["Ada", "Ada", "Bo", "Cy"], "agreement": pa.array([0.5, 0.75, 0.5, None])})

    assert loosest_fits(index, 9) == [LooseFit("Bo", 1, 0.5), LooseFit("Ada", 2, 0.625)]


def test_the_hosts_that_give_most_are_counted_with_the_people_they_show():
    urls = ["http://a.example/1", "http://A.example/2", "http://b.example/1", "http://a.example/3"]
    index = pa.table({"identity": ["Ada", "Ada", "Bo", "Cy"], "url": urls})

    assert main_hosts(index, 1) == [Giver("a.example", 3, 2)]
    assert [one.name for one in main_hosts(index, 9)] == ["a.example", "b.example"]


def test_without_lines_nobody_offends():
    nobody = LINE_OUTCOMES.slice(0, 0)

    assert (worst_hosts(nobody, 3), worst_people(nobody, 3)) == ([], [])
