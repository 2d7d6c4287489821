"""Prefect's server behind a `Guard`: `python -m flows.service.prefect_server start`.

Prefect's own `prefect server start` does not check host names, prompts on a terminal and may write a profile into the
user's settings. This module serves the same application.
"""

from __future__ import annotations

import argparse
import socket
from pathlib import Path

import uvicorn
from prefect.server.api.server import create_app
from prefect.settings import get_current_settings
from starlette.types import ASGIApp

from flows.configuration.settings import load_settings
from flows.service.report_pages import ReportPages
from flows.service.request_guard import Guard

# A page open in a browser keeps a connection; it must not delay the shutdown.
_GRACE_S = 5


def guarded_app(host: str, names: list[str], reports: Path | None = None) -> ASGIApp:
    """Prefect's application, restricted to requests for this host or these names.

    Args:
        reports: folder of reports to serve too, behind the password; without a password none is served.
    """
    password = get_current_settings().server.api.auth_string
    pages = ReportPages(reports, password.get_secret_value()) if reports and password else None
    return Guard(create_app(final=True), host, names, pages)


def main() -> None:
    """Serve on an address."""
    parser = argparse.ArgumentParser(prog="flows.service.prefect_server")
    parser.add_argument("command", choices=["start"])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4200)
    parser.add_argument("--reports", type=Path, help="folder of a lake's reports")
    given = parser.parse_args()
    settings = get_current_settings()
    names = [*load_settings().server_names, socket.gethostname()]
    config = uvicorn.Config(
        guarded_app(given.host, names, given.reports),
        host=given.host,
        port=given.port,
        log_level=settings.server.logging_level.lower(),
        # No access log: a run makes many requests.
        access_log=False,
        lifespan="on",
        timeout_keep_alive=settings.server.api.keepalive_timeout,
        timeout_graceful_shutdown=_GRACE_S,
        ws_ping_interval=settings.server.api.websocket_ping_interval,
        ws_ping_timeout=settings.server.api.websocket_ping_timeout,
    )
    uvicorn.Server(config).run()


if __name__ == "__main__":
    main()
