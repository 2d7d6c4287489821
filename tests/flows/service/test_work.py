"""Workers for the server of another machine; `tests/scale` starts them."""

from __future__ import annotations

import socket

from typer.testing import CliRunner

from flows.cli import app


def test_a_server_that_is_no_url_is_told_in_one_line() -> None:
    refused = CliRunner().invoke(app, ["work", "--server", "192.0.2.1:4200"])
    assert refused.exit_code == 2
    assert "--server 192.0.2.1:4200 must be a URL such as http://" in refused.stderr


def test_a_port_that_is_taken_is_told_before_any_server_is_waited_for() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        refused = CliRunner().invoke(app, ["work", "--server", "http://127.0.0.1:9", "--metrics-port", str(port)])
    assert refused.exit_code == 2
    assert f"127.0.0.1:{port} cannot be served on: something listens there already" in refused.stderr
