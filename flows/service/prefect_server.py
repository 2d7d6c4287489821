"""Prefect's server behind a `Guard`: `python -m flows.service.prefect_server start`.

Prefect's own `prefect server start` does not check host names, prompts on a terminal and may write a profile into the
user's settings. This module serves the same application.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import socket

import uvicorn
from prefect.server.api.server import create_app
from prefect.settings import get_current_settings
from starlette.types import ASGIApp

from flows.service.request_guard import Guard
from flows.settings import load_settings

_PR_SET_PDEATHSIG = 1
# A page open in a browser keeps a connection; it must not delay the shutdown.
_GRACE_S = 5


def guarded_app(host: str, names: list[str], *, is_small: bool = False) -> ASGIApp:
    """Prefect's application, restricted to requests for this host or these names.

    Args:
        is_small: without the web UI and the services that schedule runs and react to events.
    """
    return Guard(create_app(ephemeral=is_small, final=True), host, names)


def main() -> None:
    """Serve on an address, or on a socket opened by the parent process."""
    parser = argparse.ArgumentParser(prog="flows.service.prefect_server")
    parser.add_argument("command", choices=["start"])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4200)
    parser.add_argument(
        "--small", type=int, metavar="FD", help="serve on this socket of the parent process, until it ends"
    )
    parser.add_argument("--parent", type=int, help="process id of the parent; the server ends with it")
    given = parser.parse_args()
    if given.parent is not None:
        _end_with(given.parent)
    settings = get_current_settings()
    is_small = given.small is not None
    names = [*load_settings().server_names, *([] if is_small else [socket.gethostname()])]
    config = uvicorn.Config(
        guarded_app(given.host, names, is_small=is_small),
        host=given.host,
        port=given.port,
        log_level="error" if is_small else settings.server.logging_level.lower(),
        # No access log: a run makes many requests.
        access_log=False,
        lifespan="on",
        timeout_keep_alive=settings.server.api.keepalive_timeout,
        timeout_graceful_shutdown=_GRACE_S,
        ws_ping_interval=settings.server.api.websocket_ping_interval,
        ws_ping_timeout=settings.server.api.websocket_ping_timeout,
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=given.small)] if is_small else None)


def _end_with(parent: int) -> None:
    """Let the kernel kill this process when its parent ends, for whatever reason."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise SystemExit(0)


if __name__ == "__main__":
    main()
