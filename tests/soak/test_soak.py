"""A service through two made weeks. The web changes, parts are killed, a policy prunes; what must not grow is measured.

The clock of all its processes is set to the times of its schedules, as in `tests/chaos/test_clock.py`, and the runs of
these times are started one by one: left to the schedules, a clock that is set a day ahead starts a day's runs all at
once, in an order that no real day has. Of the 24 retries of a day two are run, since each takes the start of a process.

`make soak` takes 14 days; SOAK_DAYS=3 is the short form. SOAK_JSON names a file for the figures.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from storage.files.lake import Lake
from tests.chaos.calm import findings_of
from tests.chaos.service import ENDED, Service, free_port, serving
from tests.chaos.wrong_clock import COMPILER, WrongClock
from tests.flows.grading import accepted_urls
from tests.soak import measures
from tests.soak.changing_world import ChangingWorld

pytestmark = [pytest.mark.soak, pytest.mark.skipif(COMPILER is None, reason="there is no C compiler, cc")]

DAYS = int(os.environ.get("SOAK_DAYS", "14"))
# What ended before so many days goes. Of three days the last must remove the first.
KEEP_DAYS = 3 if DAYS > 6 else 1
# At the beginning of the pipeline of these days, a part is killed.
_KILLS = {2: "run", 5: "worker", 8: "server", 11: "run", 13: "worker"}
_PIPELINE, _PRUNE, _CHECK, _RETRIES = (2, 17), (4, 47), (5, 41), ((12, 23), (18, 23))
_WITHIN_S = 1200.0
_STEPS = 20


@dataclass
class Soak:
    """A service, its clock, and what was measured of it, by day."""

    service: Service
    clock: WrongClock
    lake: Lake
    database: Path
    first: datetime
    figures: list[dict[str, Any]] = field(default_factory=list)
    _killed: bool = False

    def set_clock(self, day: int, hour: int, minute: int) -> None:
        """Set the clock of the service to a time of a day."""
        self.clock.set(int((self.time_of(day, hour, minute) - datetime.now(UTC)).total_seconds()))

    def time_of(self, day: int, hour: int, minute: int) -> datetime:
        """A time of a day, from 1 on."""
        return self.first + timedelta(days=day - 1, hours=hour, minutes=minute)

    def run(self, deployment: str, kill: str | None = None, **parameters: Any) -> None:
        """Run a deployment to its good end, again after a kill, with all runs that it asks for."""
        until = time.monotonic() + _WITHIN_S
        run = self.service.start_run(deployment, **parameters)
        while time.monotonic() < until:
            state = self.service.wait_for(run, lambda state: state == "RUNNING" or state in ENDED, _WITHIN_S)
            if state == "COMPLETED":
                return self._wait_for_all(until)
            if state in ENDED:
                assert kill is None and self._killed, f"{deployment} is {state}: {self.log()}"
                run = self.service.start_run(deployment, **parameters)
            elif kill:
                time.sleep(3)
                self._killed = self.service.kill(kill, "cpu")
                kill = None
            time.sleep(0.5)
        raise AssertionError(f"{deployment} is {state} after {_WITHIN_S:.0f} s: {self.log()}")

    def log(self) -> str:
        """The end of what the service says."""
        return (self.service.folder / "serve.log").read_text()[-6000:]

    def _wait_for_all(self, until: float) -> None:
        under_way = {"state": {"type": {"any_": ["SCHEDULED", "PENDING", "RUNNING"]}}}
        while self.service.insist("/flow_runs/filter", {"flow_runs": under_way}):
            assert time.monotonic() < until, f"runs go on: {self.log()}"
            time.sleep(1)

    def stop_schedules(self) -> None:
        """No run but those of this test."""
        for one in self.service.insist("/deployments/filter", {}):
            for schedule in one["schedules"]:
                path = f"/deployments/{one['id']}/schedules/{schedule['id']}"
                self.service.ask(path, {"active": False}, "PATCH")
            self.service.withdraw(f"{one['name']}/{one['name']}")

    def day(self, number: int, changes: str) -> None:
        """The runs of a day in the order of their schedules."""
        began, before = time.monotonic(), measures.versions(self.lake)
        had = accepted_urls(self.lake) if self.lake.names("images") else set()
        self._killed = False
        self.set_clock(number, *_PIPELINE)
        self.run("pipeline/pipeline", _KILLS.get(number))
        after = measures.versions(self.lake)
        self.set_clock(number, *_PRUNE)
        self.run("prune/prune")
        left, limit = measures.leases(self.lake), self.time_of(number, *_PRUNE) - timedelta(days=KEEP_DAYS)
        if number % 7 == 0:
            self.set_clock(number, *_CHECK)
            self.run("check/check")
        for at in _RETRIES:
            self.set_clock(number, *at)
            self.run("retry/retry")
        time.sleep(10)  # the server writes what it was told of the last run
        self.figures.append(
            {
                "day": number,
                "changes": changes,
                "killed": _KILLS.get(number, "") if self._killed else "",
                "new_pictures": len(accepted_urls(self.lake) - had),
                "made": {kind: sorted(set(after[kind]) - set(before[kind])) for kind in after},
                "versions": {kind: len(some) for kind, some in measures.versions(self.lake).items()},
                "bytes": measures.disk(self.lake),
                "processes": measures.processes(self.service),
                "leases": left,
                "rows": measures.rows(self.database),
                "old_runs": measures.ended_before(self.database, limit),
                "took_s": round(time.monotonic() - began),
            }
        )


@pytest.fixture
def soak(tmp_path: Path) -> Iterator[tuple[Soak, ChangingWorld, int]]:
    world, clock, port = ChangingWorld(tmp_path / "world"), WrongClock(tmp_path / "clock"), free_port()
    first = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    policy = {"FACEMILL_KEEP_LAST": "3", "FACEMILL_KEEP_WITHIN": f"{KEEP_DAYS}d"}
    limits = {"FACEMILL_SILENCE_S": "4", "FACEMILL_TOTAL_S": "15", "FACEMILL_WORKERS": "1"}
    options = ["--links", str(world.shown / "links"), "--connect-to", f"127.0.0.1:{port}"]
    variables = clock.environment | policy | limits
    clock.set(int((first + timedelta(hours=2) - datetime.now(UTC)).total_seconds()))
    with serving(tmp_path, *options, "--set", f"train.steps={_STEPS}", variables=variables) as service:
        made = Soak(service, clock, Lake(tmp_path / "lake"), tmp_path / "prefect" / "prefect.db", first)
        made.stop_schedules()
        yield made, world, port


def test_two_weeks(soak: tuple[Soak, ChangingWorld, int], capsys: pytest.CaptureFixture[str]) -> None:
    service, world, port = soak
    for day in range(1, DAYS + 1):
        with world.serving(day, port):
            service.day(day, world.what_changes(day))
        with capsys.disabled():
            sys.stdout.write(f"\n{json.dumps(service.figures[-1])}")
            sys.stdout.flush()
    if file := os.environ.get("SOAK_JSON"):
        Path(file).write_text(json.dumps(service.figures, indent=1))
    with capsys.disabled():
        sys.stdout.write(f"\n{table(service.figures)}\n")
    assert world.must_have() - accepted_urls(service.lake) == set()
    assert findings_of(service.lake.url) == []
    assert_made_on_days_of_change(service.figures)
    assert_nothing_stays(service.figures)
    if DAYS > 2 * KEEP_DAYS + 1:
        assert_nothing_grows(service.figures)


def assert_made_on_days_of_change(figures: list[dict[str, Any]]) -> None:
    """Without new pictures since the day before, no version: what a retry fetched is published the next day."""
    late = 0
    for one in figures:
        if not one["new_pictures"] + late:
            assert one["made"] == {"datasets": [], "models": []}, f"day {one['day']}"
        if "listed" in one["changes"] or one["day"] == 1:
            assert one["made"]["datasets"] and one["made"]["models"], f"day {one['day']}"
        late = one["new_pictures"]


def assert_nothing_stays(figures: list[dict[str, Any]]) -> None:
    """No lease of an ended run after a prune, no run that is old but the newest good one of each deployment."""
    for one in figures:
        assert one["leases"]["gone"] == 0, f"day {one['day']}"
        # pipeline, refine, prune, check and retry
        assert one["old_runs"] <= 5, f"day {one['day']}"
        parts = {part: found["processes"] for part, found in one["processes"].items()}
        assert parts == {"serve": 1, "server": 1, "worker cpu": 1, "worker gpu": 1}, f"day {one['day']}"


def assert_nothing_grows(figures: list[dict[str, Any]]) -> None:
    """The handles and rows of the last days are those of earlier ones.

    A leak of a handle a day would make the fewest of the last third more than the most of the second; in thirds of
    one or two days a connection that happens to be open does so too. Rows may be those of KEEP_DAYS days, of
    the one that goes on, and of the newest good run of each deployment, at most a day's: each at most as many as any
    day brought, the first all that it has, the others what they added at least.
    """
    third = len(figures) // 3
    for part in figures[0]["processes"] if third > 2 else ():
        handles = [one["processes"][part]["handles"] for one in figures]
        assert min(handles[-third:]) <= max(handles[third : 2 * third]), f"handles of {part}: {handles}"
    for name in figures[-1]["rows"]:
        counts = [one["rows"].get(name, 0) for one in figures]
        most = max(after - before for before, after in pairwise(counts))
        assert counts[-1] <= (KEEP_DAYS + 2) * max(counts[0], most), f"rows of {name}: {counts}"


def table(figures: list[dict[str, Any]]) -> str:
    """The figures of each day in a line, then the rows of each table of the database."""
    lines = [
        "day  killed  new  made d/m  kept d/m  MB lake  MB server  MB workers  handles  leases  flow runs  rows    s  "
        "what changes"
    ]
    for one in figures:
        of = one["processes"]
        made, kept = [f"{len(one['made'][kind])}" for kind in ("datasets", "models")], one["versions"]
        lines.append(
            f"{one['day']:>3}  {one['killed'] or '-':<6}  {one['new_pictures']:>3}  {'/'.join(made):>8}  "
            f"{kept['datasets']}/{kept['models']:<6}  {one['bytes']['all'] / 1e6:>7.1f}  "
            f"{of['server']['bytes'] / 1e6:>9.0f}  "
            f"{(of['worker cpu']['bytes'] + of['worker gpu']['bytes']) / 1e6:>10.0f}  "
            f"{sum(part['handles'] for part in of.values()):>7}  {sum(one['leases'].values()):>6}  "
            f"{one['rows'].get('flow_run', 0):>9}  {sum(one['rows'].values()):>5}  {one['took_s']:>3}  {one['changes']}"
        )
    names = sorted({name for one in figures for name in one["rows"]})
    lines += ["", "rows by table, day by day"]
    lines += [f"{name:<34}{' '.join(str(one['rows'].get(name, 0)) for one in figures)}" for name in names]
    kinds = sorted({kind for one in figures for kind in one["bytes"]})
    lines += ["", "KB by kind, day by day"]
    lines += [f"{kind:<34}{' '.join(str(one['bytes'].get(kind, 0) // 1000) for one in figures)}" for kind in kinds]
    return "\n".join(lines)
