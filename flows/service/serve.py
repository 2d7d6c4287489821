"""`facemill serve`: from nothing to a server with workers that run what is scheduled, until it is told to stop."""

from __future__ import annotations

import errno
import os
import socket
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.error import URLError

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
_ALL_ADDRESSES = ("0.0.0.0", "::")


def serve(
    host: str,
    port: int,
    parameters: Mapping[str, Any],
    *,
    tell: Callable[[str], None],
    up: Callable[[str, list[str]], None],
) -> None:
    """Run the service until SIGINT or SIGTERM.

    Args:
        parameters: of the deployments, by name: lake, source, links, ...
        tell: told in a line what is going on.
        up: told the pages' address and the deployments once everything runs.

    Raises:
        UsageError: the address cannot be had.
        ServiceError: the server does not start, or ends by itself.
    """
    _check_free(host, port)
    # What listens on all addresses is reached by loopback from here.
    pages = f"http://{'127.0.0.1' if host in _ALL_ADDRESSES else host}:{port}"
    api = f"{pages}/api"
    environment = {
        **os.environ,
        **_SERVER,
        "PREFECT_API_URL": api,
        # The pages ask the server they came from, whatever its name and port look like from outside.
        "PREFECT_SERVER_UI_API_URL": "/api",
        "PREFECT_SERVER_API_HOST": host,
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
    }
    server = Process(
        "server", _prefect("server", "start", "--host", host, "--port", str(port)), environment, vital=True
    )
    processes = [server]
    with stopping(processes):
        tell("starting Prefect's server")
        server.start()
        _wait_until_healthy(api, server)
        os.environ.update(environment)
        from flows.service.setup import POOLS, set_up_server  # noqa: PLC0415 - reads PREFECT_API_URL when imported

        tell("applying the deployments")
        deployments = set_up_server(parameters, environment)
        for pool in POOLS:
            worker = Process(f"worker {pool}", _prefect("worker", "start", "--pool", pool), environment)
            processes.append(worker)
            worker.start()
        up(pages, deployments)
        # Being told to stop is how a service ends.
        with suppress(KeyboardInterrupt):
            look_after(processes, tell=tell)


def _prefect(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "prefect", *arguments]


def _check_free(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as error:
            cause = "something listens there already" if error.errno == errno.EADDRINUSE else error.strerror
            raise UsageError(f"{host}:{port} cannot be served on: {cause}; choose another --host or --port") from error


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
