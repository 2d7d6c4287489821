"""Addresses of the service; `tests/chaos` starts it whole."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.service.serve import Address


@pytest.mark.parametrize("option", ["--port", "--metrics-port"])
def test_an_address_that_is_taken_is_told_in_one_line(tmp_path: Path, option: str) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        result = CliRunner().invoke(app, ["serve", "--lake", str(tmp_path / "lake"), option, str(port)])
    assert result.exit_code == 2
    assert f"127.0.0.1:{port} cannot be served on: something listens there already" in result.stderr
    assert not (tmp_path / "lake").exists()


def test_a_service_that_listens_on_all_addresses_is_reached_by_loopback_from_here() -> None:
    assert Address("0.0.0.0", 4300).api == "http://127.0.0.1:4300/api"
    assert Address("mill.example", 4300).pages == "http://mill.example:4300"
