"""The log of runs without a server."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from flows.telemetry.log import NAME, show_log


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    found = logging.getLogger(NAME)
    yield found
    found.handlers, found.propagate = [], True
    found.setLevel(logging.NOTSET)


@pytest.mark.parametrize(("verbose", "shown"), [(False, ["hot"]), (True, ["cold", "hot"])])
def test_warnings_are_lines_and_other_messages_too_if_asked_for(
    log: logging.Logger, capsys: pytest.CaptureFixture[str], verbose: bool, shown: list[str]
) -> None:
    show_log(verbose=verbose, as_json=False)
    log.info("cold")
    log.warning("hot")
    assert capsys.readouterr() == ("", "".join(f"facemill: {word}\n" for word in shown))


def test_a_message_cannot_steer_the_terminal(log: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    show_log(verbose=False, as_json=False)
    log.warning("hot\x1b[2J")
    assert "\x1b" not in capsys.readouterr().err


def test_beside_progress_in_json_a_message_is_a_json_line(
    log: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    show_log(verbose=False, as_json=True)
    log.warning("%d failed", 3)
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["message"]) == ("warning", "3 failed")
