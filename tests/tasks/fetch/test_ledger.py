from __future__ import annotations

from datetime import timedelta

import pyarrow as pa
import pytest

from storage.errors import LakeError
from storage.files.lake import Lake
from storage.records import ATTEMPTS, CANDIDATES, Reason, Retry, url_key
from storage.tables.parquet import rows_to_table, write_table
from tasks.fetch.ledger import (
    RULES,
    Choice,
    accepted,
    chosen,
    due,
    host_of,
    image_stems,
    left_of,
    newest,
    next_try,
    pending_due,
    pending_new,
    read_ledger,
    rejected_by_older_rules,
    still_pending,
    unknown,
)
from tests.tasks.builders import NOW, attempt, attempts

A, B, C, D = (f"http://{name}.example/1" for name in "abcd")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
EMPTY = ATTEMPTS.empty_table()


def candidates(*urls: str) -> pa.Table:
    return rows_to_table([{"key": url_key(url), "url": url, "unit": 7} for url in urls], CANDIDATES)


def urls(table: pa.Table) -> list[str]:
    return table["url"].to_pylist()


def test_what_another_run_has_asked_for_meanwhile_is_left_out_of_a_unit(tmp_path):
    lake = Lake(tmp_path)
    write_table(lake, f"{lake.images('made', '0007-0000-aaaaaa')}.parquet", attempts(attempt(A, Reason.RESET)))
    seen = image_stems(lake, "made")
    pending = pending_new(candidates(B, C, D), read_ledger(lake, "made", ["key"], stems=seen))
    assert left_of(lake, "made", pending, seen) == pending

    write_table(lake, f"{lake.images('made', '0007-0000-bbbbbb')}.parquet", attempts(attempt(B)))
    write_table(lake, f"{lake.images('made', '0008-0000-bbbbbb')}.parquet", attempts(attempt(C)))
    assert urls(left_of(lake, "made", pending, seen)) == [C, D]
    assert urls(pending) == [B, C, D]


def test_the_ledger_holds_the_newest_row_of_each_key(tmp_path):
    lake = Lake(tmp_path)
    shards = {
        "0000-0": attempts(attempt(A, Reason.RESET), attempt(B)),
        "0000-1": attempts(attempt(A, Reason.GONE, round=3), attempt(C, Reason.DNS)),
        "0001-0": attempts(attempt(A, Reason.DNS, round=2)),
    }
    for stem, table in shards.items():
        write_table(lake, f"{lake.images('made', stem)}.parquet", table)
        lake.write(f"{lake.images('made', stem)}.tar", b"")
    ledger = read_ledger(lake, "made")

    assert image_stems(lake, "made") == list(shards)
    assert ledger.schema.names == ATTEMPTS.names
    assert {row["url"]: row["reason"] for row in ledger.to_pylist()} == {A: "gone", B: None, C: "dns"}
    assert len(ledger) == 3
    assert read_ledger(lake, "made", ["url"]).column_names == ["url"]
    assert len(read_ledger(lake, "made", ["url"])) == 3


@pytest.mark.parametrize("columns", [None, ["key", "outcome"]])
def test_the_ledger_of_a_source_nobody_fetched_is_empty(tmp_path, columns):
    ledger = read_ledger(Lake(tmp_path), "made", columns)

    assert ledger.column_names == (columns or ATTEMPTS.names)
    assert len(ledger) == 0


def test_of_two_rows_of_one_round_the_later_counts():
    rows = newest(attempts(attempt(A, Reason.DNS), attempt(B), attempt(A, Reason.GONE)))

    assert [(row["url"], row["reason"]) for row in rows.to_pylist()] == [(B, None), (A, "gone")]


def test_a_shard_whose_index_is_missing_does_not_count(tmp_path):
    lake = Lake(tmp_path)
    lake.write("images/made/0000-0.tar", b"killed before the index")

    assert image_stems(lake, "made") == []
    assert len(read_ledger(lake, "made")) == 0


def test_unknown_are_the_candidates_without_any_row():
    ledger = attempts(attempt(A, Reason.GONE), attempt(C))

    assert urls(unknown(candidates(A, B, C, D), ledger)) == [B, D]
    assert urls(unknown(candidates(A, B), EMPTY)) == [A, B]


