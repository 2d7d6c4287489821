"""`facemill serve`: from nothing to a server with workers that run what is scheduled, until it is told to stop."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from flows.service.backing_services import Engines
from flows.service.password import OF_SERVER
from flows.service.run_processes import SERVICE, end_runs_of
from flows.service.supervisor import Process, look_after, stop_all, stopping
from flows.service.work import POOLS, check_free, counted, is_healthy, python_module, runs_environment, worker
from storage.errors import ServiceError

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
}
_START_S = 180.0
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
        check_free(self.host, self.port)
        check_free("127.0.0.1", self.metrics_port)


def serve(
    address: Address,
    parameters: Mapping[str, Any],
    *,
    password: str,
    engines: Engines = Engines(),
    tell: Callable[[str], None],
    log: Callable[[str], None],
    up: Callable[[list[str]], None],
) -> None:
    """Run the service until SIGINT or SIGTERM.

    Args:
        parameters: of the deployments, by name: lake, source, links, ...
        password: of the API, `name:password`.
        engines: the database and the broker of the server.
        tell: told in a line what is going on.
        log: told once an hour what was done, in a line of JSON.
        up: told the deployments once everything runs.

    Raises:
        UsageError: the address cannot be had.
        ServiceError: the server does not start, or a part of the service ends time after time.
    """
    address.check_free()
    environment = server_environment(address, password)
    # The words of the command tell the server from other processes; the password is in its environment.
    command = ["flows.service.prefect_server", "start", "--host", address.host, "--port", str(address.port)]
    server = Process("server", python_module(*command), environment | engines.variables())
    workers: list[Process] = []
    with (
        counted(address.metrics_port, log) as counts,
        # The server last: what ends tells it so.
        stopping(partial(stop_all, workers), partial(end_runs_of, environment[SERVICE]), partial(stop_all, [server])),
    ):
        with engines.starting_alone():
            tell("starting Prefect's server")
            server.start()
            _wait_until_healthy(address.api, server)
            os.environ.update(environment)
            from flows.service.setup import set_up_server  # noqa: PLC0415 - reads PREFECT_API_URL when imported

            tell("applying the deployments")
            deployments = set_up_server(parameters, environment)
        for pool in POOLS:
            workers.append(worker(pool, {**environment, **counts}))
            workers[-1].start()
        up(deployments)
        # Being told to stop is how a service ends.
        with suppress(KeyboardInterrupt):
            look_after([server, *workers], tell=tell)


def server_environment(address: Address, password: str) -> dict[str, str]:
    """What Prefect's server sees beside its engines; its workers see it too."""
    return {
        **runs_environment(address.api, password),
        **_SERVER,
        OF_SERVER: password,
        # The pages ask the server they came from, whatever its name and port look like from outside; no others may.
        "PREFECT_SERVER_UI_API_URL": "/api",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": address.pages,
        "PREFECT_SERVER_API_HOST": address.host,
        "PREFECT_SERVER_API_PORT": str(address.port),
    }


def _wait_until_healthy(api: str, server: Process) -> None:
    until = time.monotonic() + _START_S
    while not is_healthy(api):
        if server.exit_code is not None:
            raise ServiceError(f"Prefect's server ended with exit code {server.exit_code} while starting; see above")
        if time.monotonic() > until:
            raise ServiceError(
                f"Prefect's server does not answer {api}/health after {_START_S:.0f} s; see its messages above"
            )
        time.sleep(0.3)
