"""The workers of a machine; `facemill work` starts them alone, for a server that another machine has."""

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

from flows.service.backing_services import without_secrets
from flows.service.metrics_endpoint import shown_metrics
from flows.service.password import HOW_TO_GIVE, OF_CLIENTS
from flows.service.run_processes import SERVICE, end_runs_of
from flows.service.supervisor import Process, look_after, stop_all, stopping
from storage.errors import UsageError
from storage.names import visible

# The work pools, and how many runs of each a machine does at a time. One that crops takes all its cores, one that
# trains holds its GPU.
POOLS = {"cpu": 1, "gpu": 1}
# Prefect takes no shorter interval.
HEARTBEAT_S = 30
_LOOK_EVERY_S = 1.0
_ANSWER_S = 60.0


def work(
    api: str,
    pools: Sequence[str],
    metrics_port: int,
    *,
    password: str,
    tell: Callable[[str], None],
    log: Callable[[str], None],
    up: Callable[[], None],
) -> None:
    """Run a worker for each pool until SIGINT or SIGTERM.

    Args:
        api: the URL of the server's API; waited for until it answers.
        pools: of `POOLS`.
        metrics_port: on loopback.
        password: of the API, `name:password`.
        tell, up: told in a line what is going on, and that everything runs.
        log: told once an hour what was done, in a line of JSON.

    Raises:
        UsageError: the port is taken, or the server refuses the password.
        ServiceError: a worker ends time after time.
    """
    check_free("127.0.0.1", metrics_port)
    environment = runs_environment(api, password)
    os.environ.update(environment)
    workers: list[Process] = []
    stops = partial(stop_all, workers), partial(end_runs_of, environment[SERVICE])
    # Being told to stop is how a service ends.
    with counted(metrics_port, log) as counts, stopping(*stops), suppress(KeyboardInterrupt):
        tell(f"waiting for {api}")
        while not is_healthy(api):
            time.sleep(_LOOK_EVERY_S)
        check_server(api, password)
        for pool in pools:
            workers.append(worker(pool, {**environment, **counts}))
            workers[-1].start()
        up()
        look_after(workers, tell=tell)


def worker(pool: str, environment: Mapping[str, str]) -> Process:
    """This machine's worker of a pool; the runs of the one before it, if it was killed, are ended first."""
    from flows.service.lost_runs import crash_lost_runs  # noqa: PLC0415 - reads PREFECT_API_URL when imported

    name = f"facemill {pool} on {socket.gethostname()}"
    recover = partial(crash_lost_runs, pool, name)
    recover()
    start = python_module("prefect", "worker", "start", "--pool", pool, "--name", name, "--limit", str(POOLS[pool]))
    return Process(f"worker {pool}", start, environment, recover)


def runs_environment(api: str, password: str) -> dict[str, str]:
    """What a worker and its runs see: where the server is, its password, and nothing of its database."""
    return {
        **without_secrets(os.environ),
        "PREFECT_API_URL": api,
        OF_CLIENTS: password,
        SERVICE: uuid4().hex,
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S),
        "DO_NOT_TRACK": "1",
    }


@contextmanager
def counted(metrics_port: int, log: Callable[[str], None]) -> Iterator[dict[str, str]]:
    """Show the counts of all runs on a port; yields the variable that has a run add to them."""
    with (
        tempfile.TemporaryDirectory(prefix="facemill-metrics-") as counts,
        shown_metrics(Path(counts), metrics_port, tell=log),
    ):
        yield {"PROMETHEUS_MULTIPROC_DIR": counts}


def python_module(*arguments: str) -> list[str]:
    """A command that runs a module by this Python; -P: nothing is imported from the folder it is started in."""
    return [sys.executable, "-P", "-m", *arguments]


def is_healthy(api: str) -> bool:
    """Whether a server answers."""
    try:
        with urllib.request.urlopen(f"{api}/health", timeout=5):  # noqa: S310 - http or https, as checked
            return True
    except (URLError, OSError):
        return False


def check_server(api: str, password: str) -> None:
    """See that Prefect's API answers there and takes this password; an empty one is not sent.

    Raises:
        UsageError: it does not.
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
            f"no server answers at {visible(api)} ({cause}): start `facemill serve` there, or set PREFECT_API_URL to "
            "the address of one; without that variable a command starts a server for itself"
        ) from error


def _refusal(error: HTTPError, password: str) -> str:
    words = f"({error.code} {error.reason})"
    if error.code == HTTPStatus.UNAUTHORIZED and password:
        return (
            f"refuses the password {words}: {OF_CLIENTS}, or the file that FACEMILL_PASSWORD_FILE names, must hold "
            "that of the password file of the machine where `facemill serve` runs"
        )
    if error.code == HTTPStatus.UNAUTHORIZED:
        return f"answers to its password alone {words}: {HOW_TO_GIVE}"
    if error.code == HTTPStatus.FORBIDDEN:
        return f"refuses this address {words}: its server must know the name, by FACEMILL_SERVER_NAMES"
    return f"is no API of Prefect's {words}: PREFECT_API_URL is such as http://127.0.0.1:4200/api"


def check_free(host: str, port: int) -> None:
    """See that a port can be had.

    Raises:
        UsageError: it cannot.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as error:
            cause = "something listens there already" if error.errno == errno.EADDRINUSE else error.strerror
            raise UsageError(
                f"{host}:{port} cannot be served on: {cause}; choose another --host, --port or --metrics-port"
            ) from error
