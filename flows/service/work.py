"""The workers of a machine. `facemill work` starts them for a server on another machine."""

from __future__ import annotations

import base64
import errno
import os
import socket
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from uuid import uuid4

from prometheus_client.registry import Collector

from flows.configuration.setting_files import runs_file
from flows.service.backing_services import without_secrets
from flows.service.metrics_endpoint import shown_metrics
from flows.service.password import HOW_TO_GIVE, OF_CLIENTS
from flows.service.run_processes import SERVICE, end_runs_of
from flows.service.supervisor import Process, stop_all, stopping, supervise
from storage.errors import UsageError
from storage.text.names import visible

# The work pools, and the number of concurrent runs per machine. Cropping uses all cores, training the GPU.
POOLS = {"cpu": 1, "gpu": 1}
# The folder of the runs' counters, as prometheus_client knows it.
COUNTS = "PROMETHEUS_MULTIPROC_DIR"
# The minimum that Prefect accepts.
HEARTBEAT_S = 30
_LOOK_EVERY_S = 1.0
_ANSWER_S = 60.0


def work(
    api: str,
    pools: Sequence[str],
    metrics_port: int,
    *,
    password: str,
    report: Callable[[str], None],
    log: Callable[[str], None],
    up: Callable[[], None],
) -> None:
    """Run a worker for each pool until SIGINT or SIGTERM.

    Args:
        api: URL of the server's API; waits until it responds.
        pools: names in `POOLS`.
        metrics_port: port of the metrics on loopback.
        password: password of the API, `name:password`.
        report: called with a line of text on each event.
        up: called once everything runs.
        log: called once an hour with a line of JSON on the work done.

    Raises:
        UsageError: the port is in use, or the server rejects the password.
        ServiceError: a worker fails repeatedly.
    """
    check_free("127.0.0.1", metrics_port)
    environment = runs_environment(api, password)
    os.environ.update(environment)
    workers: list[Process] = []
    stops = partial(stop_all, workers), partial(end_runs_of, environment[SERVICE])
    # A stop signal is the normal end of a service.
    with counted(metrics_port, log) as counts, stopping(*stops), suppress(KeyboardInterrupt):
        report(f"waiting for {api}")
        while not is_healthy(api):
            time.sleep(_LOOK_EVERY_S)
        check_server(api, password)
        for pool in pools:
            workers.append(worker(pool, {**environment, **counts}))
            workers[-1].start()
        up()
        supervise(workers, report=report)


def worker(pool: str, environment: Mapping[str, str]) -> Process:
    """This machine's worker of a pool. If the previous one was killed, its runs are ended first."""
    from flows.service.lost_runs import crash_lost_runs  # noqa: PLC0415 - reads PREFECT_API_URL when imported

    name = f"facemill {pool} on {socket.gethostname()}"
    recover = partial(crash_lost_runs, pool, name)
    recover()
    start = python_module("prefect", "worker", "start", "--pool", pool, "--name", name, "--limit", str(POOLS[pool]))
    return Process(f"worker {pool}", start, environment, recover)


def runs_environment(api: str, password: str) -> dict[str, str]:
    """Environment of a worker and its runs: the server's URL and password, without its database."""
    return {
        **without_secrets(os.environ),
        **runs_file(),
        "PREFECT_API_URL": api,
        OF_CLIENTS: password,
        SERVICE: uuid4().hex,
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S),
        "DO_NOT_TRACK": "1",
        # The deployments' command of a run is found there, wherever this machine has it.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        # Nothing is imported from the folder of a script or from the working directory.
        "PYTHONSAFEPATH": "1",
    }


@contextmanager
def counted(metrics_port: int, log: Callable[[str], None], more: Sequence[Collector] = ()) -> Iterator[dict[str, str]]:
    """Serve the metrics of all runs, and more, on a port; yields the environment variable that makes a run add."""
    with (
        tempfile.TemporaryDirectory(prefix="facemill-metrics-") as counts,
        shown_metrics(Path(counts), metrics_port, report=log, more=more),
    ):
        yield {COUNTS: counts}


def python_module(*arguments: str) -> list[str]:
    """A command that runs a module with this Python; -P: nothing is imported from the working directory."""
    return [sys.executable, "-P", "-m", *arguments]


def is_healthy(api: str) -> bool:
    """Whether a server responds."""
    try:
        with urllib.request.urlopen(f"{api}/health", timeout=5):  # noqa: S310 - http or https, as checked
            return True
    except (URLError, OSError):
        return False


def check_named_server() -> None:
    """Check the server that records the runs of this process, as `check_server`."""
    if not os.environ.get("PREFECT_API_KEY"):  # Prefect Cloud's, which has other ways
        check_server(os.environ["PREFECT_API_URL"], os.environ.get(OF_CLIENTS, ""))


def check_server(api: str, password: str) -> None:
    """Check that Prefect's API responds and accepts this password; an empty password is not sent.

    Raises:
        UsageError: the server rejects it.
    """
    headers = {"Authorization": f"Basic {base64.b64encode(password.encode()).decode()}"} if password else {}
    try:
        with urllib.request.urlopen(  # noqa: S310
            urllib.request.Request(f"{api}/admin/version", headers=headers),  # noqa: S310
            timeout=_ANSWER_S,
        ):
            return
    except HTTPError as error:
        raise UsageError(f"{visible(api)} {_refusal(error, password)}") from error
    except (OSError, HTTPException, ValueError) as error:
        cause = visible(str(getattr(error, "reason", error)))
        raise UsageError(
            f"no server responds at {visible(api)} ({cause}): start `facemill serve` there, or set PREFECT_API_URL to "
            "a running server; without that variable a command runs without one"
        ) from error


def _refusal(error: HTTPError, password: str) -> str:
    words = f"({error.code} {error.reason})"
    if error.code == HTTPStatus.UNAUTHORIZED and password:
        return (
            f"rejects the password {words}: set {OF_CLIENTS}, or the file that FACEMILL_PASSWORD_FILE names, to the "
            "content of the password file of the machine where `facemill serve` runs"
        )
    if error.code == HTTPStatus.UNAUTHORIZED:
        return f"requires a password {words}: {HOW_TO_GIVE}"
    if error.code == HTTPStatus.FORBIDDEN:
        return f"rejects this host name {words}: add it to FACEMILL_SERVER_NAMES of the server"
    return f"is not a Prefect API {words}: PREFECT_API_URL looks like http://127.0.0.1:4200/api"


def check_free(host: str, port: int) -> None:
    """Check that a port is free.

    Raises:
        UsageError: it cannot be bound.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as error:
            cause = "the port is in use" if error.errno == errno.EADDRINUSE else error.strerror
            raise UsageError(
                f"cannot listen on {host}:{port}: {cause}; choose another --host, --port or --metrics-port"
            ) from error
