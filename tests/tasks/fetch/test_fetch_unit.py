from __future__ import annotations

import asyncio
import hashlib
import threading
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from storage.files.lake import Lake
from storage.records import CANDIDATES, Attempt, Outcome, Reason, bytes_digest, url_key
from storage.tables.parquet import rows_to_table, write_table
from storage.tables.shards import read_member
from tasks.fetch import fetch_unit as fetch
from tasks.fetch.fetch_unit import UnitCalls, fetch_unit, to_pending
from tasks.fetch.ledger import RULES, image_stems, pending_due, pending_new, read_ledger
from tasks.images.validate import ImageLimits
from tasks.images.validation_pool import ValidationPool
from tasks.web.responses import FetchResult
from tests.tasks.web.origin import NOT_FOUND, QUICK, Origin, Play, open_web, playing, redirect, response, serving
from tests.virtual_time import now_s

SOURCE, UNIT = "made", 3


def jpeg(number: int) -> bytes:
    noise = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    file = BytesIO()
    Image.fromarray(noise).resize((96, 80)).save(file, "JPEG")
    return file.getvalue()


def urls(paths: Iterable[object]) -> list[str]:
    return [f"http://a.example/{path}" for path in paths]


def candidates(paths: Iterable[object]) -> pa.Table:
    return rows_to_table([{"key": url_key(url), "url": url, "unit": UNIT} for url in urls(paths)], CANDIDATES)