def test_a_first_round_asks_for_the_unknown_with_nothing_spent():
    pending = pending_new(candidates(A, B, C), attempts(attempt(B)))

    assert pending.to_pylist() == [
        {"key": url_key(url), "url": url, "unit": 7, "digest_kind": None, "tries": 0, "round": 0} for url in (A, C)
    ]
    assert pending.schema.field("round").type == pa.int16()


def test_due_are_the_rows_whose_next_try_has_come():
    ledger = attempts(
        attempt(A, Reason.DNS, next_try=NOW - HOUR),
        attempt(B, Reason.DNS, next_try=NOW),
        attempt(C, Reason.DNS, next_try=NOW + timedelta(milliseconds=1)),
        attempt(D, Reason.GONE),
    )

    assert urls(due(ledger, NOW)) == [A, B]
    assert urls(due(ledger, NOW + DAY)) == [A, B, C]
    assert len(due(EMPTY, NOW)) == 0


def test_a_further_round_asks_for_the_due_with_what_they_spent():
    ledger = attempts(
        attempt(C, Reason.DNS, next_try=NOW, tries=5, round=3),
        attempt(A, Reason.RESET, next_try=NOW, tries=2, round=1),
        attempt(B, Reason.DNS, next_try=NOW + HOUR),
    )
    pending = pending_due(candidates(A, B, C, D), ledger, NOW)

    assert [(row["url"], row["tries"], row["round"], row["unit"]) for row in pending.to_pylist()] == [
        (A, 2, 1, 7),
        (C, 5, 3, 7),
    ]
    assert len(pending_due(candidates(D), ledger, NOW)) == 0
    assert len(pending_due(candidates(A), EMPTY, NOW)) == 0


def test_what_is_due_but_no_longer_planned_is_left_alone():
    ledger = attempts(attempt(A, Reason.DNS, next_try=NOW), attempt(B, Reason.DNS, next_try=NOW))

    assert urls(pending_due(candidates(B), ledger, NOW)) == [B]


def test_still_pending_are_those_whose_round_was_not_committed_meanwhile():
    ledger = attempts(attempt(A, Reason.DNS, next_try=NOW), attempt(B, Reason.DNS, next_try=NOW))
    new, again = pending_new(candidates(C, D), ledger), pending_due(candidates(A, B), ledger, NOW)
    committed = attempts(attempt(A, Reason.DNS, round=2), attempt(B, Reason.DNS), attempt(D))

    assert urls(still_pending(new, ledger)) == [C, D]
    assert urls(still_pending(again, ledger)) == [A, B]
    assert urls(still_pending(new, committed)) == [C]
    assert urls(still_pending(again, committed)) == [B]


GAPS = {
    Retry.NEVER: [],
    Retry.SOON: [timedelta(0), HOUR, DAY, 7 * DAY],
    Retry.LATER: [HOUR, DAY, 7 * DAY],
}


@pytest.mark.parametrize("reason", Reason)
def test_the_waits_between_rounds_grow_and_end(reason):
    waits = [next_try(reason, rounds, NOW) for rounds in range(1, 8)]
    expected = [NOW + gap for gap in GAPS[reason.retry]]

    assert waits == expected + [None] * (7 - len(expected))


def test_a_server_that_asks_for_more_time_gets_it():
    assert next_try(Reason.RATE_LIMITED, 1, NOW, retry_after_s=120) == NOW + timedelta(minutes=2)
    assert next_try(Reason.RATE_LIMITED, 2, NOW, retry_after_s=120) == NOW + HOUR
    assert next_try(Reason.RATE_LIMITED, 5, NOW, retry_after_s=120) is None
    assert next_try(Reason.GONE, 1, NOW, retry_after_s=120) is None


def test_an_index_written_before_a_column_was_thought_of_has_nulls_there(tmp_path):
    lake = Lake(tmp_path)
    old = attempts(attempt(A, Reason.GONE)).drop_columns(ATTEMPTS.names[-6:])
    write_table(lake, "images/made/0000-0.parquet", old)
    write_table(
        lake,
        "images/made/0000-1.parquet",
        attempts(attempt(B, via="archive", received_bytes=7, rules=2, note="odd_head")),
    )
    ledger = read_ledger(lake, "made")

    assert ledger.schema.names == ATTEMPTS.names
    columns = ("url", "received_bytes", "via", "rules", "note")
    assert [tuple(row[name] for name in columns) for row in ledger.to_pylist()] == [
        (A, None, None, None, None),
        (B, 7, "archive", 2, "odd_head"),
    ]
    assert read_ledger(lake, "made", ["via"])["via"].to_pylist() == [None, "archive"]


