"""Which leases belong to runs that go on; time passes only as the tests say."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.files.lake import Lake
from storage.files.processes import is_running, this_process
from storage.leases.lease_holders import holders
from storage.leases.leases import Held, alone, held


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def leave(lake: Lake, unit: str, *, process: str = "another machine", count: int = 0, good_for_s: float = 60) -> str:
    path = f"leases/crop/made/{unit}.1.json"
    facts = {"holder": "x", "count": count, "good_for_s": good_for_s, "process": process}
    lake.write_json(path, facts)
    return path


def never(seconds: float) -> None:
    raise AssertionError(f"it waited for {seconds} s")


def test_a_process_of_this_machine_is_known_at_once(lake, ended_process):
    running = [is_running(one) for one in (this_process(), ended_process, "another machine")]
    assert running == [True, False, False]
    dead = leave(lake, "dead", process=ended_process)
    with alone(lake, "crop", "made", "0001", good_for_s=3600):
        found = holders(lake, sleep=never)
    assert [one.unit for one in found.running] == ["0001"]
    assert [one.path for one in found.gone] == [dead]


def test_a_lease_of_another_machine_that_is_renewed_runs_and_one_that_is_not_is_gone(lake):
    silent, busy = leave(lake, "silent"), leave(lake, "busy")
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if sum(waited) == 20:
            leave(lake, "busy", count=1)

    found = holders(lake, sleep=sleep)
    assert ([one.path for one in found.running], [one.path for one in found.gone]) == ([busy], [silent])
    assert sum(waited) == 60


def test_watching_ends_as_soon_as_all_are_seen_to_run(lake):
    leave(lake, "busy")
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        leave(lake, "busy", count=len(waited))

    assert len(holders(lake, sleep=sleep).running) == 1
    assert len(waited) == 1


def test_without_watching_what_is_unknown_runs(lake):
    path = leave(lake, "silent")
    assert [one.path for one in holders(lake, watches=False, sleep=never).running] == [path]


def test_a_lease_that_claims_to_be_good_for_ever_is_watched_for_ten_minutes_and_runs(lake):
    leave(lake, "boasting", good_for_s=1e9)
    waited: list[float] = []
    assert [one.unit for one in holders(lake, sleep=waited.append).running] == ["boasting"]
    assert sum(waited) == 600


def test_a_lake_without_leases_needs_no_look(lake):
    found = holders(lake, sleep=never)
    assert (found.running, found.gone) == ((), ())


def test_a_lease_that_is_given_back_while_leases_are_read_is_not_waited_for(lake, monkeypatch):
    path, real = leave(lake, "ended"), held

    def then_given_back(lake: Lake) -> list[Held]:
        found = real(lake)
        lake.remove_file(path)
        return found

    monkeypatch.setattr("storage.leases.lease_holders.held", then_given_back)
    found = holders(lake, sleep=never)
    assert ([one.path for one in found.running], found.gone) == ([path], ())
