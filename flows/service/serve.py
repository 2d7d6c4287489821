"""`facemill serve`: start a server and workers that run the scheduled flows, until stopped."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from flows.configuration.settings import load_settings
from flows.doctor.service_facts import look_at_service
from flows.service.backing_services import BackingServices
from flows.service.password import OF_CLIENTS, OF_SERVER
from flows.service.retention import retention
from flows.service.run_processes import SERVICE, end_runs_of
from flows.service.service_watch import ServiceWatch, emit_to_server, watching
from flows.service.supervisor import Process, stop_all, stopping, supervise
from flows.service.trends import Thresholds
from flows.service.work import COUNTS, POOLS, check_free, counted, is_healthy, python_module, runs_environment, worker
from storage.errors import ServiceError
from storage.files.lake import Lake

# These make the server write its records in batches. Writing one by one, it falls behind at a burst of 6000 task runs,
# and drops records once its queue of 10,000 is full.
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
    """Addresses of the service: web UI and API on `host` and `port`, metrics on a loopback port."""

    host: str = "127.0.0.1"
    port: int = 4200
    metrics_port: int = 4201

    @property
    def pages(self) -> str:
        """URL of the web UI from this machine; loopback if the server listens on all addresses."""
        return f"http://{'127.0.0.1' if self.host in _ALL_ADDRESSES else self.host}:{self.port}"

    @property
    def api(self) -> str:
        """URL of the API from this machine."""
        return f"{self.pages}/api"

    def check_free(self) -> None:
        """Check that the ports are free.

        Raises:
            UsageError: a port cannot be bound.
        """
        check_free(self.host, self.port)
        check_free("127.0.0.1", self.metrics_port)


def serve(
    address: Address,
    parameters: Mapping[str, Any],
    *,
    password: str,
    backing: BackingServices = BackingServices(),
    notify: str = "",
    thresholds: Thresholds = Thresholds(),
    report: Callable[[str], None],
    log: Callable[[str], None],
    up: Callable[[list[str]], None],
) -> None:
    """Run the service until SIGINT or SIGTERM.

    Args:
        parameters: parameters of the deployments by name: lake, source, links, ...
        password: password of the API, `name:password`.
        backing: database and message broker of the server.
        notify: notification block by which people are told of what goes wrong; empty for none.
        thresholds: when they are told of the disk and the backlog.
        report: called with a line of text on each event.
        log: called once an hour with a line of JSON on the work done.
        up: called with the deployments once everything runs.

    Raises:
        UsageError: the address cannot be bound, or the notification block cannot be used.
        ServiceError: the server does not start, or a process of the service fails repeatedly.
    """
    address.check_free()
    environment = server_environment(address, password)
    # The arguments identify the server in a list of processes; the password is passed in the environment.
    command = ["flows.service.prefect_server", "start", "--host", address.host, "--port", str(address.port)]
    lake = Lake(parameters["lake"])
    command += ["--reports", str(lake.reports_folder)]
    server = Process("server", python_module(*command), environment | backing.variables())
    workers: list[Process] = []
    ask = partial(look_at_service, {"PREFECT_API_URL": address.api, OF_CLIENTS: password}, address.port, "")
    watch = ServiceWatch(lake, thresholds, ask=ask, emit=emit_to_server)
    with (
        counted(address.metrics_port, log, [watch]) as counts,
        # The server is stopped last: other processes report their end to it.
        stopping(partial(stop_all, workers), partial(end_runs_of, environment[SERVICE]), partial(stop_all, [server])),
    ):
        with backing.starting_alone():
            report("starting Prefect's server")
            server.start()
            _wait_until_healthy(address.api, server)
            os.environ.update(environment)
            from flows.service.setup import set_up_server  # noqa: PLC0415 - reads PREFECT_API_URL when imported
            from flows.service.waiting_runs import named_runs  # noqa: PLC0415

            report("applying the deployments")
            deployments = set_up_server(parameters, environment, notify)
        for pool in POOLS:
            workers.append(worker(pool, {**environment, **counts}))
            workers[-1].start()
        up(deployments)
        # A stop signal is the normal end of a service.
        with named_runs(), watching(watch, Path(counts[COUNTS])), suppress(KeyboardInterrupt):
            supervise([server, *workers], report=report)


def server_environment(address: Address, password: str) -> dict[str, str]:
    """Environment of Prefect's server and its workers, without the backing services."""
    return {
        **runs_environment(address.api, password),
        **_SERVER,
        **retention(os.environ, load_settings().policy().age),
        OF_SERVER: password,
        # The web UI sends its requests to its own origin, whatever the server's public name and port; others may not.
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
                f"Prefect's server does not respond on {api}/health after {_START_S:.0f} s; see its messages above"
            )
        time.sleep(0.3)
