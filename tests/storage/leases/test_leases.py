"""Leases: who does which unit, seen from several runs that share a lake."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from storage.errors import LakeError, LeaseLost
from storage.files.lake import Lake
from storage.files.processes import is_gone, this_process
from storage.leases.leases import Lease, Leases, alone, held
from tests.waiting import wait_until

UNITS = ["0000", "0001", "0002"]
FOLDER = "leases/crop/made"
# Longer than any test takes: no lease is renewed or taken over but where a test says so.
LONG_S = 3600.0


class Clock:
    """A clock that stands until it is told."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@contextmanager
def run_of(lake: Lake, units: list[str] = UNITS, good_for_s: float = LONG_S, **options) -> Iterator[Leases]:
    with Leases(lake, "crop", "made", units, good_for_s=good_for_s, look_every_s=0.01, **options) as leases:
        yield leases


def leave(lake: Lake, unit: str, *, generation: int = 1, process: str = "another machine", count: int = 0) -> str:
    """A lease as a run on another machine leaves it; a higher count is a renewal."""
    path = f"{FOLDER}/{unit}.{generation}.json"
    lake.write_json(path, {"holder": "other", "count": count, "good_for_s": 60.0, "process": process})
    return path


def take_now(leases: Leases) -> Lease | None:
    """What a run can take at this moment, without waiting."""
    return leases._take(list(leases._left))


def test_a_run_alone_gets_every_unit_once_in_order_and_leaves_nothing_behind(lake):
    with run_of(lake) as leases:
        taken = []
        for lease in leases:
            with lease:
                assert f"{lease.unit}.1.json" in lake.names(FOLDER)
                taken.append(lease.unit)

    assert taken == UNITS
    assert lake.names(FOLDER) == []


async def test_units_are_waited_for_without_holding_up_the_loop(lake):
    taken = []
    with run_of(lake, at_once=2) as leases:
        async with asyncio.TaskGroup() as group:

            async def work(lease: Lease) -> None:
                with lease:
                    await asyncio.sleep(0.01)
                    taken.append(lease.unit)

            async for lease in leases:
                group.create_task(work(lease))
    assert sorted(taken) == UNITS
    assert lake.names(FOLDER) == []


def test_no_more_are_held_than_are_asked_for_at_once(lake):
    with run_of(lake, at_once=2) as leases:
        first, second = leases.next(), leases.next()
        assert len(lake.names(FOLDER)) == 2
        threading.Timer(0.05, first.end).start()
        third = leases.next()
        assert (first.unit, second.unit, third.unit) == tuple(UNITS)
        second.end()
        third.end()
        assert leases.next() is None


def test_what_one_run_holds_another_passes_over_and_gets_once_it_is_given_back(lake):
    with run_of(lake) as one, run_of(lake) as other:
        first = one.next()
        taken = [other.next()]
        taken[0].end()
        taken.append(other.next())
        taken[1].end()
        threading.Timer(0.05, first.end).start()
        taken.append(other.next())

    assert [lease.unit for lease in taken] == ["0001", "0002", "0000"]


def test_of_many_runs_that_reach_for_one_unit_at_the_same_time_one_has_it_at_a_time(tmp_path):
    inside, most = Counter[str](), Counter[str]()
    lock, start = threading.Lock(), threading.Barrier(6)

    def run(_: int) -> None:
        start.wait()
        with run_of(Lake(tmp_path), UNITS[:2]) as leases:
            for lease in leases:
                with lease:
                    with lock:
                        inside[lease.unit] += 1
                        most[lease.unit] = max(most[lease.unit], inside[lease.unit])
                    time.sleep(0.005)
                    with lock:
                        inside[lease.unit] -= 1

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(run, range(6)))
    assert most == {"0000": 1, "0001": 1}


