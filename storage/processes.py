"""Which process is this, and does it still run? Answered for processes of this machine alone."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from functools import cache
from pathlib import Path

_PROC = Path("/proc")
# Where the state and the start time stand among the words after the name in /proc/<pid>/stat (man 5 proc: 3 and 22).
_STATE, _START = 0, 19


@cache
def _machine() -> str:
    """This boot of this kernel, and the space its process numbers belong to; a container has one of its own.

    Raises:
        OSError: there is no /proc, or it is that of another space.
    """
    if (_PROC / "self").readlink().name != str(os.getpid()):
        raise FileNotFoundError("/proc shows the processes of another space")
    return f"{(_PROC / 'sys/kernel/random/boot_id').read_text().strip()}/{(_PROC / 'self/ns/pid').readlink()}"


def this_process() -> str:
    """A name that no other process has or will have; empty where the system does not tell."""
    with suppress(OSError):
        return f"{_machine()}/{os.getpid()}/{_started(os.getpid())}"
    return ""


def is_gone(name: str) -> bool:
    """Whether `this_process` of that name was one of this machine and runs no more; of others nothing is known."""
    machine, _, process = name.rpartition("/")[0].rpartition("/")
    try:
        return machine == _machine() and _has_ended(process, name.rpartition("/")[2])
    except OSError:
        return False


def process_mark() -> str:
    """`this_process` as a part of a file name, `<machine>-<pid>-<start>`; empty where the system does not tell."""
    with suppress(OSError):
        return f"{_machine_digest()}-{os.getpid()}-{_started(os.getpid())}"
    return ""


def is_mark_of_here(mark: str) -> bool:
    """Whether `process_mark` gave this for a process of this boot and this space of process numbers."""
    with suppress(OSError):
        words = mark.split("-")
        return len(words) == 3 and words[0] == _machine_digest() and words[1].isdecimal() and words[2].isdecimal()
    return False


def is_gone_mark(mark: str) -> bool:
    """Whether the process of a mark of here (`is_mark_of_here`) has ended. One that cannot be seen is taken to run."""
    _, pid, started = mark.split("-")
    return _has_ended(pid, started)


@cache
def _machine_digest() -> str:
    return hashlib.sha256(_machine().encode()).hexdigest()[:12]


def _has_ended(pid: str, started: str) -> bool:
    try:
        return _started(int(pid)) != started
    except FileNotFoundError:
        return not _is_running(int(pid))
    except ProcessLookupError:
        return True
    except (OSError, ValueError):
        return False


def _is_running(pid: int) -> bool:
    """Whether there is a process of this number; /proc may hide those of other users (`hidepid`)."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _started(pid: int) -> str:
    """When it started, in ticks since boot: a number that is used again later has another.

    Raises:
        ProcessLookupError: it has ended, and its parent has not asked how.
    """
    words = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    if words[_STATE] in "ZX":
        raise ProcessLookupError(pid)
    return words[_START]
