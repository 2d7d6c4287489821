"""No two runs hold one slice of the hosts, and those of a run that has ended go to others."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from storage.errors import LakeError, LakeInUse
from storage.files.lake import Lake
from storage.leases.host_slices import HostSlices, parse_claim
from storage.leases.leases import held
from storage.leases.slice_rules import ALL, NUM_SLICES
from storage.leases.sole_use import sole_use
from tests.waiting import wait_until

FOLDER = "leases/hosts/all"
GOOD_FOR_S = 60.0


class Clock:
    """A clock that stands until it is told."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def run_of(lake: Lake, clock: Clock, name: str = "list", **options) -> HostSlices:
    """A run without its thread: it looks when the test says so."""
    slices = HostSlices(lake, name, good_for_s=GOOD_FOR_S, clock=clock, worth=1, **options)
    slices.report(ALL, 0)
    return slices


def end(slices: HostSlices) -> None:
    slices._keeper.start()
    slices.__exit__()


def test_a_run_alone_holds_all_hosts_and_leaves_nothing_behind(lake):
    with HostSlices(lake, "list", good_for_s=GOOD_FOR_S) as slices:
        wait_until("all slices are held", lambda: slices.held == ALL)
        (lease,) = held(lake)
        assert (lease.stage, lease.of, lease.unit.split("-")[0], lease.is_dead) == ("hosts", "all", "list", False)
    assert slices.held == 0
    assert lake.names(FOLDER) == []


def test_no_host_is_taken_while_a_purge_has_the_lake_to_itself(lake, clock):
    one = run_of(lake, clock)
    with sole_use(lake, "purge", good_for_s=GOOD_FOR_S):
        for _ in range(2):
            one.look()
            assert one.held == 0
    one.look()
    assert one.held == ALL

    with pytest.raises(LakeInUse, match="hosts all"), sole_use(lake, "purge", good_for_s=GOOD_FOR_S):
        pytest.fail("it began")


def test_a_second_run_gets_its_share_once_the_first_has_given_it_up(lake, clock):
    one, other = run_of(lake, clock), run_of(lake, clock)
    one.look()
    one.report(ALL, 1000)
    other.look()
    assert (one.held, other.held) == (ALL, 0)
    one.look()
    other.look()
    assert other.held == 0
    one.give_up(one.decision.surplus)
    assert one.held.bit_count() == NUM_SLICES // 2
    other.look()
    assert (one.held ^ other.held, one.held & other.held) == (ALL, 0)


def test_what_a_run_leaves_at_its_end_another_takes(lake, clock):
    one, other = run_of(lake, clock), run_of(lake, clock)
    one.look()
    end(one)
    other.look()
    assert (one.held, other.held) == (0, ALL)


def test_a_host_rests_before_the_first_request_of_the_next_run(lake, clock):
    slices = run_of(lake, clock, rest_s=0.5)
    slices.look()
    assert slices.held == 0
    clock.now_s = 0.5
    assert slices.held == ALL


def test_a_run_that_cannot_renew_stops_before_another_takes_its_slices(lake, clock):
    one, other = run_of(lake, clock), run_of(lake, clock)
    one.look()
    for now_s in (0.0, 0.3, 0.6, 0.9):
        clock.now_s = now_s * GOOD_FOR_S
        other.look()
    assert (one.held, one.is_lost, other.held) == (0, True, 0)
    clock.now_s = GOOD_FOR_S
    other.look()
    assert (one.held, other.held) == (0, ALL)
    one.look()
    one.give_up(ALL)
    assert (one.held, other.held) == (0, ALL)
    assert len(lake.names(FOLDER)) == 1


def test_a_renewal_that_ends_too_late_gives_nothing_back(tmp_path, clock):
    class Slow(Lake):
        """A store in which a write takes as long as the lease."""

        def write(self, path: str, data: bytes) -> None:
            clock.now_s += late_s
            super().write(path, data)

    late_s = 0.0
    slices = run_of(Slow(tmp_path / "lake"), clock)
    slices.look()
    assert slices.held == ALL
    clock.now_s, late_s = 0.5 * GOOD_FOR_S, 0.5 * GOOD_FOR_S
    slices.look()
    assert slices.is_lost
    assert slices.held == 0


@pytest.mark.parametrize("lake_anywhere", ["memory"], indirect=True)
def test_a_renewed_run_keeps_its_slices_for_hours(lake, clock):
    one, other = run_of(lake, clock), run_of(lake, clock)
    one.look()
    for minute in range(0, 180, 20):
        clock.now_s = minute
        one.look()
        other.look()
        assert one.held == ALL


@pytest.mark.parametrize("lake_anywhere", ["memory"], indirect=True)
def test_no_run_is_waited_for_longer_than_it_may_hold_without_renewal(lake, clock):
    one, other = HostSlices(lake, "list", good_for_s=7200.0, clock=clock), run_of(lake, clock)
    one.look()
    for now_s in range(0, 601, 20):
        assert one.held & other.held == 0
        clock.now_s = float(now_s)
        other.look()
    assert (one.held, other.held) == (0, ALL)


def test_a_run_whose_file_was_removed_is_lost(lake, clock):
    slices = run_of(lake, clock)
    slices.look()
    lake.remove(f"{FOLDER}/{lake.names(FOLDER)[0]}")
    slices.look()
    assert (slices.held, slices.is_lost) == (0, True)