def test_an_index_that_is_none_is_told(tmp_path):
    lake = Lake(tmp_path)
    lake.write("images/made/0000-0.parquet", b"no parquet")

    with pytest.raises(LakeError, match="cannot be read"):
        read_ledger(lake, "made")


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://A.Example/1", "a.example"),
        ("https://a.example:8080", "a.example"),
        ("http://me:pw@a.example:80/x@y", "a.example"),
        ("http://a.example?x=//b/", "a.example"),
        ("http://[2606::1]:81/x", "[2606::1]"),
        ("Ada/1.jpg", ""),
        ("//a.example/1", "a.example"),
    ],
)
def test_the_host_of_a_url_is_its_name_alone(url, host):
    assert host_of(pa.chunked_array([[url]])).to_pylist() == [host]


FAILED = [
    attempt(A, Reason.DNS, next_try=NOW - HOUR),
    attempt(B, Reason.TIMEOUT, next_try=NOW),
    attempt(C, Reason.TIMEOUT, next_try=NOW + DAY),
    attempt(D, Reason.GONE),
    attempt("http://e.example/1", Reason.TIMEOUT, round=4),
    attempt("http://f.example/1", Reason.OPTED_OUT),
    attempt("http://g.example/1", Reason.BROKEN_IMAGE),
    attempt("http://h.example/1"),
    attempt("http://i.example/1", Reason.TAKEN_DOWN),
]


@pytest.mark.parametrize(
    ("choice", "taken"),
    [
        (Choice(), "ab"),
        (Choice(ignore_gaps=True), "abc"),
        (Choice(reasons=(Reason.TIMEOUT,)), "b"),
        (Choice(reasons=(Reason.TIMEOUT, Reason.GONE), ignore_gaps=True), "bc"),
        (Choice(hosts=("a.example", "c.example")), "a"),
        (Choice(hosts=("a.example", "c.example"), ignore_gaps=True), "ac"),
        (Choice(reasons=(Reason.GONE,), ignore_gaps=True), ""),
        (Choice(also_final=True), "abdefg"),
        (Choice(also_final=True, ignore_gaps=True), "abcdefg"),
        (Choice(also_final=True, reasons=(Reason.BROKEN_IMAGE, Reason.TIMEOUT)), "beg"),
        (Choice(also_final=True, hosts=("c.example", "d.example")), "d"),
        (Choice(archive=True), "de"),
        (Choice(archive=True, reasons=(Reason.GONE,)), "d"),
    ],
)
def test_a_retry_takes_what_is_due_narrowed_hurried_or_with_what_is_final(choice, taken):
    rows = chosen(attempts(*FAILED).select(list(Choice.columns)), choice, NOW)

    assert urls(rows) == [f"http://{name}.example/1" for name in taken]


def test_links_that_older_rules_rejected_for_good_are_counted_where_newer_ones_may_take_them():
    ledger = attempts(
        attempt(A, Reason.BROKEN_IMAGE),
        attempt(B, Reason.REDIRECT_LOOP, rules=1),
        attempt(C, Reason.REDIRECT_LOOP, rules=RULES),
        attempt(D, Reason.GONE),
        attempt("http://e.example/1", Reason.BAD_RESPONSE, next_try=NOW),
        attempt("http://f.example/1"),
        attempt("http://g.example/1", Reason.BROKEN_IMAGE),
    )

    assert rejected_by_older_rules(ledger) == {"broken_image": 2, "redirect_loop": 1}
    assert rejected_by_older_rules(EMPTY) == {}


def test_what_an_archive_does_not_have_is_not_asked_of_it_again_but_what_it_failed_to_give_is():
    ledger = attempts(
        attempt(A, Reason.GONE, round=2, via="archive"),
        attempt(B, Reason.SERVER_ERROR, round=2, via="archive"),
        attempt(C, round=2, via="archive"),
    )

    assert urls(chosen(ledger, Choice(archive=True), NOW)) == [B]
    assert len(chosen(ledger, Choice(ignore_gaps=True), NOW)) == 0


def test_accepted_are_the_rows_with_a_picture():
    assert urls(accepted(attempts(attempt(A), attempt(B, Reason.GONE), attempt(C)))) == [A, C]
    assert len(accepted(EMPTY)) == 0
