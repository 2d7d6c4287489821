"""What the service tells of a lake's disk, its backlog and its runs."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from flows.doctor.service_facts import Deployed, Run, ServiceFound
from flows.service.metrics_endpoint import shown_metrics
from flows.service.service_watch import BACKLOG_GROWS, ServiceWatch, links_due, watching
from flows.service.trends import HOUR_S, Thresholds
from storage.files.lake import Lake
from tests.waiting import GUARD_S, wait_until

MADE, GOOD, BAD = (datetime(2026, 11, day, tzinfo=UTC) for day in (1, 20, 21))
FOUND = ServiceFound(
    "http://127.0.0.1:4200/api",
    is_named=True,
    is_healthy=True,
    deployed={
        "pipeline": Deployed(
            "pipeline",
            made=MADE,
            is_scheduled=True,
            last=Run(BAD, "Failed"),
            last_good=Run(GOOD, "Completed"),
        ),
        "check": Deployed("check", made=MADE, is_scheduled=True),
        "train": None,
    },
)


class Service:
    """A watch whose server, events and clock are in hand."""

    def __init__(self, lake: Lake) -> None:
        self.found, self.now_s = FOUND, 0.0
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.watch = ServiceWatch(
            lake,
            Thresholds(backlog=100),
            ask=lambda: self.found,
            emit=lambda event, payload: self.events.append((event, payload)),
            clock=lambda: self.now_s,
        )

    def samples(self) -> dict[str, float]:
        """The metrics by name and the value of their label."""
        return {
            " ".join([sample.name, *sample.labels.values()]): sample.value
            for metric in self.watch.collect()
            for sample in metric.samples
        }


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    yield Service(Lake(tmp_path / "lake"))


def test_the_disk_is_told_before_the_first_look_and_without_a_lake(service: Service) -> None:
    found = service.samples()
    assert set(found) == {"facemill_disk_free_bytes", "facemill_disk_bytes"}
    assert 0 < found["facemill_disk_free_bytes"] <= found["facemill_disk_bytes"]


def test_a_lake_in_a_bucket_has_no_disk() -> None:
    assert Service(Lake("memory://lake")).samples() == {}


def test_the_newest_good_run_of_each_schedule_is_told_also_while_the_server_restarts(service: Service) -> None:
    service.watch.look(None)
    found = service.samples()
    assert found["facemill_server_up"] == 1
    assert found["facemill_last_good_run_timestamp_seconds pipeline"] == GOOD.timestamp()
    assert found["facemill_last_good_run_timestamp_seconds check"] == MADE.timestamp()
    assert found["facemill_last_run_failed pipeline"] == 1
    assert "facemill_last_run_failed check" not in found
    service.found = replace(FOUND, is_healthy=False, deployed={}, error="refused")
    service.watch.look(None)
    assert service.samples().keys() == found.keys()
    assert service.samples()["facemill_server_up"] == 0


def test_a_backlog_that_grows_is_told_once_a_day(service: Service) -> None:
    for due in (0, 50, 150, 250):
        service.watch.look(due)
        service.now_s += HOUR_S
    lake = {"lake": service.watch._lake.url}
    assert service.events == [(BACKLOG_GROWS, lake | {"grown": 150, "limit": 100, "due": 150, "hours": 2})]
    service.now_s += 24 * HOUR_S
    for due in (300, 900):
        service.watch.look(due)
        service.now_s += HOUR_S
    assert [payload["grown"] for _, payload in service.events] == [150, 600]


def test_the_backlog_is_what_the_newest_run_of_each_source_has_counted(tmp_path: Path, service: Service) -> None:
    counts = tmp_path / "counts"
    counts.mkdir()
    assert links_due(counts) is None
    for source, due in (("a", 500), ("b", 7), ("a", 40)):
        told = f"from flows.telemetry.counters import DUE; DUE.labels({source!r}).set({due})"
        environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(counts)}
        subprocess.run([sys.executable, "-c", told], env=environment, check=True)
    assert links_due(counts) == 47
    with (
        shown_metrics(counts, 0, report=lambda line: None, more=[service.watch]) as port,
        watching(service.watch, counts, every_s=0.05),
    ):
        wait_until("it has looked", lambda: "facemill_server_up" in service.samples())
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=GUARD_S) as answer:
            lines = answer.read().decode().splitlines()
    assert {'facemill_links_due{source="a"} 40.0', "facemill_server_up 1.0"} <= set(lines)
