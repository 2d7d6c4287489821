"""What is asked of servers on loopback; `tests/flows/service/test_setup.py` asks one with deployments."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from flows.doctor.service_facts import look_at_port, look_at_service
from tests.chaos.service import free_port


@pytest.fixture
def stranger() -> Iterator[int]:
    """The port of a server of another kind, which answers every request with a page."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<p>Hello")

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_a_port_is_free_of_another_program_or_ours(stranger: int) -> None:
    assert not look_at_port(free_port(), "server", "/api/health", "true").is_taken
    other = look_at_port(stranger, "server", "/api/health", "true")
    assert (other.is_taken, other.is_ours) == (True, False)
    assert look_at_port(stranger, "server", "/", "Hello").is_ours


def test_nobody_at_the_port_is_told_at_once() -> None:
    found = look_at_service({}, free_port(), "")
    assert (found.is_healthy, found.is_named, found.has_password) == (False, False, False)
    assert "does not answer" in found.error


def test_a_server_of_another_kind_ends_in_an_error_and_no_traceback(stranger: int) -> None:
    found = look_at_service({"PREFECT_API_URL": f"http://127.0.0.1:{stranger}/api"}, 4200, "")
    assert found.error
    assert "the checks" not in found.error


def test_a_server_that_is_silent_costs_the_limit_of_one_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.doctor.api._ONE_S", 0.2)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        found = look_at_service({"PREFECT_API_URL": f"http://127.0.0.1:{listener.getsockname()[1]}/api"}, 4200, "")
    assert (found.is_healthy, found.login) == (False, None)
    assert "/health does not answer" in found.error


def test_the_password_of_this_user_is_sent_to_a_server_of_this_user_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object, stranger: int
) -> None:
    given = {"PREFECT_HOME": str(tmp_path), "PREFECT_SERVER_API_AUTH_STRING": "me:secret"}
    assert look_at_service(given, stranger, "").has_password
    monkeypatch.setattr("os.getuid", lambda: 4_000_000)
    assert not look_at_service(given, stranger, "").has_password


def test_the_command_prints_a_line_a_check_and_its_exit_code_tells_of_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.delenv("PREFECT_API_URL")
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    ports = ["--port", str(free_port()), "--metrics-port", str(free_port())]
    result = CliRunner().invoke(app, ["doctor", "--lake", f"{tmp_path}/lake", *ports, "--json"])
    found = json.loads(result.stdout)
    assert result.exit_code == (1 if found["fail"] else 0)
    assert found["ok"] + found["warn"] + found["fail"] == len(found["checks"])
    assert not [one for one in found["checks"] if one["level"] != "ok" and not one["advice"]]
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{free_port()}/api")
    result = CliRunner().invoke(app, ["doctor", "--lake", f"{tmp_path}/lake", *ports])
    assert result.exit_code == 1
    assert "fail  server" in result.stdout
    assert len(result.stdout.splitlines()) == len(found["checks"]) + 1
