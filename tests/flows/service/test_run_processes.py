"""Processes that pass for runs, in sessions of their own as a worker starts them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from flows.service import run_processes
from flows.service.run_processes import SERVICE, end_runs_of
from tests.flows.service.test_supervisor import LASTS
from tests.waiting import wait_until

DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"


class Runs:
    """Starts them, and kills what a test leaves."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, service: str, code: str = "") -> subprocess.Popen[bytes]:
        ready = self._folder / uuid4().hex
        whole = f"{code}\nopen({str(ready)!r}, 'w')\n{LASTS}"
        environment = {**os.environ, "PREFECT__FLOW_RUN_ID": str(uuid4()), SERVICE: service}
        run = subprocess.Popen([sys.executable, "-c", whole], env=environment, start_new_session=True)
        self.started.append(run)
        wait_until("the run has begun", ready.exists)
        return run


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    runs = Runs(tmp_path)
    yield runs
    for run in runs.started:
        run.kill()
        run.wait()


def test_the_runs_of_a_service_end_with_it_and_those_of_others_go_on(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_processes, "_GRACE_S", 0.5)
    mine, theirs = uuid4().hex, uuid4().hex
    willing, deaf, others = runs.start(mine), runs.start(mine, DEAF), runs.start(theirs)
    end_runs_of(mine)
    assert (willing.wait(), deaf.wait()) == (-signal.SIGTERM, -signal.SIGKILL)
    assert others.poll() is None
