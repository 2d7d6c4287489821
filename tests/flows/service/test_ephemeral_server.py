"""The small server of a plain command: closed to everybody else, gone with the command, reached past any proxy."""

from __future__ import annotations

import base64
import json
import os
import select
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError

import pytest

from flows.proxies import unusable_proxies, without_proxy_for_loopback
from flows.settings import api_in_use, of_own_server
from storage.lake import Lake

# What a command does before it runs a flow; then it talks to its server by HTTP and by a websocket, and waits.
COMMAND = """
import json, os, sys
from flows.cli.options import OutputOptions
OutputOptions().set_up()
import asyncio
from prefect.client.orchestration import get_client
from prefect.events import Event
from prefect.events.clients import get_events_client

async def talk():
    async with get_client() as client:
        runs = await client.read_flow_runs()
    async with get_events_client() as events:
        await events.emit(Event(event="asked", resource={"prefect.resource.id": "a.b"}))
    return len(runs)

print(json.dumps({"runs": asyncio.run(talk()), **{k: v for k, v in os.environ.items() if k.startswith("PREFECT_")}}))
sys.stdout.flush()
sys.stdin.read()
"""


class Command(NamedTuple):
    process: subprocess.Popen[str]
    told: dict[str, Any]
    server: int
    proxy: socket.socket

    def status(self, path: str, **headers: str) -> int:
        """What the server answers; asked without any proxy."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(
                urllib.request.Request(f"{self.told['PREFECT_API_URL']}{path}", headers=headers)
            ) as answer:
                return int(answer.status)
        except HTTPError as error:
            return error.code


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """One in an environment where every variable of a proxy names a port that never answers."""
    home = tmp_path_factory.mktemp("home")
    with socket.socket() as proxy:
        proxy.bind(("127.0.0.1", 0))
        proxy.listen()
        proxy.setblocking(False)
        url = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        names = ("http_proxy", "https_proxy", "all_proxy", "ws_proxy")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        environment |= {one: url for name in names for one in (name, name.upper())}
        environment |= {"PREFECT_HOME": str(home), "NO_PROXY": "intranet.example"}
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout is not None
            told = json.loads(process.stdout.readline())
            yield Command(process, told, server_of(process.pid), proxy)
        finally:
            process.kill()
            process.communicate()


def server_of(parent: int) -> int:
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    (server,) = [
        pid for pid in children if b"flows.service.prefect_server" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    return int(server)


@pytest.mark.case(1)
def test_a_command_talks_to_its_server_past_every_proxy_of_the_environment(command: Command) -> None:
    assert command.told["runs"] == 0
    with pytest.raises(BlockingIOError):
        command.proxy.accept()


@pytest.mark.attack(2)
def test_the_server_of_a_command_answers_to_its_password_alone(command: Command) -> None:
    password = command.told["PREFECT_API_AUTH_STRING"]
    token = f"Basic {base64.b64encode(password.encode()).decode()}"
    assert command.status("/admin/version", Authorization=token) == 200
    assert command.status("/admin/version") == 401
    assert command.status("/admin/version", Authorization=token, Host="x.example") == 403
    assert command.status("/admin/version", Authorization=token, Origin="http://evil.example") == 403
    words = Path(f"/proc/{command.server}/cmdline").read_bytes()
    assert password.encode() not in words


@pytest.mark.attack(2)
def test_the_server_of_a_command_has_neither_the_database_nor_the_password_of_the_service(command: Command) -> None:
    home = Path(command.told["PREFECT_HOME"])
    assert (home / "facemill-commands.db").exists()
    assert not (home / "prefect.db").exists()
    first, second = of_own_server({"PREFECT_HOME": str(home)}), of_own_server({"PREFECT_HOME": str(home)})
    assert first["PREFECT_API_AUTH_STRING"] == first["PREFECT_SERVER_API_AUTH_STRING"]
    assert first["PREFECT_API_AUTH_STRING"] != second["PREFECT_API_AUTH_STRING"]


def check_at(lake: Path, api: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`facemill check` of a new lake, told to use a server."""
    Lake(lake).begin()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return subprocess.run(
        [sys.executable, "-c", "from flows.cli.app import main; main()", "check", "--lake", str(lake)],
        env=kept | {"PREFECT_API_URL": api, "PREFECT_HOME": str(lake.with_name("home")), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.attack(2)
def test_a_command_that_a_server_refuses_says_in_one_line_which_and_what_gives_the_password(
    tmp_path: Path, command: Command
) -> None:
    api = command.told["PREFECT_API_URL"]
    refused = {
        "requires a password (401 Unauthorized): set FACEMILL_PASSWORD_FILE": check_at(tmp_path / "a", api),
        "rejects the password (401 Unauthorized): set PREFECT_API_AUTH_STRING, or the file that FACEMILL_": (
            check_at(tmp_path / "b", api, PREFECT_API_AUTH_STRING="me:wrong")
        ),
        "is not a Prefect API (404 Not Found)": check_at(
            tmp_path / "c", f"{api}/none", PREFECT_API_AUTH_STRING=command.told["PREFECT_API_AUTH_STRING"]
        ),
    }
    for words, done in refused.items():
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
        assert done.stderr.startswith(f"facemill: {api}")
        assert words in done.stderr
        assert "me:wrong" not in done.stderr


@pytest.mark.attack(2)
def test_a_command_takes_the_password_from_the_file_that_a_setting_names(tmp_path: Path, command: Command) -> None:
    (tmp_path / "copied").write_text(command.told["PREFECT_API_AUTH_STRING"])
    file = str(tmp_path / "copied")
    done = check_at(tmp_path / "lake", command.told["PREFECT_API_URL"], FACEMILL_PASSWORD_FILE=file)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("api", ["http://127.0.0.1:9/api", "127.0.0.1:4200", "http://[", "ftp://127.0.0.1:9/api"])
def test_a_server_that_does_not_answer_is_told_in_one_line(tmp_path: Path, api: str) -> None:
    done = check_at(tmp_path / "lake", api)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert f"no server responds at {api} (" in done.stderr
    assert "start `facemill serve` there, or set PREFECT_API_URL" in done.stderr


@pytest.mark.attack(2)
def test_the_server_of_a_command_that_is_killed_ends_with_it(command: Command) -> None:
    end = os.pidfd_open(command.server)
    try:
        command.process.send_signal(signal.SIGKILL)
        command.process.wait()
        ended, _, _ = select.select([end], [], [], 120)
        assert ended == [end], "the server goes on without its command"
    finally:
        os.close(end)
    with pytest.raises(OSError):
        command.status("/health")


@pytest.mark.parametrize(
    ("set_to", "kept"),
    [
        ({}, ""),
        ({"NO_PROXY": "a.example"}, "a.example,"),
        ({"no_proxy": "a.example , b.example"}, "a.example,b.example,"),
        ({"no_proxy": "a.example", "NO_PROXY": "never.example"}, "a.example,"),
        ({"no_proxy": "", "NO_PROXY": "never.example"}, ""),
        ({"NO_PROXY": "*"}, "*,"),
    ],
)
@pytest.mark.case(1)
def test_loopback_is_added_to_what_goes_past_the_proxy(set_to: dict[str, str], kept: str) -> None:
    wanted = f"{kept}localhost,127.0.0.1,::1"
    assert without_proxy_for_loopback(set_to) == {"no_proxy": wanted, "NO_PROXY": wanted}


def test_a_server_of_this_machine_at_another_address_goes_past_the_proxy_and_one_elsewhere_does_not() -> None:
    assert "127.0.0.2" in without_proxy_for_loopback({}, "http://127.0.0.2:4200/api")["no_proxy"]
    assert "192.0.2.1" not in without_proxy_for_loopback({}, "http://192.0.2.1:4200/api")["no_proxy"]


@pytest.mark.case(1)
def test_a_kind_of_proxy_that_stops_every_client_is_found_whatever_its_variable() -> None:
    unusable = {"ALL_PROXY": "socks5://127.0.0.1:1", "http_proxy": "socks4a://127.0.0.1:1", "HTTPS_PROXY": "ftp://a"}
    usable = {"https_proxy": "http://127.0.0.1:1", "HTTP_PROXY": "127.0.0.1:1", "all_proxy": "", "PROXY": "socks5://a"}
    assert unusable_proxies(unusable | usable) == list(unusable)


def test_a_server_named_by_a_prefect_profile_is_used(tmp_path: Path) -> None:
    (tmp_path / "profiles.toml").write_text(
        'active = "mine"\n[profiles.mine]\nPREFECT_API_URL = "http://127.0.0.1:4200/api"\n[profiles.other]\n'
    )
    home = {"PREFECT_HOME": str(tmp_path)}
    assert api_in_use(home) == "http://127.0.0.1:4200/api"
    assert api_in_use(home | {"PREFECT_PROFILE": "other"}) == ""
    assert api_in_use(home | {"PREFECT_API_URL": "http://a/api"}) == "http://a/api"
    assert api_in_use({"PREFECT_HOME": str(tmp_path / "none")}) == ""
