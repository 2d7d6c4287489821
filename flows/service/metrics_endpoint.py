"""Metrics of all runs: a Prometheus endpoint on a loopback port, and an hourly log line."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from flows.service.gpu import GpuUse

_HOUR_S = 3600.0
Counts = Mapping[str, float]


@contextmanager
def shown_metrics(
    folder: Path,
    port: int,
    *,
    report: Callable[[str], None],
    every_s: float = _HOUR_S,
    more: Sequence[Collector] = (),
) -> Iterator[int]:
    """Serve the metrics kept in the empty `folder` on http://127.0.0.1:`port`/metrics; yields the port (0: any free).

    Args:
        report: called every `every_s` seconds with one line on the work done since the last call.
        more: further metrics, collected at each scrape.
    """
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(folder))  # type: ignore[no-untyped-call]
    for one in (GpuUse(), *more):
        registry.register(one)
    server, thread = start_http_server(port, addr="127.0.0.1", registry=registry)
    stop = threading.Event()
    reporter = threading.Thread(target=_report_regularly, args=(registry, report, every_s, stop), daemon=True)
    reporter.start()
    try:
        yield server.server_port
    finally:
        stop.set()
        server.shutdown()
        thread.join()
        reporter.join()


def read_counts(registry: CollectorRegistry) -> dict[str, float]:
    """The counters: attempts by outcome as `attempts accepted`, work as `done publish`, bytes as `received bytes`."""
    found: dict[str, float] = {}
    for metric in registry.collect():
        for sample in metric.samples:
            match sample.name:
                case "facemill_attempts_total":
                    found[f"attempts {sample.labels['outcome']}"] = sample.value
                case "facemill_work_done_total":
                    found[f"done {sample.labels['work']}"] = sample.value
                case "facemill_received_bytes_total":
                    found["received bytes"] = sample.value
    return found


def summary(before: Counts, now: Counts, seconds: float) -> str:
    """The increase of each count between two readings, as one line of JSON; unchanged counts are left out."""
    grown = {name: value - before.get(name, 0.0) for name, value in sorted(now.items())}
    facts = {name.replace(" ", "_"): int(value) for name, value in grown.items() if value > 0}
    time = datetime.now(UTC).isoformat(timespec="seconds")
    return json.dumps({"time": time, "event": "summary", "seconds": round(seconds), **facts})


def _report_regularly(
    registry: CollectorRegistry, report: Callable[[str], None], every_s: float, stop: threading.Event
) -> None:
    before = read_counts(registry)
    while not stop.wait(every_s):
        now = read_counts(registry)
        report(summary(before, now, every_s))
        before = now