def test_a_lease_is_dead_when_it_was_seen_unchanged_for_its_own_time_by_the_clock_of_who_looks(lake):
    leave(lake, "0000")
    clock = Clock()
    with run_of(lake, ["0000"], good_for_s=1.0, clock=clock) as leases:
        assert take_now(leases) is None
        clock.now_s = 59.9
        assert take_now(leases) is None
        leave(lake, "0000", count=1)
        clock.now_s = 100.0
        assert take_now(leases) is None
        clock.now_s = 159.9
        assert take_now(leases) is None
        clock.now_s = 160.0
        assert take_now(leases).unit == "0000"
    assert lake.names(FOLDER) == ["0000.2.json"]


def test_a_process_that_has_ended_is_gone_although_its_parent_has_not_asked_how():
    program = "from storage.files.processes import this_process; print(this_process())"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        name = process.stdout.read().strip()
        wait_until("the run is gone", lambda: is_gone(name))


def test_what_ran_on_this_machine_and_is_gone_is_dead_at_once(lake, ended_process):
    gone = ended_process
    machine, number, started = gone.rsplit("/", 2)
    reused = f"{machine}/{os.getpid()}/{started}"

    assert [is_gone(name) for name in (gone, reused)] == [True, True]
    assert [is_gone(name) for name in (this_process(), f"elsewhere/{number}/{started}", "", "x")] == [False] * 4
    leave(lake, "0000", process=gone)
    with run_of(lake, ["0000"]) as leases, leases.next() as lease:
        assert lake.names(FOLDER) == ["0000.2.json"]
        assert [(one.unit, one.is_dead) for one in held(lake)] == [(lease.unit, False)]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"good_for_s": "x"}', b"\xff"])
def test_a_lease_that_cannot_be_read_is_waited_for_like_any_other(lake, content):
    lake.write(f"{FOLDER}/0000.3.json", content)
    lake.write(f"{FOLDER}/notes.txt", b"")
    clock = Clock()
    with run_of(lake, ["0000"], good_for_s=5.0, clock=clock) as leases:
        assert take_now(leases) is None
        clock.now_s = 5.0
        assert take_now(leases).path == f"{FOLDER}/0000.4.json"


def test_who_finds_a_higher_generation_after_taking_one_yields(lake):
    with run_of(lake, ["0000"]) as leases:
        leave(lake, "0000", generation=2)
        assert leases._claim("0000", 1) is None
    assert lake.names(FOLDER) == ["0000.2.json"]


def test_a_lease_is_renewed_while_it_is_held(lake):
    with run_of(lake, ["0000"], good_for_s=0.03) as leases, leases.next() as lease:
        wait_until("three renewals", lambda: lease.count >= 3)
        lease.check()
    assert lake.names(FOLDER) == []


@pytest.mark.parametrize("how", ["a higher generation is there", "it is somebody else's", "it is gone"])
def test_a_run_that_was_overtaken_stops_the_unit_and_gets_it_again_when_the_other_is_done(lake, how):
    with run_of(lake, ["0000"]) as leases:
        with leases.next() as lease:
            if how == "a higher generation is there":
                path = leave(lake, "0000", generation=2, count=7)
            elif how == "it is somebody else's":
                path = leave(lake, "0000", count=7)
            else:
                path = lease.path
                lake.remove(path)
            leases.renew()
            lease.check()
            raise AssertionError("a lost lease passed for held")
        lake.remove(path)
        with leases.next() as again:
            assert again.unit == "0000"
        assert leases.next() is None


def test_a_unit_that_fails_is_given_back_and_its_error_is_not_hidden(lake):
    with run_of(lake) as leases:
        with pytest.raises(ZeroDivisionError), leases.next():
            raise ZeroDivisionError
        with leases.next() as lease:
            assert lease.unit == "0001"
    assert lake.names(FOLDER) == []


def test_a_run_that_is_stopped_gives_back_what_it_holds_and_its_work_stops(lake):
    with pytest.raises(KeyboardInterrupt), run_of(lake, at_once=2) as leases:
        lease, _ = leases.next(), leases.next()
        raise KeyboardInterrupt

    assert lake.names(FOLDER) == []
    with pytest.raises(LeaseLost, match=r"0000\.1\.json"):
        lease.check()
    assert leases.next() is None


