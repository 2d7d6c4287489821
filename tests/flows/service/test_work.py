"""Workers for the server of another machine; `tests/scale` starts them."""

from __future__ import annotations

import ast
import shutil
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from flows.service import run_engine
from flows.service.schedule import deployments
from flows.service.work import check_server, runs_environment
from storage.errors import UsageError


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
    assert f"cannot listen on 127.0.0.1:{port}: the port is in use" in refused.stderr


def test_a_worker_without_the_password_says_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_AUTH_STRING", raising=False)
    refused = CliRunner().invoke(app, ["work", "--server", "http://127.0.0.1:9"])
    assert refused.exit_code == 2
    assert "the file is PREFECT_HOME/facemill-password where `facemill serve` runs" in refused.stderr


def test_a_password_that_the_server_refuses_is_told_in_one_line() -> None:
    class Refuses(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(401)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Refuses) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        with pytest.raises(UsageError, match=r"rejects the password \(401"):
            check_server(f"http://127.0.0.1:{server.server_port}/api", "me:wrong")


def test_the_command_of_every_deployment_is_found_beside_this_python_and_is_ours() -> None:
    (command,) = {one["work_pool"]["job_variables"]["command"] for one in deployments()["deployments"]}
    program, *arguments = command.split()
    found = shutil.which(program, path=runs_environment("http://127.0.0.1:9/api", "me:secret")["PATH"])
    assert found and Path(found).parent == Path(sys.executable).parent
    assert arguments == ["-m", run_engine.__name__]


def test_the_main_module_of_a_run_imports_nothing_that_processes_it_spawns_would_import_again() -> None:
    seen = "import sys; before = set(sys.modules); import flows.service.run_engine; print(set(sys.modules) - before)"
    found = subprocess.check_output([sys.executable, "-c", seen], text=True)
    assert all(name.split(".")[0] in {"flows", "runpy", "pkgutil"} for name in ast.literal_eval(found))


def test_a_script_of_a_run_finds_our_packages_beside_files_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "storage.py").touch()
    (tmp_path / "script.py").write_text("import storage.errors")
    environment = runs_environment("http://127.0.0.1:9/api", "me:secret")
    subprocess.run([sys.executable, tmp_path / "script.py"], env=environment, cwd=tmp_path, check=True)
