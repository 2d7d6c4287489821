"""The password of the API: made once, readable by its owner alone, never overwritten."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flows.service.password import OF_CLIENTS, OF_SERVER, make_private, password_of_client, password_of_server
from storage.errors import UsageError

PATH = "facemill-password"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.attack(1)
def test_a_service_without_a_password_gets_one_that_only_its_user_can_read_and_keeps_it(tmp_path: Path) -> None:
    home = tmp_path / "prefect"
    before = os.umask(0)
    try:
        make_private(home)
        made = password_of_server({"PREFECT_HOME": str(home)})
    finally:
        os.umask(before)
    assert (mode(home), mode(home / PATH)) == (0o700, 0o600)
    assert len(made.partition(":")[2]) >= 43, "fewer than 256 bits"
    assert password_of_server({"PREFECT_HOME": str(home)}) == made
    assert [path.name for path in home.iterdir()] == [PATH]


def test_a_folder_and_a_password_that_others_could_read_are_closed_to_them(tmp_path: Path) -> None:
    (tmp_path / PATH).write_text("me:secret\n")
    (tmp_path / PATH).chmod(0o644)
    tmp_path.chmod(0o755)
    make_private(tmp_path)
    assert password_of_server({"PREFECT_HOME": str(tmp_path)}) == "me:secret"
    assert (mode(tmp_path), mode(tmp_path / PATH)) == (0o700, 0o600)


def test_services_that_start_at_the_same_time_agree_on_one_password(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: password_of_server({"PREFECT_HOME": str(tmp_path)}), range(16)))
    assert len(set(made)) == 1


def test_a_password_of_the_environment_is_used_and_not_written(tmp_path: Path) -> None:
    environment = {"PREFECT_HOME": str(tmp_path), OF_SERVER: "me:secret"}
    assert password_of_server(environment) == "me:secret"
    assert list(tmp_path.iterdir()) == []


def test_a_worker_elsewhere_takes_the_password_from_its_environment_or_a_file_and_from_nowhere_else(
    tmp_path: Path,
) -> None:
    file = tmp_path / "copied"
    file.write_text("me:secret\n")
    password_of_server({"PREFECT_HOME": str(tmp_path)})
    assert password_of_client({OF_CLIENTS: "me:other"}, str(file)) == "me:other"
    assert password_of_client({}, str(file)) == "me:secret"
    with pytest.raises(UsageError, match="set FACEMILL_PASSWORD_FILE to a copy of its password file"):
        password_of_client({"PREFECT_HOME": str(tmp_path)})


@pytest.mark.parametrize("content", [b"", b"\n", b"a:b\nc:d\n", b"a:\x07\n", b"\xff\xfe"])
def test_a_file_without_one_line_of_text_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    (tmp_path / PATH).write_bytes(content)
    with pytest.raises(UsageError, match="the password file"):
        password_of_server({"PREFECT_HOME": str(tmp_path)})
    assert (tmp_path / PATH).read_bytes() == content
