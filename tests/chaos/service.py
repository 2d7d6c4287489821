"""A whole service in processes of its own, that can be asked, watched and killed piece by piece."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
# What tells a part of the service in its command line.
PARTS = {"server": b"prefect.server", "worker": b"worker\0start", "run": b"prefect.engine"}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass
class Service:
    process: subprocess.Popen[str]
    port: int
    metrics_port: int

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.api}{path}", data, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def insist(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Ask until the server answers, which it may not while it is started again."""
        for _ in range(240):
            try:
                return self.ask(path, body)
            except (URLError, OSError):
                time.sleep(0.5)
        raise AssertionError(f"no answer to {path} within 120 s")

    def start_run(self, deployment: str, **parameters: Any) -> str:
        """Start a run of `flow/deployment`; its id."""
        found = self.insist(f"/deployments/name/{deployment}")["id"]
        body = {"state": {"type": "SCHEDULED"}, "parameters": parameters}
        return str(self.insist(f"/deployments/{found}/create_flow_run", body)["id"])

    def state_of(self, run: str) -> str:
        return str(self.insist(f"/flow_runs/{run}")["state_type"])

    def wait_for(self, run: str, reached: Callable[[str], bool] = ENDED.__contains__, within_s: float = 240) -> str:
        """The state of a run once it is as wanted."""
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            if reached(state := self.state_of(run)):
                return state
            time.sleep(0.5)
        raise AssertionError(f"the run is {state} after {within_s:.0f} s")

    def metrics(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=30) as answer:
            return str(answer.read().decode())

    def kill(self, part: str) -> bool:
        """SIGKILL every process of a part, if there is one; those of runs with their children."""
        pids = [pid for pid in descendants(self.process.pid) if PARTS[part] in command_line(pid)]
        for pid in pids:
            for one in [pid, *(descendants(pid) if part == "run" else [])]:
                try:
                    os.kill(one, signal.SIGKILL)
                except ProcessLookupError:
                    continue
        return bool(pids)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(90)


def descendants(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    children = [int(child) for child in text.split()]
    return [*children, *(one for child in children for one in descendants(child))]


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[Service]:
    """`facemill serve` over the lake `folder`/lake, once it says that all runs."""
    ports = [free_port(), free_port()]
    command = [sys.executable, "-c", "from flows.cli import main; main()", "serve", "--lake", str(folder / "lake")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    # Asked every two seconds, a worker starts a run soon.
    environment |= {"PREFECT_HOME": str(folder / "prefect"), "PREFECT_WORKER_QUERY_SECONDS": "2"}
    log = (folder / "serve.log").open("w+")
    process = subprocess.Popen(
        [*command, *arguments, "--port", str(ports[0]), "--metrics-port", str(ports[1])],
        env=environment,
        stdout=log,
        stderr=log,
        text=True,
    )
    try:
        for _ in range(360):
            if any(line.startswith("runs") for line in (folder / "serve.log").read_text().splitlines()):
                break
            assert process.poll() is None, (folder / "serve.log").read_text()
            time.sleep(0.5)
        yield Service(process, *ports)
    finally:
        process.kill()
        process.wait()
        log.close()
