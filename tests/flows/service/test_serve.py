"""The whole service, from the command to a run that a worker has finished, and to its end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.cli import app
from storage.datasets import all_versions
from storage.lake import Lake


def ask(url: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_an_address_that_is_taken_is_told_in_one_line(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        result = CliRunner().invoke(app, ["serve", "--lake", str(tmp_path / "lake"), "--port", str(port)])
    assert result.exit_code == 2
    assert f"127.0.0.1:{port} cannot be served on: something listens there already" in result.stderr


@contextmanager
def serving(lake: Path, home: Path, port: int, metrics_port: int) -> Iterator[subprocess.Popen[str]]:
    selection = ["--source", "synthetic", "--identities", "6", "--per-identity", "6"]
    command = [sys.executable, "-c", "from flows.cli import main; main()", "serve", "--lake", str(lake), *selection]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    service = subprocess.Popen(
        [*command, "--port", str(port), "--metrics-port", str(metrics_port)],
        env={**environment, "PREFECT_HOME": str(home), "PREFECT_WORKER_QUERY_SECONDS": "2"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield service
    finally:
        service.kill()
        service.communicate()


@pytest.mark.slow
def test_the_service_comes_up_runs_a_deployment_and_ends_with_nothing_left_behind(tmp_path: Path) -> None:
    port, metrics_port = free_port(), free_port()
    api = f"http://127.0.0.1:{port}/api"
    with serving(tmp_path / "lake", tmp_path / "prefect", port, metrics_port) as service:
        assert service.stderr is not None
        told = next(line for line in service.stderr if line.startswith("runs"))
        assert "pipeline/pipeline" in told
        deployment = ask(f"{api}/deployments/name/publish/publish")["id"]
        run = ask(f"{api}/deployments/name/ingest/ingest")["id"]
        states = {name: _finished(api, one) for name, one in (("ingest", run), ("publish", deployment))}
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics_port}/metrics", timeout=30) as answer:
            metrics = answer.read().decode()
        service.send_signal(signal.SIGINT)
        assert service.wait(60) == 0
    # Nothing was cropped, so nothing can be published: a run that fails says so on the server.
    assert states == {"ingest": "COMPLETED", "publish": "FAILED"}
    assert 'facemill_work_done_total{work="fetch"} ' in metrics
    assert 'facemill_attempts_total{outcome="accepted"} ' in metrics
    assert all_versions(Lake(tmp_path / "lake")) == []
    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", port)) != 0


def _finished(api: str, deployment: str) -> str:
    """How a run of a deployment, started now, ends."""
    run = ask(f"{api}/deployments/{deployment}/create_flow_run", {"state": {"type": "SCHEDULED"}})["id"]
    for _ in range(240):
        state: str = ask(f"{api}/flow_runs/{run}")["state_type"]
        if state in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}:
            return state
        time.sleep(0.5)
    raise AssertionError("the run did not end within 120 s")