@pytest.mark.parametrize("lake_anywhere", ["local"], indirect=True)
def test_the_slices_of_a_process_that_has_ended_are_taken_at_once(lake, clock):
    code = (
        "import sys; from storage.files.lake import Lake; from storage.leases.host_slices import HostSlices as Slices\n"
        "slices = Slices(Lake(sys.argv[1]), 'list', good_for_s=3600.0); slices.look(); print(slices.held.bit_count())"
    )
    done = subprocess.run([sys.executable, "-c", code, lake.url], env=os.environ, capture_output=True, check=True)
    assert done.stdout == b"256\n"
    assert len(lake.names(FOLDER)) == 1
    slices = run_of(lake, clock)
    slices.look()
    assert slices.held == ALL
    assert len(lake.names(FOLDER)) == 1


class Interrupted(Lake):
    """A lake at which something else happens before the n-th request."""

    left = 0

    def between(self, number: int, happens: Callable[[], None]) -> None:
        self.left, self.happens = number, happens

    def _count(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.happens()

    def states(self, folder: str) -> dict[str, str]:
        self._count()
        return super().states(folder)

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        self._count()
        return super().read(path, offset, length)

    def write(self, path: str, data: bytes) -> None:
        self._count()
        super().write(path, data)

    def remove_file(self, path: str) -> None:
        self._count()
        super().remove_file(path)


@pytest.mark.parametrize("number", range(1, 10))
@pytest.mark.parametrize("holds_half", [False, True])
def test_at_whatever_moment_another_run_looks_no_slice_is_held_by_two(clock, number, holds_half):
    name = uuid.uuid4().hex
    lake = Interrupted(f"memory://{name}")
    one, other = run_of(lake, clock), run_of(Lake(f"memory://{name}"), clock)
    if holds_half:
        one.look()
        one.report(ALL, 1000)
        other.look()
        one.look()
        one.give_up(one.decision.surplus)
    lake.between(number, other.look)
    one.look()
    assert one.held & other.held == 0
    for _ in range(2):
        one.look()
        other.look()
        assert one.held & other.held == 0
    assert one.held | other.held == ALL


def test_of_many_runs_at_the_same_time_no_two_hold_a_slice(tmp_path, monkeypatch):
    monkeypatch.setattr("storage.leases.host_slices._LOOK_EVERY_S", 0.001)
    lake, lock = Lake(tmp_path / "lake"), threading.Lock()
    holders, found = dict.fromkeys(range(6), 0), list[int]()

    def work(number: int) -> None:
        with HostSlices(lake, "list", good_for_s=GOOD_FOR_S, worth=1) as slices:
            for _ in range(60):
                slices.report(ALL, 1)
                slices.look()
                with lock:
                    holders[number] = slices.held
                    found.extend(one for other, one in holders.items() if other != number and one & slices.held)
                gives = slices.decision.surplus | slices.decision.spare
                with lock:
                    holders[number] &= ~gives
                slices.give_up(gives)
            with lock:
                holders[number] = 0

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert found == []


def test_a_lake_that_cannot_be_written_is_an_error(tmp_path):
    class Full(Lake):
        def write(self, path: str, data: bytes) -> None:
            raise LakeError("the disk is full")

    changed = threading.Event()
    with HostSlices(Full(tmp_path / "lake"), "list", good_for_s=GOOD_FOR_S, on_change=changed.set) as slices:
        changed.wait()
        with pytest.raises(LakeError, match="the disk is full"):
            slices.check()
        assert slices.held == 0


def test_a_run_alone_makes_five_requests_to_begin_and_three_to_renew(tmp_path, clock):
    lake = Interrupted(tmp_path / "lake")
    before = lake.left
    slices = run_of(lake, clock)
    slices.look()
    slices.report(ALL, 1000)
    slices.look()
    assert before - lake.left == 5
    for now_s in (10.0, 20.0):
        clock.now_s = now_s
        slices.look()
    assert before - lake.left == 8


def test_the_file_of_another_run_in_a_bucket_is_read_when_it_has_changed_and_before_slices_are_taken(
    bucket, faults, clock
):
    one, other = run_of(Lake(f"{bucket}/lake"), clock), run_of(Lake(f"{bucket}/lake"), clock)
    one.look()
    other.look()
    with faults.asking() as asked:
        other.look()
    assert [method for method, _ in asked] == ["GET"]
    one.report(ALL, 1000)
    one.look()
    with faults.asking() as asked:
        other.look()
    assert [method for method, _ in asked] == ["GET", "GET"]
    one.give_up(1)
    with faults.asking() as asked:
        other.look()
    read = [path for method, path in asked if method == "GET" and "list-type" not in path]
    assert (len(read), other.held) == (2, 1)


def test_a_file_that_cannot_be_parsed_claims_everything():
    assert parse_claim("a", {}).holds == ALL
    assert parse_claim("a", {"holds": "no number", "left": "many"}) == ("a", ALL, 0, 0)
    assert parse_claim("a", {"holds": "3", "wants": "-1", "left": 4}) == ("a", 3, ALL, 4)


def test_a_write_that_fails_is_made_up_for(tmp_path, clock):
    class Failing(Lake):
        """A store that carries out a write, and tells that it did not."""

        fails = False

        def write(self, path: str, data: bytes) -> None:
            super().write(path, data)
            if self.fails:
                raise LakeError("no answer")

    lake = Failing(tmp_path / "lake")
    one, other = run_of(lake, clock), run_of(Lake(tmp_path / "lake"), clock)
    one.look()
    one.report(ALL, 1000)
    other.look()
    one.look()
    lake.fails = True
    with pytest.raises(LakeError, match="no answer"):
        one.give_up(one.decision.surplus)
    other.look()
    assert one.held & other.held == 0
    lake.fails = False
    one.look()
    assert (one.is_lost, one.held & other.held, len(lake.names(FOLDER))) == (False, 0, 2)
