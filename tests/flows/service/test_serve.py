"""Addresses of the service; `tests/chaos` starts it whole."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import termios
import threading
import time
from functools import partial
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from flows.cli.app import app
from flows.cli.service_commands import login
from flows.service.serve import Address
from flows.service.work import is_healthy
from tests.chaos.service import free_port
from tests.terminals import read_terminal


@pytest.mark.parametrize("option", ["--port", "--metrics-port"])
def test_an_address_that_is_taken_is_told_in_one_line(tmp_path: Path, option: str) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        result = CliRunner().invoke(app, ["serve", "--lake", str(tmp_path / "lake"), option, str(port)])
    assert result.exit_code == 2
    assert f"cannot listen on 127.0.0.1:{port}: the port is in use" in result.stderr
    assert not (tmp_path / "lake").exists()


def test_a_service_that_listens_on_all_addresses_is_reached_by_loopback_from_here() -> None:
    assert Address("0.0.0.0", 4300).api == "http://127.0.0.1:4300/api"
    assert Address("mill.example", 4300).pages == "http://mill.example:4300"


def test_the_link_with_the_password_is_shown_on_a_terminal_and_kept_out_of_logs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_SERVER_API_AUTH_STRING", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    terminal, log = Console(file=StringIO(), force_terminal=True), Console(file=StringIO(), force_terminal=False)
    assert login(terminal, Address(), "me:secret") == "http://127.0.0.1:4200/facemill/login#me%3Asecret"
    assert (
        login(log, Address(), "me:secret")
        == f"http://127.0.0.1:4200, with the password in {tmp_path}/facemill-password"
    )


@pytest.mark.slow
def test_a_service_on_another_port_starts_in_a_terminal_without_a_question_and_writes_no_profile(
    tmp_path: Path,
) -> None:
    ports = [free_port(), free_port()]
    options = ["--lake", str(tmp_path / "lake"), "--port", str(ports[0]), "--metrics-port", str(ports[1])]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment |= {"PREFECT_HOME": str(tmp_path / "prefect"), "TERM": "xterm", "COLUMNS": "300"}
    terminal, side_of_command = os.openpty()
    told = bytearray()
    service = subprocess.Popen(
        [sys.executable, "-c", "from flows.cli.app import main; main()", "serve", *options],
        env=environment,
        stdin=side_of_command,
        stdout=side_of_command,
        stderr=side_of_command,
        preexec_fn=partial(os.login_tty, side_of_command),  # noqa: PLW1509 - one system call
    )
    reader = threading.Thread(target=read_terminal, args=(terminal, told))
    reader.start()
    try:
        while b" UTC" not in told:
            assert service.poll() is None, told.decode()
            assert b"How would you like" not in told, told.decode()
            time.sleep(0.2)
        assert re.search(
            rf"now.*http://127.0.0.1:{ports[0]}/deployments/deployment/[0-9a-f-]+ starts a run", told.decode()
        )
        assert re.search(r"next.*pipeline 2\d{3}-\d\d-\d\d 02:17 UTC", told.decode())
        # Ctrl-C, as a person types it: the terminal makes a signal of it.
        os.write(terminal, b"\x03")
        service.wait()
        assert termios.tcgetattr(side_of_command)[3] & termios.ISIG
    finally:
        service.terminate()
        service.wait()
        os.close(side_of_command)
        reader.join()
        os.close(terminal)
    assert not (tmp_path / "prefect" / "profiles.toml").exists()
    assert not is_healthy(f"http://127.0.0.1:{ports[0]}/api")
