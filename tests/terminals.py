"""A command on a terminal of its own: what a person sees of it."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

# Escape sequences of ECMA-48 (colours, cursor movements), and of the operating system (titles, links).
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
FACEMILL = [sys.executable, "-c", "from flows.cli.app import main; main()"]


@dataclass(frozen=True, slots=True)
class Screen:
    """What a command wrote to its terminal, and its exit code."""

    code: int
    written: str

    @property
    def lines(self) -> list[str]:
        """Every line that was ever shown, without escape sequences."""
        plain = _SEQUENCE.sub("", self.written).replace("\r\n", "\n")
        return [line.rstrip() for line in re.split(r"[\r\n]", plain)]

    @property
    def text(self) -> str:
        """The lines as one text."""
        return "\n".join(self.lines)


def read_terminal(terminal: int, told: bytearray) -> None:
    """Collect what is written to a terminal until its last writer is gone."""
    with suppress(OSError):
        while piece := os.read(terminal, 65536):
            told += piece


def on_terminal(*arguments: str, columns: int, env: Mapping[str, str] | None = None) -> Screen:
    """Run facemill on a terminal that is `columns` wide and 24 lines high."""
    environment = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "CI", "NO_COLOR"}}
    environment |= {"TERM": "xterm-256color", **(env or {})}
    terminal, side_of_command = os.openpty()
    fcntl.ioctl(side_of_command, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    told = bytearray()
    reader = threading.Thread(target=read_terminal, args=(terminal, told))
    command = subprocess.Popen(
        [*FACEMILL, *arguments],
        env=environment,
        stdin=side_of_command,
        stdout=side_of_command,
        stderr=side_of_command,
        preexec_fn=partial(os.login_tty, side_of_command),  # noqa: PLW1509 - one system call
    )
    reader.start()
    try:
        code = command.wait()
    finally:
        command.kill()
        command.wait()
        os.close(side_of_command)
        reader.join()
        os.close(terminal)
    return Screen(code, told.decode())


def in_pipe(*arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run facemill with both streams in pipes."""
    environment = {**os.environ, "TERM": "xterm-256color", **(env or {})}
    return subprocess.run([*FACEMILL, *arguments], env=environment, capture_output=True, text=True, check=False)