def test_a_renewal_in_a_bucket_lists_the_leases_and_writes_its_own(bucket, faults):
    lake = Lake(f"{bucket}/lake")
    with run_of(lake, UNITS[:2], at_once=2) as leases:
        held_here = [leases.next(), leases.next()]
        with faults.asking() as asked:
            leases.renew()
            leases.renew()
        assert [method for method, _ in asked] == ["GET", "PUT", "PUT"] * 2
        assert [lease.count for lease in held_here] == [2, 2]
        for lease in held_here:
            lease.end()


def test_a_unit_in_a_bucket_takes_six_requests(bucket, faults):
    lake = Lake(f"{bucket}/lake")
    lake.begin()
    with faults.asking() as asked, run_of(lake, UNITS[:1]) as leases:
        leases.next().end()
    # Look, take, look again, also for a run that has the lake to itself; see that it is still ours, and give it back.
    assert [method for method, _ in asked] == ["GET", "PUT", "GET", "GET", "GET", "DELETE"]


def test_a_lease_that_is_watched_in_a_bucket_is_read_when_it_changes(bucket, faults):
    lake = Lake(f"{bucket}/lake")
    leave(lake, "0000")
    clock = Clock()
    with run_of(lake, ["0000"], clock=clock) as leases:
        with faults.asking() as asked:
            assert [take_now(leases) for _ in range(4)] == [None] * 4
        assert len(asked) == 5
        leave(lake, "0000", count=1)
        clock.now_s = 60.0
        with faults.asking() as asked:
            assert [take_now(leases) for _ in range(4)] == [None] * 4
        assert len(asked) == 5
        clock.now_s = 120.0
        lease = take_now(leases)
        assert lease is not None and lease.path.endswith("0000.2.json")


def test_what_ends_while_the_lake_is_slow_to_give_back_another_is_given_back_too(lake, monkeypatch):
    remove = lake.remove_file

    def slowly(path: str) -> None:
        time.sleep(0.05)
        remove(path)

    monkeypatch.setattr(lake, "remove_file", slowly)
    with run_of(lake) as leases:
        for lease in leases:
            lease.end()
    assert lake.names(FOLDER) == []


def test_a_lake_that_cannot_be_written_for_a_while_loses_no_lease(tmp_path, monkeypatch):
    lake, refused = Lake(tmp_path), []

    def refuse(path: str, data: bytes) -> None:
        refused.append(path)
        raise LakeError("full")

    with run_of(lake, ["0000"], good_for_s=0.03) as leases, leases.next() as lease:
        with monkeypatch.context() as patch:
            patch.setattr(lake, "write", refuse)
            wait_until("three refusals", lambda: len(refused) > 2)
        before = lease.count
        wait_until("a renewal", lambda: lease.count > before)
        lease.check()


def test_what_one_run_does_alone_the_next_waits_for(lake):
    order = []

    def second() -> None:
        with alone(lake, "publish", "made", "all", good_for_s=LONG_S, look_every_s=0.01):
            order.append("second")

    with alone(lake, "publish", "made", "all", good_for_s=LONG_S, look_every_s=0.01):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.05)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_run_that_writes_its_next_generation_while_leases_are_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, real = Lake(tmp_path / "lake"), Lake.read
    for name in ("a.1", "b.7"):
        lake.write_json(f"leases/hosts/all/{name}.json", {"host": "here"})
    # Listed and never there: nothing is waited for.
    (Path(lake.root) / "leases/hosts/all/c.1.json").symlink_to("nothing")

    def then_renewed(lake: Lake, path: str) -> bytes:
        if path.endswith("/b.7.json"):
            lake.write_json("leases/hosts/all/b.8.json", {"host": "here"})
            lake.remove_file(path)
        return real(lake, path)

    monkeypatch.setattr(Lake, "read", then_renewed)
    assert [one.path for one in held(lake)] == ["leases/hosts/all/a.1.json", "leases/hosts/all/b.8.json"]
