"""The consoles that commands write to. They send no control characters to a pipe, a CI log or a dumb terminal.

`--quiet` applies to a whole command: it hides the progress bars and the next step, and keeps results and errors.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from rich.console import Console

_quiet: ContextVar[bool] = ContextVar("quiet", default=False)


def new_console(*, stderr: bool = False) -> Console:
    """A console on the output or the error stream.

    Some CI systems run commands on a pseudo-terminal and keep what is written as a log, so `CI` in the environment
    counts as no terminal, unless FORCE_COLOR says otherwise. Rich itself heeds NO_COLOR.
    """
    is_log = bool(os.environ.get("CI")) or os.environ.get("TERM") == "dumb"
    return Console(stderr=stderr, force_terminal=False if is_log and not os.environ.get("FORCE_COLOR") else None)


@contextmanager
def quietly(quiet: bool) -> Iterator[None]:
    """Within the block, `is_quiet` is true if `quiet` is."""
    token = _quiet.set(quiet or _quiet.get())
    try:
        yield
    finally:
        _quiet.reset(token)


def is_quiet() -> bool:
    """Whether only results and errors are shown."""
    return _quiet.get()
