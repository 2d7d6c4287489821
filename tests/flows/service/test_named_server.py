"""Commands with PREFECT_API_URL: recorded on that server, reached past any proxy, refused in one line."""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError

import pytest

from flows.configuration.settings import api_in_use
from flows.doctor.service_facts import look_at_service
from flows.service.password import new_password
from flows.service.work import is_healthy
from storage.files.lake import Lake
from tests.chaos.service import free_port
from tests.waiting import wait_until


class Server(NamedTuple):
    process: subprocess.Popen[bytes]
    api: str
    password: str

    def asked(self, path: str, body: bytes | None = None, **headers: str) -> Any:
        """The body of an answer, or the status of a refusal; asked without any proxy."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(urllib.request.Request(f"{self.api}{path}", body, headers)) as answer:
                return answer.read()
        except HTTPError as error:
            return error.code

    @property
    def token(self) -> str:
        return f"Basic {base64.b64encode(self.password.encode()).decode()}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Prefect's server as the service starts it, with a password and a database of its own."""
    port, password = free_port(), new_password()
    own = {"PREFECT_HOME": str(tmp_path_factory.mktemp("home")), "PREFECT_SERVER_API_AUTH_STRING": password}
    command = [sys.executable, "-m", "flows.service.prefect_server", "start", "--port", str(port)]
    process = subprocess.Popen(command, env=without_prefect() | own)
    found = Server(process, f"http://127.0.0.1:{port}/api", password)
    try:
        wait_until("the server answers", lambda: process.poll() is not None or is_healthy(found.api), every_s=0.1)
        yield found
    finally:
        process.terminate()
        process.wait()


def without_prefect() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}


def check_at(lake: Path, api: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`facemill check` of a new lake, told to use a server."""
    Lake(lake).begin()
    return subprocess.run(
        [sys.executable, "-m", "facemill", "check", "--lake", str(lake)],
        env=without_prefect() | {"PREFECT_API_URL": api, "PREFECT_HOME": str(lake.with_name("home")), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.case(1)
def test_a_command_is_recorded_on_the_named_server_past_every_proxy_of_the_environment(
    tmp_path: Path, server: Server
) -> None:
    with socket.socket() as proxy:
        proxy.bind(("127.0.0.1", 0))
        proxy.listen()
        proxy.setblocking(False)
        url = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        names = ("http_proxy", "https_proxy", "all_proxy", "ws_proxy")
        proxies = {one: url for name in names for one in (name, name.upper())} | {"NO_PROXY": "intranet.example"}
        done = check_at(tmp_path / "lake", server.api, PREFECT_API_AUTH_STRING=server.password, **proxies)
        assert done.returncode == 0, done.stderr
        with pytest.raises(BlockingIOError):
            proxy.accept()
    headers = {"Authorization": server.token, "Content-Type": "application/json"}
    assert f"check {tmp_path / 'lake'}".encode() in server.asked("/flow_runs/filter", b"{}", **headers)


@pytest.mark.attack(2)
def test_the_server_answers_to_its_password_and_its_host_names_alone(server: Server) -> None:
    assert isinstance(server.asked("/admin/version", Authorization=server.token), bytes)
    assert server.asked("/admin/version") == 401
    assert server.asked("/admin/version", Authorization=server.token, Host="x.example") == 403
    assert server.asked("/admin/version", Authorization=server.token, Origin="http://evil.example") == 403
    assert server.password.encode() not in Path(f"/proc/{server.process.pid}/cmdline").read_bytes()


@pytest.mark.attack(2)
def test_a_command_that_a_server_refuses_says_in_one_line_which_and_what_gives_the_password(
    tmp_path: Path, server: Server
) -> None:
    refused = {
        "requires a password (401 Unauthorized): set FACEMILL_PASSWORD_FILE": check_at(tmp_path / "a", server.api),
        "rejects the password (401 Unauthorized): set PREFECT_API_AUTH_STRING, or the file that FACEMILL_": (
            check_at(tmp_path / "b", server.api, PREFECT_API_AUTH_STRING="me:wrong")
        ),
        "is not a Prefect API (404 Not Found)": check_at(
            tmp_path / "c", f"{server.api}/none", PREFECT_API_AUTH_STRING=server.password
        ),
    }
    for words, done in refused.items():
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
        assert done.stderr.startswith(f"facemill: {server.api}")
        assert words in done.stderr
        assert "me:wrong" not in done.stderr


@pytest.mark.attack(2)
def test_a_command_takes_the_password_from_the_file_that_a_setting_names(tmp_path: Path, server: Server) -> None:
    (tmp_path / "copied").write_text(server.password)
    done = check_at(tmp_path / "lake", server.api, FACEMILL_PASSWORD_FILE=str(tmp_path / "copied"))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("api", ["http://127.0.0.1:9/api", "127.0.0.1:4200", "http://[", "ftp://127.0.0.1:9/api"])
def test_a_server_that_does_not_answer_is_told_in_one_line(tmp_path: Path, api: str) -> None:
    done = check_at(tmp_path / "lake", api)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert f"no server responds at {api} (" in done.stderr
    assert "start `facemill serve` there, or set PREFECT_API_URL" in done.stderr


def test_a_server_named_by_a_prefect_profile_is_used(tmp_path: Path) -> None:
    (tmp_path / "profiles.toml").write_text(
        'active = "mine"\n[profiles.mine]\nPREFECT_API_URL = "http://127.0.0.1:4200/api"\n[profiles.other]\n'
    )
    home = {"PREFECT_HOME": str(tmp_path)}
    assert api_in_use(home) == "http://127.0.0.1:4200/api"
    assert api_in_use(home | {"PREFECT_PROFILE": "other"}) == ""
    assert api_in_use(home | {"PREFECT_API_URL": "http://a/api"}) == "http://a/api"
    assert api_in_use({"PREFECT_HOME": str(tmp_path / "none")}) == ""


@pytest.mark.attack(2)
def test_doctor_tells_which_password_a_server_takes(server: Server) -> None:
    given = {"PREFECT_API_URL": server.api}
    found = [look_at_service(given | more, 0, "") for more in ({}, {"PREFECT_API_AUTH_STRING": "me:wrong"})]
    assert [(one.is_healthy, one.login) for one in found] == [(True, 401)] * 2
    right = look_at_service(given | {"PREFECT_API_AUTH_STRING": server.password}, 0, "")
    assert (right.login, right.error, set(right.workers.values())) == (200, "", {None})
    assert set(right.deployed.values()) == {None}