def pictures(num: int) -> dict[str, bytes | Play]:
    return {f"/{n}": response(jpeg(n)) for n in range(num)}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small shards with foreseeable names."""
    monkeypatch.setattr(fetch, "ATTEMPTS_PER_SHARD", 5)
    monkeypatch.setattr("tasks.fetch.fetch_unit.secrets.token_hex", lambda _: "one")


async def fetched(lake: Lake, origin: Origin, pending: pa.Table, **options: Any) -> int:
    async with open_web(QUICK, connect_to=origin.address) as web:
        return await fetch_unit(lake, SOURCE, UNIT, to_pending(pending), web, **options)


async def first_round(lake: Lake, origin: Origin, paths: Iterable[object], **options: Any) -> int:
    return await fetched(lake, origin, pending_new(candidates(paths), read_ledger(lake, SOURCE)), **options)


def rows(lake: Lake) -> dict[str, dict[str, Any]]:
    """The newest attempt of each path."""
    return {row["url"].removeprefix("http://a.example/"): row for row in read_ledger(lake, SOURCE).to_pylist()}


def files(lake: Lake) -> dict[str, bytes]:
    folder = Path(lake.full(lake.images(SOURCE)))
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())} if folder.exists() else {}


# -- what is written --


async def test_every_candidate_becomes_one_row_and_every_picture_is_kept_as_it_came(lake: Lake) -> None:
    told: list[Attempt] = []
    replies = pictures(18) | {"/html": response(b"<html>gone</html>"), "/403": response(status="403 No")}
    async with serving(Origin(replies)) as origin:
        paths = [*range(18), "html", "403", "404", "404b", "404c"]
        assert await first_round(lake, origin, paths, calls=UnitCalls(told.append)) == 23
    found = rows(lake)
    assert set(found) == {str(path) for path in paths}
    assert Counter(row["reason"] for row in found.values()) == {None: 18, "not_an_image": 1, "forbidden": 1, "gone": 3}
    for n in range(18):
        row = found[str(n)]
        member = read_member(lake, f"{lake.images(SOURCE, row['shard'])}.tar", row["offset"], row["length"])
        assert member == jpeg(n)
        assert (row["digest"], row["num_bytes"], row["format"]) == (bytes_digest(jpeg(n)), len(jpeg(n)), "JPEG")
        assert (row["outcome"], row["http_status"], row["width"], row["height"]) == (Outcome.ACCEPTED, 200, 96, 80)
    assert all(row["shard"] is None and row["digest"] is None for row in found.values() if row["reason"])
    assert {attempt.key for attempt in told} == {row["key"] for row in found.values()}


async def test_a_picture_gets_the_digest_that_its_list_has_and_a_failure_gets_none(lake: Lake) -> None:
    table = candidates(["0", "1", "404"])
    kinds = pa.array(["md5", None, "md5"]).dictionary_encode().cast(CANDIDATES.field("digest_kind").type)
    table = table.set_column(table.schema.get_field_index("digest_kind"), "digest_kind", kinds)
    async with serving(Origin(pictures(2))) as origin:
        await fetched(lake, origin, pending_new(table, read_ledger(lake, SOURCE)))
    found = {path: row["other_digest"] for path, row in rows(lake).items()}
    assert found == {"0": hashlib.new("md5", jpeg(0), usedforsecurity=False).digest(), "1": None, "404": None}


async def test_a_unit_is_written_in_shards_of_a_few_hundred_attempts(lake: Lake) -> None:
    told: list[int] = []
    calls = UnitCalls(on_shard=lambda: told.append(len(image_stems(lake, SOURCE))))
    async with serving(Origin(pictures(12))) as origin:
        await first_round(lake, origin, range(12), calls=calls)
        await first_round(lake, origin, [], calls=calls)
    assert told == [1, 2, 3]
    assert image_stems(lake, SOURCE) == ["0003-0000-one", "0003-0001-one", "0003-0002-one"]
    assert list(files(lake)) == [f"0003-000{n}-one.{kind}" for n in range(3) for kind in ["parquet", "tar"]]
    assert Counter(row["shard"] for row in rows(lake).values()) == {
        "0003-0000-one": 5,
        "0003-0001-one": 5,
        "0003-0002-one": 2,
    }


async def test_a_shard_without_pictures_is_an_index_alone(lake: Lake) -> None:
    async with serving(Origin()) as origin:
        assert await first_round(lake, origin, range(3)) == 3
        assert list(files(lake)) == ["0003-0000-one.parquet"]
        assert await first_round(lake, origin, []) == 0
    assert list(files(lake)) == ["0003-0000-one.parquet"]


async def test_what_a_host_says_is_stored_whatever_its_bytes(lake: Lake) -> None:
    async with playing(b"HTTP/1.1 404 \xff\xfe\x00gone\r\n\r\n") as origin:
        await first_round(lake, origin, ["x"])
    assert rows(lake)["x"]["reason"] == "gone"


async def test_a_row_says_which_rules_judged_it_and_what_was_odd(lake: Lake) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Encoding: none\r\n\r\n" % (len(jpeg(0)) + 2)
    odd = head + jpeg(0)
    replies = {"/good": response(jpeg(1)), "/odd": odd, "/bad": NOT_FOUND}
    async with serving(Origin(dict(replies))) as origin:
        await first_round(lake, origin, ["good", "odd", "bad"])
    found = {path: (row["outcome"], row["rules"], row["note"]) for path, row in rows(lake).items()}
    assert found == {
        "good": (Outcome.ACCEPTED, RULES, None),
        "odd": (Outcome.ACCEPTED, RULES, "incomplete odd_encoding"),
        "bad": (Outcome.REJECTED, RULES, None),
    }


async def test_pictures_are_judged_by_the_limits_given(lake: Lake) -> None:
    async with serving(Origin(pictures(1))) as origin:
        await first_round(lake, origin, [0], checks=ValidationPool(ImageLimits(min_side_px=81)))
    assert rows(lake)["0"]["reason"] == "too_small"


async def test_no_more_are_asked_at_a_time_than_said(lake: Lake) -> None:
    async def slow(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.02)
        writer.write(response(b"x"))

    async with playing(slow) as origin:
        await first_round(lake, origin, range(12), in_flight=3)
    assert origin.most_open == 3


# -- tries and rounds --


@pytest.mark.parametrize(
    ("status", "num_asked"), [("503 Later", 2), ("429 Slow Down", 2), ("403 No", 1), ("404 Gone", 1), ("418 Tea", 1)]
)
async def test_a_failure_that_may_pass_soon_is_tried_once_more_and_no_other(
    lake: Lake, status: str, num_asked: int
) -> None:
    async with playing(response(status=status)) as origin:
        await first_round(lake, origin, ["x"])
    assert len(origin.heads) == num_asked
    assert (rows(lake)["x"]["tries"], rows(lake)["x"]["round"]) == (num_asked, 1)


# When a connection ends before the answer, aiohttp asks once more by itself: that is one try.
@pytest.mark.parametrize(
    ("fault", "num_faults"), [(response(status="500 No"), 1), (b"", 2), (response(jpeg(0))[:-9], 1)]
)
async def test_a_second_try_may_bring_the_picture(lake: Lake, fault: bytes, num_faults: int) -> None:
    async def recover(writer: asyncio.StreamWriter) -> None:
        writer.write(fault if len(origin.heads) <= num_faults else response(jpeg(0)))

    async with playing(recover) as origin:
        await first_round(lake, origin, ["0"])
    row = rows(lake)["0"]
    assert (row["outcome"], row["tries"], row["round"], row["next_try"]) == ("accepted", 2, 1, None)


@pytest.mark.parametrize(
    ("status", "wait"),
    [("503 Later", timedelta(0)), ("403 No", timedelta(hours=1)), ("404 Gone", None), ("418 Tea", None)],
)
async def test_the_next_try_of_a_failure_depends_on_its_reason(lake: Lake, status: str, wait: timedelta | None) -> None:
    before = datetime.now(UTC)
    async with playing(response(status=status)) as origin:
        await first_round(lake, origin, ["x"])
    row = rows(lake)["x"]
    assert row["next_try"] == (None if wait is None else row["fetched_at"] + wait)
    # The table keeps whole milliseconds.
    assert before - timedelta(milliseconds=1) <= row["fetched_at"] <= datetime.now(UTC)


async def test_a_short_retry_after_is_waited_for(lake: Lake) -> None:
    async with playing(response(b"", "Retry-After: 1", status="429 Slow Down")) as origin:
        started = now_s()
        await first_round(lake, origin, ["x"])
    assert len(origin.heads) == 2
    assert now_s() - started == pytest.approx(1, abs=0.1)


async def test_a_link_that_waits_for_its_second_try_lends_its_place_to_others(lake: Lake) -> None:
    replies = pictures(4) | {"/later": response(status="500 No")}
    async with serving(Origin(replies)) as origin:
        await first_round(lake, origin, ["later", *range(4)], in_flight=1)
    assert origin.targets == ["/later", "/0", "/1", "/2", "/3", "/later"]
    assert origin.most_open == 1


async def test_only_so_many_lend_their_place_at_a_time(lake: Lake) -> None:
    async with serving(Origin({f"/{n}": response(status="500 No") for n in range(3)})) as origin:
        await first_round(lake, origin, range(3), in_flight=1, most_paused=1)
    # /0 lends its place, /1 may not.
    assert origin.targets[:3] == ["/0", "/1", "/1"]
    assert len(origin.targets) == 6
    assert {row["tries"] for row in rows(lake).values()} == {2}


async def test_a_long_retry_after_is_left_to_a_later_round(lake: Lake) -> None:
    async with playing(response(b"", "Retry-After: 7200", status="503 Later")) as origin:
        await first_round(lake, origin, ["x"])
    row = rows(lake)["x"]
    assert (len(origin.heads), row["tries"]) == (1, 1)
    assert row["next_try"] == row["fetched_at"] + timedelta(hours=2)


async def test_a_further_round_asks_for_what_is_due_and_numbers_its_shards_on(lake: Lake) -> None:
    wanted = candidates([*range(6), "404", "403"])
    async with serving(Origin(pictures(6) | {"/403": response(status="403 No")})) as origin:
        await fetched(lake, origin, pending_new(wanted, read_ledger(lake, SOURCE)))
        before = files(lake)
        origin.heads.clear()
        origin.replies["/403"] = response(jpeg(403))
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        due = pending_due(wanted, read_ledger(lake, SOURCE), tomorrow)
        assert await fetched(lake, origin, due) == 1
        assert origin.targets == ["/403"]
        assert len(pending_due(wanted, read_ledger(lake, SOURCE), tomorrow)) == 0
    row = rows(lake)["403"]
    assert (row["outcome"], row["tries"], row["round"], row["shard"]) == ("accepted", 2, 2, "0003-0002-one")
    assert len(rows(lake)) == 8
    assert {name: data for name, data in files(lake).items() if name in before} == before


async def test_units_do_not_disturb_each_others_numbers(lake: Lake) -> None:
    async with serving(Origin(pictures(2))) as origin, open_web(QUICK, connect_to=origin.address) as web:
        pending = list(to_pending(pending_new(candidates(range(2)), read_ledger(lake, SOURCE))))
        await fetch_unit(lake, SOURCE, 12, pending[:1], web)
        await fetch_unit(lake, SOURCE, 2, pending[1:], web)
    assert image_stems(lake, SOURCE) == ["0002-0000-one", "0012-0000-one"]


# -- broken off --


async def test_a_run_broken_off_leaves_whole_shards_and_the_next_asks_only_for_the_rest(lake: Lake) -> None:
    many = asyncio.Event()

    async def stall(writer: asyncio.StreamWriter) -> None:
        many.set()
        await asyncio.sleep(60)

    replies = pictures(30)
    async with serving(Origin({**replies, "/17": stall})) as origin:
        task = asyncio.create_task(first_round(lake, origin, range(30), in_flight=2))
        await many.wait()
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        kept = set(rows(lake))
        assert len(kept) >= 10 and len(kept) % 5 == 0
        assert {name.split(".")[-1] for name in files(lake)} == {"tar", "parquet"}
        assert len(files(lake)) == 2 * len(image_stems(lake, SOURCE))
        origin.heads.clear()
        origin.replies = replies
        assert await first_round(lake, origin, range(30)) == 30 - len(kept)
    assert {target[1:] for target in origin.targets} == {str(n) for n in range(30)} - kept
    for n in range(30):
        row = rows(lake)[str(n)]
        assert lake.read(f"{lake.images(SOURCE, row['shard'])}.tar", row["offset"], row["length"]) == jpeg(n)


async def test_a_run_cancelled_while_it_commits_ends_the_commit_first(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, loop = asyncio.Event(), threading.Event(), asyncio.get_running_loop()

    def slow_write(*arguments: Any, **options: Any) -> None:
        loop.call_soon_threadsafe(begun.set)
        go_on.wait()
        write_table(*arguments, **options)

    monkeypatch.setattr(fetch, "write_table", slow_write)
    async with serving(Origin(pictures(12))) as origin:
        task = asyncio.create_task(first_round(lake, origin, range(12)))
        await begun.wait()
        task.cancel()
        for _ in range(20):
            await asyncio.sleep(0)
        assert not task.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert list(files(lake)) == ["0003-0000-one.parquet", "0003-0000-one.tar"]
        assert await first_round(lake, origin, range(12)) == 7


async def test_an_error_on_the_way_leaves_no_shard_and_no_request_behind(lake: Lake) -> None:
    class Failing:
        running = 0

        async def get(self, url: str) -> FetchResult:
            if url.endswith("/2"):
                await asyncio.sleep(0.02)
                raise RuntimeError("a bug")
            if url.endswith(("/0", "/1")):
                return FetchResult(url, jpeg(0), http_status=200)
            Failing.running += 1
            try:
                await asyncio.sleep(60)
            finally:
                Failing.running -= 1
            return FetchResult(url)

    pending = to_pending(pending_new(candidates(range(6)), read_ledger(lake, SOURCE)))
    with pytest.raises(RuntimeError, match="a bug"):
        await fetch_unit(lake, SOURCE, UNIT, pending, Failing())
    assert Failing.running == 0
    assert files(lake) == {}


async def test_every_reason_of_the_web_can_be_a_row(lake: Lake) -> None:
    class Saying:
        async def get(self, url: str) -> FetchResult:
            return FetchResult(url, reason=Reason(url.rsplit("/", 1)[1]), detail="why")

    reasons = [reason.value for reason in Reason]
    pending = to_pending(pending_new(candidates(reasons), read_ledger(lake, SOURCE)))
    assert await fetch_unit(lake, SOURCE, UNIT, pending, Saying()) == len(reasons)
    # The URL of what was taken down is not written.
    told = {"" if reason == Reason.TAKEN_DOWN else reason: reason for reason in reasons}
    assert {path: row["reason"] for path, row in rows(lake).items()} == told


async def test_two_runs_at_a_time_on_one_unit_never_write_the_same_shard(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = iter("ab")
    monkeypatch.setattr("tasks.fetch.fetch_unit.secrets.token_hex", lambda _: next(tokens))
    async with serving(Origin(pictures(4))) as origin, open_web(QUICK, connect_to=origin.address) as web:
        pending = pending_new(candidates(range(4)), read_ledger(lake, SOURCE))
        await asyncio.gather(*(fetch_unit(lake, SOURCE, UNIT, to_pending(pending), web) for _ in range(2)))

    assert image_stems(lake, SOURCE) == ["0003-0000-a", "0003-0000-b"]
    for row in read_ledger(lake, SOURCE).to_pylist():
        tar = f"{lake.images(SOURCE, row['shard'])}.tar"
        assert bytes_digest(read_member(lake, tar, row["offset"], row["length"])) == row["digest"]


# -- several runs --


async def test_links_that_need_a_host_of_another_run_stay_pending(lake: Lake) -> None:
    elsewhere: list[tuple[str, str]] = []
    replies = pictures(3) | {"/moved": redirect("http://b.example/1")}
    async with (
        serving(Origin(replies)) as origin,
        open_web(QUICK, connect_to=origin.address, is_mine=lambda host: host != "b.example") as web,
    ):
        pending = pending_new(candidates([0, "moved", 1, 2]), read_ledger(lake, SOURCE))
        calls = UnitCalls(on_elsewhere=lambda candidate, host: elsewhere.append((candidate.url, host)))
        assert await fetch_unit(lake, SOURCE, UNIT, to_pending(pending), web, calls=calls) == 3
    assert elsewhere == [("http://a.example/moved", "b.example")]
    assert set(rows(lake)) == {"0", "1", "2"}


async def test_a_unit_that_is_told_to_stop_finishes_and_commits_what_it_has_begun(lake: Lake) -> None:
    told: list[Attempt] = []
    async with serving(Origin(pictures(9))) as origin:
        calls = UnitCalls(told.append, goes_on=lambda: len(told) < 3)
        assert await first_round(lake, origin, range(9), in_flight=1, calls=calls) == 3
    assert set(rows(lake)) == {"0", "1", "2"}
