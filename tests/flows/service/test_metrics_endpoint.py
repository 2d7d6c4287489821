"""Counts of several processes, read as Prometheus reads them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

from flows.service.metrics_endpoint import shown_metrics, summary
from tests.waiting import GUARD_S, wait_until

RUN = """
from storage.records import Attempt, Outcome, Reason
from datetime import UTC, datetime
from flows.telemetry.counters import DONE, count_attempt
for reason in (None, None, Reason.TIMEOUT):
    outcome = Outcome.REJECTED if reason else Outcome.ACCEPTED
    count_attempt(Attempt(b"k" * 16, "", outcome, reason, "", 200, 1, 1, None, "", datetime.now(UTC), 0.1,
                          first_byte_s=0.3, received_bytes=1000))
DONE.labels("fetch").inc(3)
"""


def run(folder: Path) -> None:
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    subprocess.run([sys.executable, "-c", RUN], env=environment, check=True)


def test_the_counts_of_runs_that_have_ended_are_summed(tmp_path: Path) -> None:
    with shown_metrics(tmp_path, 0, report=lambda line: None) as port:
        run(tmp_path)
        run(tmp_path)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=GUARD_S) as answer:
            lines = answer.read().decode().splitlines()
    assert 'facemill_attempts_total{outcome="accepted"} 4.0' in lines
    assert 'facemill_attempts_total{outcome="timeout"} 2.0' in lines
    assert "facemill_received_bytes_total 6000.0" in lines
    assert 'facemill_first_byte_seconds_bucket{le="0.5"} 6.0' in lines
    assert 'facemill_first_byte_seconds_bucket{le="0.2"} 0.0' in lines


def test_what_was_done_is_told_regularly_in_a_line(tmp_path: Path) -> None:
    told: list[str] = []
    run(tmp_path)
    with shown_metrics(tmp_path, 0, report=told.append, every_s=0.2):
        run(tmp_path)
        wait_until("the counts are told", lambda: any("attempts_accepted" in line for line in told))
    facts = [json.loads(line) for line in told]
    assert sum(one.get("attempts_accepted", 0) for one in facts) == 2
    assert sum(one.get("done_fetch", 0) for one in facts) == 3


def test_a_summary_leaves_out_what_did_not_change() -> None:
    line = json.loads(summary({"done fetch": 5.0, "done crop": 2.0}, {"done fetch": 5.0, "done crop": 9.0}, 3600))
    assert {"event": "summary", "seconds": 3600, "done_crop": 7}.items() <= line.items()
    assert "done_fetch" not in line
