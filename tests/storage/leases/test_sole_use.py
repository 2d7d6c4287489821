"""A run that has the lake to itself, beside runs that go on, have ended, or start meanwhile."""

from __future__ import annotations

import logging

import pytest

from storage.errors import LakeInUse
from storage.leases.leases import Leases, alone, held
from storage.leases.sole_use import sole_use

LONG_S = 3600.0


def test_it_is_refused_beside_a_run_by_name_and_leaves_nothing_behind(lake):
    with alone(lake, "crop", "made", "0001", good_for_s=LONG_S):
        with (
            pytest.raises(LakeInUse, match=r"no purge of .*1 leases.*crop made 0001 on \S+ since \S+\)"),
            sole_use(lake, "purge", good_for_s=LONG_S),
        ):
            pytest.fail("it began")
        assert [one.stage for one in held(lake)] == ["crop"]
    with sole_use(lake, "purge", good_for_s=LONG_S):
        assert [one.unit for one in held(lake)] == ["purge"]


def test_the_lease_of_an_ended_process_does_not_count(lake, ended_process):
    lake.write_json("leases/crop/made/0001.1.json", {"holder": "x", "process": ended_process})
    with sole_use(lake, "repair", good_for_s=LONG_S):
        pass


def test_a_run_that_starts_meanwhile_waits_says_so_once_and_goes_on_afterwards(lake, monkeypatch):
    said = list[str]()
    log = logging.getLogger("facemill.leases")

    def note(record: logging.LogRecord) -> bool:
        said.append(record.getMessage())
        return True

    monkeypatch.setattr(log, "filters", [note])
    with Leases(lake, "crop", "made", ["0001"], good_for_s=LONG_S) as leases:
        with sole_use(lake, "purge", good_for_s=LONG_S):
            assert [leases._take(["0001"]) for _ in range(2)] == [None, None]
            assert [one.stage for one in held(lake)] == ["sole"]
        assert leases._take(["0001"]) is not None
    assert [words.startswith("crop of made waits") for words in said] == [True]


def test_a_killed_purge_holds_up_no_run(lake, ended_process):
    lake.write_json("leases/sole/lake/purge.1.json", {"holder": "x", "process": ended_process})
    with Leases(lake, "crop", "made", ["0001"], good_for_s=LONG_S) as leases:
        assert leases._take(["0001"]) is not None


def test_of_a_purge_and_a_repair_the_second_is_refused(lake):
    with (
        sole_use(lake, "purge", good_for_s=LONG_S),
        pytest.raises(LakeInUse, match="sole lake purge"),
        sole_use(lake, "repair", good_for_s=LONG_S),
    ):
        pytest.fail("it began")
