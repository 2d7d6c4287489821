"""Which streams count as terminals, and what `--quiet` applies to."""

from __future__ import annotations

import pytest

from flows.telemetry.console import is_quiet, new_console, quietly


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CI", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


@pytest.mark.parametrize(("name", "value"), [("CI", "true"), ("TERM", "dumb")])
def test_a_log_of_ci_and_a_dumb_terminal_are_no_terminals(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert new_console().is_terminal
    monkeypatch.setenv(name, value)
    assert not new_console().is_terminal
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert new_console().is_terminal


def test_without_colour_nothing_is_coloured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert new_console().no_color


def test_quiet_ends_with_the_command_that_was_quiet() -> None:
    assert not is_quiet()
    with quietly(True):
        assert is_quiet()
        with quietly(False):
            assert is_quiet()
    assert not is_quiet()
