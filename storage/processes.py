"""Which process is this, and does it still run? Answered for processes of this machine alone."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache
from pathlib import Path

_PROC = Path("/proc")
# Where the state and the start time stand among the words after the name in /proc/<pid>/stat (man 5 proc: 3 and 22).
_STATE, _START = 0, 19


@cache
def _machine() -> str:
    """This boot of this kernel, and the space its process numbers belong to; a container has one of its own."""
    return f"{(_PROC / 'sys/kernel/random/boot_id').read_text().strip()}/{(_PROC / 'self/ns/pid').readlink()}"


def this_process() -> str:
    """A name that no other process has or will have; empty where the system does not tell."""
    with suppress(OSError):
        return f"{_machine()}/{os.getpid()}/{_started(os.getpid())}"
    return ""


def is_gone(name: str) -> bool:
    """Whether `this_process` of that name was one of this machine and runs no more; of others nothing is known."""
    machine, _, process = name.rpartition("/")[0].rpartition("/")
    started = name.rpartition("/")[2]
    try:
        if machine != _machine():
            return False
        return _started(int(process)) != started
    except (FileNotFoundError, ProcessLookupError):
        return True
    except (OSError, ValueError):
        return False


def _started(pid: int) -> str:
    """When it started, in ticks since boot: a number that is used again later has another.

    Raises:
        ProcessLookupError: it has ended, and its parent has not asked how.
    """
    words = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    if words[_STATE] in "ZX":
        raise ProcessLookupError(pid)
    return words[_START]
