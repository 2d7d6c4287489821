"""CPU time of runs that `facemill serve` starts and that have nothing to do.

    python -m bench.deployed
    python -m bench.deployed --lake LAKE --rounds 5 --json

The lake is one of the synthetic source, fetched and cropped; without --lake one is made first. The service is started
with a database of its own, and its schedules are paused. Then runs of its deployments `crop` and `retry` take turns, as
a pipeline asks for them on other machines. `run` is the process of the run, from its start to its end; `worker` and
`server` are what those two used meanwhile, less what they use at rest. Medians. The bar: 4 CPU-s for a run.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from bench.usage import process_tree

_FACEMILL = (sys.executable, "-m", "facemill")
_DEPLOYMENTS = ("crop/crop", "retry/retry")
_ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
# Questions cost the server 5 CPU-ms each.
_LOOK_EVERY_S, _REST_S = 1.0, 20.0
# The server writes its last records of a run after its end.
_AFTER_S = 2.0
_START_S = 180.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Used:
    """CPU seconds so far: of the processes of runs that have ended, of the worker, and of the server."""

    run: float
    worker: float
    server: float

    def since(self, before: Used) -> Used:
        """What was used after another reading."""
        return Used(self.run - before.run, self.worker - before.worker, self.server - before.server)


@dataclass(frozen=True, slots=True)
class Service:
    """`facemill serve`, and what its processes have used."""

    client: httpx.Client
    server: int
    worker: int

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Ask the API until it answers."""
        until = time.monotonic() + _START_S
        while True:
            try:
                answer = self.client.request(method, path, json=body)
                answer.raise_for_status()
                return answer.json() if answer.content else None
            except httpx.HTTPError:
                if time.monotonic() > until:
                    raise
                time.sleep(1)

    def used(self) -> Used:
        """What the processes have used so far."""
        worker, server = _cpu_s(self.worker), _cpu_s(self.server)
        return Used(run=worker[1], worker=worker[0], server=sum(server))

    def run(self, deployment: str) -> Used:
        """Start a run and wait for its end; what it took, and what worker and server used until then."""
        found = self.ask("GET", f"/deployments/name/{deployment}")["id"]
        before = self.used()
        body = {"state": {"type": "SCHEDULED"}}
        run = self.ask("POST", f"/deployments/{found}/create_flow_run", body)["id"]
        while (state := self.ask("GET", f"/flow_runs/{run}")["state_type"]) not in _ENDED:
            time.sleep(_LOOK_EVERY_S)
        if state != "COMPLETED":
            raise SystemExit(f"a run of {deployment} is {state}")
        time.sleep(_AFTER_S)
        while len(process_tree(self.worker)) > 1:
            time.sleep(_LOOK_EVERY_S)
        return self.used().since(before)


def _cpu_s(pid: int) -> tuple[float, float]:
    """CPU seconds of a process, and of its children that have ended (man 5 proc, fields 14 to 17 of stat)."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    user, system, of_children, system_of_children = (int(word) / _TICKS for word in words[11:15])
    return user + system, of_children + system_of_children


@contextmanager
def serving(folder: Path, lake: str) -> Iterator[Service]:
    """Start the service, with paused schedules, and stop it at the end."""
    port, log = _free_port(), folder / "serve.log"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment = kept | {"PREFECT_HOME": str(folder / "prefect"), "PREFECT_WORKER_QUERY_SECONDS": "2"}
    command = [*_FACEMILL, "serve", "--lake", lake, "--source", "synthetic", "--port", str(port)]
    with log.open("w") as out:
        process = subprocess.Popen(
            [*command, "--metrics-port", str(_free_port())], env=environment, stdout=out, stderr=out
        )
    try:
        until = time.monotonic() + _START_S
        while not any(line.startswith("runs") for line in log.read_text().splitlines()):
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"the service did not start:\n{log.read_text()}")
            time.sleep(0.5)
        name, _, secret = (folder / "prefect" / "facemill-password").read_text().strip().partition(":")
        with httpx.Client(base_url=f"http://127.0.0.1:{port}/api", auth=(name, secret), timeout=30) as client:
            server, worker = (_with_words(process.pid, words) for words in ("prefect_server\0start", "--pool\0cpu"))
            service = Service(client, server, worker)
            for one in service.ask("POST", "/deployments/filter", {}):
                service.ask("PATCH", f"/deployments/{one['id']}", {"paused": True})
            yield service
    finally:
        process.terminate()
        process.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _with_words(service: int, words: str) -> int:
    """The process of a service with these words in its command line."""
    for pid in process_tree(service):
        with suppress(OSError):
            if words in Path(f"/proc/{pid}/cmdline").read_text():
                return pid
    raise SystemExit(f"the service has no process with {words!r}")


def measured(service: Service, rounds: int) -> dict[str, dict[str, float]]:
    """By deployment, the medians of what a run takes."""
    for deployment in _DEPLOYMENTS:
        service.run(deployment)  # the first run of a worker and of a server imports what later ones have
    before, started = service.used(), time.monotonic()
    time.sleep(_REST_S)
    rest, rest_s = service.used().since(before), time.monotonic() - started
    taken: dict[str, list[dict[str, float]]] = {deployment: [] for deployment in _DEPLOYMENTS}
    for _ in range(rounds):
        for deployment in _DEPLOYMENTS:
            started = time.monotonic()
            used = service.run(deployment)
            share = (time.monotonic() - started) / rest_s
            worker, server = used.worker - rest.worker * share, used.server - rest.server * share
            taken[deployment].append({"run": used.run, "worker": worker, "server": server})
    return {
        deployment: {name: statistics.median(one[name] for one in runs) for name in runs[0]}
        for deployment, runs in taken.items()
    }


def make_lake(folder: Path) -> str:
    """A small finished lake of the synthetic source."""
    lake = str(folder / "lake")
    of_lake = ("--lake", lake, "--source", "synthetic")
    people = ("--identities", "8", "--per-identity", "12")
    for command in (("ingest", *of_lake, *people), ("crop", *of_lake)):
        subprocess.run([*_FACEMILL, *command], check=True, stdout=sys.stderr)
    return lake


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lake", help="a fetched and cropped lake of the synthetic source")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="facemill-bench-")))
        service = stack.enter_context(serving(folder, options.lake or make_lake(folder)))
        found = measured(service, options.rounds)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for deployment, used in found.items():
        figures = "  ".join(f"{name} {cpu_s:5.2f}" for name, cpu_s in used.items())
        print(f"{deployment:12} {figures}  together {sum(used.values()):5.2f} CPU-s")


if __name__ == "__main__":
    main()
