"""`facemill serve`: from nothing to a server with workers that run what is scheduled, until it is told to stop."""

from __future__ import annotations

import errno
import os
import socket
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import URLError

from flows.service.metrics import shown_metrics
from flows.service.processes import Process, look_after, stopping
from storage.errors import ServiceError, UsageError

# With these the server handles its records in batches. One by one it falls behind at 6000 task runs in a burst, and
# drops what its queue of 10,000 no longer holds.
_SERVER = {
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TRIGGERS_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "DO_NOT_TRACK": "1",
}
_START_S = 180.0
# Prefect takes no shorter interval.
HEARTBEAT_S = 30
_ALL_ADDRESSES = ("0.0.0.0", "::")


@dataclass(frozen=True, slots=True)
class Address:
    """Where the service listens: the pages and the API on `port` of `host`, the metrics on a port of loopback."""

    host: str = "127.0.0.1"
    port: int = 4200
    metrics_port: int = 4201

    @property
    def pages(self) -> str:
        """The URL of the pages from this machine: what listens on all addresses is reached by loopback."""
        return f"http://{'127.0.0.1' if self.host in _ALL_ADDRESSES else self.host}:{self.port}"

    @property
    def api(self) -> str:
        """The URL of the API from this machine."""
        return f"{self.pages}/api"

    def check_free(self) -> None:
        """See that the ports can be had.

        Raises:
            UsageError: one cannot.
        """
        _check_free(self.host, self.port)
        _check_free("127.0.0.1", self.metrics_port)


def serve(
    address: Address,
    parameters: Mapping[str, Any],
    *,
    tell: Callable[[str], None],
    log: Callable[[str], None],
    up: Callable[[list[str]], None],
) -> None:
    """Run the service until SIGINT or SIGTERM.

    Args:
        parameters: of the deployments, by name: lake, source, links, ...
        tell: told in a line what is going on.
        log: told once an hour what was done, in a line of JSON.
        up: told the deployments once everything runs.

    Raises:
        UsageError: the address cannot be had.
        ServiceError: the server does not start, or a part of the service ends time after time.
    """
    address.check_free()
    environment = _environment(address)
    start_server = _prefect("server", "start", "--host", address.host, "--port", str(address.port))
    processes = [Process("server", start_server, environment)]
    with (
        tempfile.TemporaryDirectory(prefix="facemill-metrics-") as counts,
        shown_metrics(Path(counts), address.metrics_port, tell=log),
        stopping(processes),
    ):
        tell("starting Prefect's server")
        processes[0].start()
        _wait_until_healthy(address.api, processes[0])
        os.environ.update(environment)
        from flows.service.setup import POOLS, set_up_server  # noqa: PLC0415 - reads PREFECT_API_URL when imported

        tell("applying the deployments")
        deployments = set_up_server(parameters, environment)
        for pool in POOLS:
            processes.append(_worker(pool, {**environment, "PROMETHEUS_MULTIPROC_DIR": counts}))
            processes[-1].start()
        up(deployments)
        # Being told to stop is how a service ends.
        with suppress(KeyboardInterrupt):
            look_after(processes, tell=tell)


def _worker(pool: str, environment: Mapping[str, str]) -> Process:
    """The worker of a pool; runs that were lost with the one before it are told to the server first."""
    from flows.service.lost_runs import crash_lost_runs  # noqa: PLC0415 - reads PREFECT_API_URL when imported

    name = f"facemill {pool} on {socket.gethostname()}"
    recover = partial(crash_lost_runs, pool, name)
    recover()
    return Process(f"worker {pool}", _prefect("worker", "start", "--pool", pool, "--name", name), environment, recover)


def _environment(address: Address) -> dict[str, str]:
    return {
        **os.environ,
        **_SERVER,
        "PREFECT_API_URL": address.api,
        # The pages ask the server they came from, whatever its name and port look like from outside.
        "PREFECT_SERVER_UI_API_URL": "/api",
        "PREFECT_SERVER_API_HOST": address.host,
        "PREFECT_SERVER_API_PORT": str(address.port),
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S),
    }


def _prefect(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "prefect", *arguments]


def _check_free(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as error:
            cause = "something listens there already" if error.errno == errno.EADDRINUSE else error.strerror
            raise UsageError(
                f"{host}:{port} cannot be served on: {cause}; choose another --host, --port or --metrics-port"
            ) from error


def _wait_until_healthy(api: str, server: Process) -> None:
    until = time.monotonic() + _START_S
    while time.monotonic() < until:
        if server.exit_code is not None:
            raise ServiceError(f"Prefect's server ended with exit code {server.exit_code} while starting; see above")
        try:
            with urllib.request.urlopen(f"{api}/health", timeout=5):  # noqa: S310 - our own server's address
                return
        except (URLError, OSError):
            time.sleep(0.3)
    raise ServiceError(f"Prefect's server does not answer {api}/health after {_START_S:.0f} s; see its messages above")
