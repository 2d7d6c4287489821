"""What the checks of a machine decide, and what they find here."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.doctor import machine_checks as checks
from flows.doctor import machine_facts as facts
from flows.doctor.machine_facts import Gpu, Installation, Package, PasswordFile, Resolver, SettingsFound
from flows.doctor.verdict import Level


def test_a_package_of_another_version_or_that_is_missing_fails_and_is_named() -> None:
    packages = (Package("torch", "<2.15,>=2.11", "2.16.0"), Package("numpy", ">=2.0", "2.1"), Package("rich", "", None))
    verdict = checks.check_packages(Installation("3.11.7", ">=3.11", packages))
    assert verdict.level is Level.FAIL
    assert verdict.value == "torch 2.16.0 (<2.15,>=2.11); rich is missing (any version)"


@pytest.mark.parametrize(
    ("allowed", "level"), [(">=3.11,<3.14", Level.OK), (">=3.12", Level.FAIL), ("", Level.WARN)], ids=str
)
def test_python_is_compared_with_what_the_project_allows(allowed: str, level: Level) -> None:
    assert checks.check_python(Installation("3.11.7", allowed, ())).level is level


def test_this_installation_is_as_the_project_asks() -> None:
    found = facts.installation()
    assert {"prefect", "torch", "packaging"} <= {one.name for one in found.packages} | {"packaging"}
    assert "s3fs" not in {one.name for one in found.packages}  # of an extra
    assert checks.check_python(found).level is checks.check_packages(found).level is Level.OK


def test_settings_that_cannot_be_used_fail_with_their_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    assert checks.check_settings(SettingsFound(("a.toml",), "")).value == "a.toml"
    monkeypatch.setenv("FACEMILL_CONCURRENCY", "many")
    verdict = checks.check_settings(facts.settings_found())
    assert verdict.level is Level.FAIL
    assert "FACEMILL_CONCURRENCY='many' is invalid" in verdict.value


def test_a_machine_without_semaphores_fails_and_names_the_folder() -> None:
    verdict = checks.check_semaphores("Permission denied")
    assert verdict.level is Level.FAIL
    assert "Permission denied" in verdict.value
    assert "/dev/shm" in verdict.advice
    assert checks.check_semaphores("").level is Level.OK


def test_a_limit_of_open_files_below_what_the_requests_need_fails() -> None:
    verdict = checks.check_open_files(256, concurrency=128)
    assert (verdict.level, verdict.value, verdict.limit) == (Level.FAIL, "256 a process", "384 a process")
    assert checks.check_open_files(1024, concurrency=128).level is Level.OK
    assert checks.check_open_files(-1, concurrency=10_000).value == "no limit"


@pytest.mark.parametrize(
    ("found", "level"),
    [
        (Resolver(("127.0.0.1", "::1"), "", 1), Level.OK),
        (Resolver(("127.0.0.1",), "", 0), Level.WARN),
        (Resolver(("192.0.2.1",), "", 1), Level.FAIL),
        (Resolver((), "Name or service not known", 1), Level.FAIL),
    ],
)
def test_localhost_is_a_loopback_address_and_a_name_server_is_set(found: Resolver, level: Level) -> None:
    assert checks.check_resolver(found).level is level


def test_the_resolver_is_asked_for_localhost_alone(tmp_path: Path) -> None:
    # Any other name fails the test (tests/conftest.py).
    (tmp_path / "resolv.conf").write_text("# none\nnameserver 192.0.2.1\nnameserver 192.0.2.2\nsearch example\n")
    found = facts.resolver(tmp_path / "resolv.conf")
    assert found.num_servers == 2
    assert facts.resolver(tmp_path / "none").num_servers == 0
    assert "only localhost was looked up" in checks.check_resolver(found).text


def test_a_gpu_that_torch_does_not_find_is_a_warning() -> None:
    levels = [checks.check_gpu(Gpu(*one)).level for one in ((False, False), (True, True), (True, False))]
    assert levels == [Level.OK, Level.OK, Level.WARN]


def test_a_password_file_that_others_can_read_fails(tmp_path: Path) -> None:
    path = tmp_path / "facemill-password"
    home = {"PREFECT_HOME": str(tmp_path)}
    assert "none yet" in checks.check_password_file(facts.password_file(home, "")).value
    path.write_text("me:secret")
    for mode, level in ((0o600, Level.OK), (0o640, Level.FAIL), (0o604, Level.FAIL)):
        path.chmod(mode)
        verdict = checks.check_password_file(facts.password_file(home, ""))
        assert verdict.level is level
        assert "secret" not in verdict.text
    assert checks.check_password_file(PasswordFile("x", 0o600, is_own=False)).level is Level.FAIL
