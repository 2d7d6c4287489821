"""What `facemill serve` looks at every few minutes, for its metrics and for the events that people are told of.

A scrape of the metrics reads the free room of the disk, and else what the last look found: the newest good run of each
deployment, by the server. The backlog is counted by the runs of `retry` (`flows.telemetry.counters`).
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from flows.doctor.service_facts import Deployed, ServiceFound
from flows.service.trends import DAY_S, Sample, Thresholds, backlog_trend, disk_trend, within_window
from storage.files.free_room import FreeRoom, free_room
from storage.files.lake import Lake

DISK_LOW, BACKLOG_GROWS = "lake.disk-low", "lake.backlog-grows"
_LOOK_EVERY_S = 300.0
_DUE = "facemill_links_due"
Emit = Callable[[str, dict[str, Any]], None]


class ServiceWatch(Collector):
    """Looks at a lake's disk, its backlog and the runs of a service.

    Args:
        lake: whose disk is looked at; of a lake in a bucket there is none.
        thresholds: when events are emitted.
        ask: asks the server for its state.
        emit: emits an event about the lake with a payload.
        clock: seconds on a clock that only goes forward.
    """

    def __init__(
        self,
        lake: Lake,
        thresholds: Thresholds,
        *,
        ask: Callable[[], ServiceFound],
        emit: Emit,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lake, self._thresholds = lake, thresholds
        self._ask, self._emit, self._clock = ask, emit, clock
        self._samples: list[Sample] = []
        self._told_s: dict[str, float] = {}
        self._deployed: Mapping[str, Deployed | None] = {}
        self._is_up: bool | None = None

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The current values for Prometheus."""
        yield from self._of_disk()
        if self._is_up is not None:
            yield GaugeMetricFamily(
                "facemill_server_up", "Whether Prefect's server answered the last look", self._is_up
            )
        good = GaugeMetricFamily(
            "facemill_last_good_run_timestamp_seconds",
            "End of the newest good run of a scheduled deployment, or when it was first deployed",
            labels=["deployment"],
        )
        failed = GaugeMetricFamily(
            "facemill_last_run_failed",
            "Whether the newest run of a deployment failed or crashed",
            labels=["deployment"],
        )
        for name, one in self._deployed.items():
            if one is not None and one.is_scheduled:
                at = one.last_good.at if one.last_good else one.made
                good.add_metric([name], at.timestamp())
            if one is not None and one.last is not None:
                failed.add_metric([name], one.last != one.last_good)
        yield from (family for family in (good, failed) if family.samples)

    def look(self, due: int | None) -> None:
        """Look once, and emit the events that are due, each at most once a day.

        Args:
            due: links that are due for retry; None if no run has counted them.
        """
        found = self._ask()
        self._is_up = found.is_healthy and not found.error
        # What a server that is being restarted does not tell is as it was.
        self._deployed = found.deployed or self._deployed
        free = _room(self._lake)
        self._samples = within_window([*self._samples, Sample(self._clock(), free.free_bytes if free else None, due)])
        disk, backlog = disk_trend(self._samples), backlog_trend(self._samples)
        if disk and disk.days < self._thresholds.disk_days:
            days = {"days": round(disk.days, 1), "limit_days": self._thresholds.disk_days}
            self._tell(DISK_LOW, {**days, "free_bytes": disk.free_bytes, "hours": round(disk.hours)})
        if backlog and backlog.grown >= self._thresholds.backlog:
            grown = {"grown": backlog.grown, "limit": self._thresholds.backlog}
            self._tell(BACKLOG_GROWS, {**grown, "due": backlog.due, "hours": round(backlog.hours)})

    def _tell(self, event: str, payload: dict[str, Any]) -> None:
        now_s = self._clock()
        if now_s - self._told_s.get(event, -DAY_S) >= DAY_S:
            self._told_s[event] = now_s
            self._emit(event, {"lake": self._lake.url, **payload})

    def _of_disk(self) -> Iterator[GaugeMetricFamily]:
        if room := _room(self._lake):
            yield GaugeMetricFamily("facemill_disk_free_bytes", "Free bytes of the disk of the lake", room.free_bytes)
            yield GaugeMetricFamily("facemill_disk_bytes", "Size of the disk of the lake", room.size_bytes)


@contextmanager
def watching(watch: ServiceWatch, counts: Path, every_s: float = _LOOK_EVERY_S) -> Iterator[None]:
    """Look at once and then regularly while the block runs.

    Args:
        counts: the folder of the runs' counters.
    """
    stop = threading.Event()

    def look() -> None:
        watch.look(links_due(counts))
        while not stop.wait(every_s):
            watch.look(links_due(counts))

    context = contextvars.copy_context()
    watcher = threading.Thread(target=context.run, args=(look,), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        # A look is bounded in time, and the process ends without waiting for it.
        stop.set()


def links_due(counts: Path) -> int | None:
    """The links of all sources that are due, by the newest runs of `retry`; None if there was none."""
    registry = CollectorRegistry()
    try:
        MultiProcessCollector(registry, str(counts))  # type: ignore[no-untyped-call]
    except ValueError:  # the folder is gone: the service ends
        return None
    found = [sample.value for metric in registry.collect() for sample in metric.samples if sample.name == _DUE]
    return round(sum(found)) if found else None


def emit_to_server(event: str, payload: dict[str, Any]) -> None:
    """Emit an event about a lake to the server of PREFECT_API_URL."""
    from flows.runs.engine import emit  # noqa: PLC0415 - reads PREFECT_API_URL when imported

    emit(event, {"prefect.resource.id": "facemill.lake", "prefect.resource.name": payload["lake"]}, payload)


def _room(lake: Lake) -> FreeRoom | None:
    """The room of the disk of a local lake, or of what is there of its path."""
    return free_room(Path(lake.root)) if lake.is_local else None
