"""A whole service in processes of its own, that can be asked, watched and killed piece by piece."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

from flows.service.request_guard import login_link

ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
# What tells a part of the service in its command line; of the workers, the one of a pool.
PARTS = {"server": "server\0start", "worker": "worker\0start\0--pool\0{pool}", "run": "flows.service.run_engine"}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass
class Service:
    process: subprocess.Popen[str]
    port: int
    metrics_port: int
    password: str = ""
    folder: Path = Path()

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def login(self) -> str:
        """The link that `facemill serve` shows on a terminal."""
        return login_link(f"http://127.0.0.1:{self.port}", self.password)

    @property
    def headers(self) -> dict[str, str]:
        token = base64.b64encode(self.password.encode()).decode()
        return {"content-type": "application/json", "authorization": f"Basic {token}"}

    def ask(self, path: str, body: dict[str, Any] | None = None, method: str | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.api}{path}", data, self.headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or "null")

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

    def pause(self, pool: str, *, is_paused: bool = True) -> None:
        """Have no worker of a pool start a run, or let them again."""
        self.ask(f"/work_pools/{pool}", {"is_paused": is_paused}, "PATCH")

    def withdraw(self, deployment: str) -> None:
        """Delete the runs of `flow/deployment` that wait to be started."""
        found = self.insist(f"/deployments/name/{deployment}")["id"]
        waiting = {"deployment_id": {"any_": [found]}, "state": {"type": {"any_": ["SCHEDULED"]}}}
        for run in self.insist("/flow_runs/filter", {"flow_runs": waiting}):
            self.ask(f"/flow_runs/{run['id']}", method="DELETE")

    def metrics(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=30) as answer:
            return str(answer.read().decode())

    def kill(self, part: str, pool: str) -> bool:
        """SIGKILL every process of a part, if there is one."""
        words = PARTS[part].format(pool=pool).encode()
        found = [pid for pid in self.processes() if words in in_proc(pid, "cmdline")]
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return bool(found)

    def processes(self) -> list[int]:
        """Those that know this server: itself, the workers, the runs and what these have started."""
        wanted = f"PREFECT_API_URL={self.api}".encode()
        pids = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
        return [pid for pid in pids if wanted in in_proc(pid, "environ").split(b"\0")]

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(90)


def in_proc(pid: int, name: str) -> bytes:
    """What the system tells of a process; nothing once it has ended."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


_PROGRAM = (sys.executable, "-c", "from flows.cli.app import main; main()")


@contextmanager
def serving(
    folder: Path,
    *arguments: str,
    program: Sequence[str] = _PROGRAM,
    cwd: Path | None = None,
    variables: Mapping[str, str] = {},
) -> Iterator[Service]:
    """`facemill serve` over the lake `folder`/lake, with these variables besides, once it says that all runs."""
    ports = free_port(), free_port()
    command = [*program, "serve", "--lake", str(folder / "lake")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    # Asked every two seconds, a worker starts a run soon.
    environment |= {"PREFECT_HOME": str(folder / "prefect"), "PREFECT_WORKER_QUERY_SECONDS": "2", **variables}
    log = (folder / "serve.log").open("w+")
    process = subprocess.Popen(
        [*command, *arguments, "--port", str(ports[0]), "--metrics-port", str(ports[1])],
        env=environment,
        cwd=cwd,
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
        yield Service(process, *ports, (folder / "prefect" / "facemill-password").read_text().strip(), folder)
    finally:
        process.terminate()
        process.wait()
        log.close()
