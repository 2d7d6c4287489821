"""The small Prefect server of a single command: on loopback, with a password of its own, and gone with the command.

Prefect starts one itself where no PREFECT_API_URL is set, but that one checks no host names and outlives a command that
is killed. Imports no Prefect: the command imports it while the server starts.
"""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import sys
import time

from flows.service.password import OF_CLIENTS
from flows.service.work import check_server, is_healthy
from storage.errors import ServiceError

# It takes 5 s, and on a busy machine more than a minute.
_START_S = 300.0
_STOP_S = 5.0


def start_own_server() -> None:
    """Start a server for this process and set PREFECT_API_URL to it, unless that names one already.

    Its settings are those of this process's environment. Waits until it answers.

    Raises:
        ServiceError: it does not start.
        UsageError: the one that is named does not answer, or not to this process.
    """
    if api := os.environ.get("PREFECT_API_URL"):
        if not os.environ.get("PREFECT_API_KEY"):  # Prefect Cloud's, which has other ways
            check_server(api, os.environ.get(OF_CLIENTS, ""))
        return
    if _is_chosen():
        return
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        # Clients may connect from now on; they are answered once the server runs.
        listener.listen(128)
        port, fd = listener.getsockname()[1], listener.fileno()
        own = ["--small", str(fd), "--parent", str(os.getpid())]
        server = subprocess.Popen(
            [sys.executable, "-P", "-m", "flows.service.prefect_server", "start", *own],
            pass_fds=[fd],
            stdin=subprocess.DEVNULL,
            # Ctrl-C is the command's, which ends the server last.
            start_new_session=True,
        )
    atexit.register(_stop, server)
    api = f"http://127.0.0.1:{port}/api"
    os.environ["PREFECT_API_URL"] = api
    import prefect.flows  # noqa: F401, PLC0415 - takes two seconds, in which the server starts

    until = time.monotonic() + _START_S
    while not is_healthy(api):
        if server.poll() is not None or time.monotonic() > until:
            raise ServiceError(
                f"Prefect's server for this command does not answer (exit code {server.poll()}); see its messages above"
            )
        time.sleep(0.1)


def _is_chosen() -> bool:
    """Whether this process uses Prefect already, with a server that was chosen in another way."""
    return "prefect" in sys.modules and bool(sys.modules["prefect"].settings.PREFECT_API_URL.value())


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
