"""What the checks of a service decide."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flows.doctor.service_checks import check_port, check_service
from flows.doctor.service_facts import Deployed, Port, Run, ServiceFound
from flows.doctor.verdict import Level, Verdict

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
METRICS = Port(4201, "metrics", is_taken=True, is_ours=True)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
GOOD = Run(NOW - 9 * HOUR, "Completed")
PIPELINE = Deployed(
    "pipeline",
    made=NOW - 9 * DAY,
    is_scheduled=True,
    upcoming=(NOW + 14 * HOUR, NOW + 38 * HOUR),
    last=GOOD,
    last_good=GOOD,
)
SERVICE = ServiceFound(
    "http://127.0.0.1:4200/api",
    is_named=False,
    is_healthy=True,
    login=200,
    has_password=True,
    workers={"cpu": ["one"], "gpu": ["one"]},
    deployed={"pipeline": PIPELINE, "train": Deployed("train", made=NOW)},
)


def verdicts(found: ServiceFound, metrics: Port = METRICS) -> dict[str, Verdict]:
    return {one.check: one for one in check_service(found, metrics, NOW)}


def of_pipeline(**changed: Any) -> dict[str, Verdict]:
    return verdicts(replace(SERVICE, deployed={"pipeline": replace(PIPELINE, **changed)}))


def test_a_service_in_order_has_no_other_verdict_than_ok() -> None:
    found = verdicts(SERVICE)
    assert {one.level for one in found.values()} == {Level.OK}
    assert found["last run pipeline"].text == "good 9.0 h ago (limit: 36.0 h)"
    assert found["schedule pipeline"].text == "next 2026-11-29 02:00 UTC, in 14.0 h"
    assert "train" in found["deployments"].value


def test_no_service_is_in_order_unless_one_is_named() -> None:
    none = ServiceFound(SERVICE.api, is_named=False, error="refused")
    assert [one.level for one in verdicts(none).values()] == [Level.OK]
    assert [one.level for one in verdicts(replace(none, is_named=True)).values()] == [Level.FAIL]


@pytest.mark.parametrize(("login", "has_password"), [(401, True), (401, False), (403, True), (500, True)])
def test_a_login_that_does_not_work_fails_and_tells_what_to_set(login: int, has_password: bool) -> None:
    found = verdicts(replace(SERVICE, login=login, has_password=has_password, workers={}, deployed={}))
    assert found["login"].level is Level.FAIL
    assert "set FACEMILL" in found["login"].advice or "FACEMILL_SERVER_NAMES" in found["login"].advice


def test_a_pool_without_a_live_worker_fails() -> None:
    found = verdicts(replace(SERVICE, workers={"cpu": [], "gpu": None}))
    assert (found["pool cpu"].level, found["pool gpu"].level) == (Level.FAIL, Level.FAIL)
    assert "facemill work --pool cpu" in found["pool cpu"].advice


def test_a_deployment_that_is_missing_fails() -> None:
    found = verdicts(replace(SERVICE, deployed={"pipeline": PIPELINE, "retry": None}))
    assert (found["deployments"].level, found["deployments"].value) == (Level.FAIL, "missing: retry")


def test_a_schedule_that_is_paused_or_makes_no_runs_fails() -> None:
    assert of_pipeline(is_paused=True)["schedule pipeline"].level is Level.FAIL
    assert of_pipeline(upcoming=())["schedule pipeline"].level is Level.FAIL


@pytest.mark.parametrize(
    ("good_ago", "level"), [(35 * HOUR, Level.OK), (37 * HOUR, Level.FAIL)], ids=["as it should", "too old"]
)
def test_a_good_run_may_be_as_old_as_the_schedule_and_half_a_day(good_ago: timedelta, level: Level) -> None:
    good = Run(NOW - good_ago, "Completed")
    assert of_pipeline(last=good, last_good=good)["last run pipeline"].level is level


def test_an_hourly_run_may_wait_for_a_night() -> None:
    good = Run(NOW - 12 * HOUR, "Completed")
    hourly: dict[str, Any] = {"upcoming": (NOW + HOUR, NOW + 2 * HOUR), "last": good, "last_good": good}
    assert of_pipeline(**hourly)["last run pipeline"].level is Level.OK


def test_a_newer_run_that_failed_is_a_warning_with_its_message() -> None:
    found = of_pipeline(last=Run(NOW - HOUR, "Crashed", "no heartbeat for 90 s"))["last run pipeline"]
    assert found.level is Level.WARN
    assert found.value == "good 9.0 h ago; the newest crashed: no heartbeat for 90 s"


def test_a_new_deployment_needs_no_good_run_yet() -> None:
    assert of_pipeline(made=NOW - HOUR, last=None, last_good=None)["last run pipeline"].level is Level.OK
    assert of_pipeline(made=NOW - 3 * DAY, last=None, last_good=None)["last run pipeline"].level is Level.FAIL


def test_runs_that_wait_are_late_after_half_a_day() -> None:
    levels = [verdicts(replace(SERVICE, late=late))["late runs"].level for late in ((), (60.0,), (60.0, 50_000.0))]
    assert levels == [Level.OK, Level.OK, Level.WARN]


def test_a_service_of_this_machine_has_metrics() -> None:
    silent = replace(METRICS, is_ours=False)
    assert verdicts(SERVICE, silent)["metrics"].level is Level.FAIL
    assert "metrics" not in verdicts(replace(SERVICE, is_here=False), silent)


def test_a_server_that_stops_answering_fails_beside_what_it_told() -> None:
    found = check_service(replace(SERVICE, deployed={}, error="/deployments/filter does not answer"), METRICS, NOW)
    assert [(one.check, one.level) for one in found if one.level is Level.FAIL] == [("server", Level.FAIL)]
    assert len(found) == 6


def test_a_port_of_another_program_fails() -> None:
    levels = [check_port(Port(4200, "server", *one)).level for one in ((False, False), (True, True), (True, False))]
    assert levels == [Level.OK, Level.OK, Level.FAIL]
