"""The ephemeral Prefect server of a single command: on loopback, with its own password, stopped with the command.

Prefect starts one itself without PREFECT_API_URL, but that one does not check host names and outlives a killed
command. This module does not import Prefect: the command imports it while the server starts.
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

# Starting takes 5 s, and more than a minute on a busy machine.
_START_S = 300.0
_STOP_S = 5.0


def start_own_server() -> None:
    """Start a server for this process and set PREFECT_API_URL, unless it is already set.

    The server inherits this process's environment. Waits until the server responds.

    Raises:
        ServiceError: the server does not start.
        UsageError: the server named by PREFECT_API_URL does not respond, or rejects the password.
    """
    if api := os.environ.get("PREFECT_API_URL"):
        if not os.environ.get("PREFECT_API_KEY"):  # Prefect Cloud's, which has other ways
            check_server(api, os.environ.get(OF_CLIENTS, ""))
        return
    if _is_chosen():
        return
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        # Clients can connect from now on; they get responses once the server runs.
        listener.listen(128)
        port, fd = listener.getsockname()[1], listener.fileno()
        own = ["--small", str(fd), "--parent", str(os.getpid())]
        server = subprocess.Popen(
            [sys.executable, "-P", "-m", "flows.service.prefect_server", "start", *own],
            pass_fds=[fd],
            stdin=subprocess.DEVNULL,
            # Ctrl-C goes to the command, which stops the server last.
            start_new_session=True,
        )
    atexit.register(_stop, server)
    api = f"http://127.0.0.1:{port}/api"
    os.environ["PREFECT_API_URL"] = api
    import prefect.flows  # noqa: F401, PLC0415 - takes two seconds, while the server starts

    until = time.monotonic() + _START_S
    while not is_healthy(api):
        if server.poll() is not None or time.monotonic() > until:
            raise ServiceError(
                f"this command's Prefect server does not respond (exit code {server.poll()}); see its messages above"
            )
        time.sleep(0.1)


def _is_chosen() -> bool:
    """Whether this process already uses Prefect with a server configured in another way."""
    return "prefect" in sys.modules and bool(sys.modules["prefect"].settings.PREFECT_API_URL.value())


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
