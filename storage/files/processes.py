"""Identify processes of this machine and check whether they still run."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from functools import cache
from pathlib import Path

_PROC = Path("/proc")
# Positions of state and start time among the words after the name in /proc/<pid>/stat (man 5 proc: 3 and 22).
_STATE, _START = 0, 19


@cache
def _machine() -> str:
    """An id of this boot and this pid namespace; a container has a pid namespace of its own.

    Raises:
        OSError: there is no /proc, or it belongs to another pid namespace.
    """
    if (_PROC / "self").readlink().name != str(os.getpid()):
        raise FileNotFoundError("/proc shows the processes of another space")
    return f"{(_PROC / 'sys/kernel/random/boot_id').read_text().strip()}/{(_PROC / 'self/ns/pid').readlink()}"


def this_process() -> str:
    """A unique name of this process, never reused; empty where the system does not provide it."""
    with suppress(OSError):
        return f"{_machine()}/{os.getpid()}/{_started(os.getpid())}"
    return ""


def is_gone(name: str) -> bool:
    """Whether the process of that name ran on this machine and has ended; False for other machines (unknown)."""
    machine, _, process = name.rpartition("/")[0].rpartition("/")
    try:
        return machine == _machine() and _has_ended(process, name.rpartition("/")[2])
    except OSError:
        return False


def is_running(name: str) -> bool:
    """Whether the process of that name runs on this machine; False for other machines (unknown)."""
    machine, _, process = name.rpartition("/")[0].rpartition("/")
    try:
        return machine == _machine() and not _has_ended(process, name.rpartition("/")[2])
    except OSError:
        return False


def process_mark() -> str:
    """`this_process` as part of a file name, `<machine>-<pid>-<start>`; empty where unavailable."""
    with suppress(OSError):
        return f"{_machine_digest()}-{os.getpid()}-{_started(os.getpid())}"
    return ""


def is_mark_of_here(mark: str) -> bool:
    """Whether the mark belongs to a process of this boot and this pid namespace."""
    with suppress(OSError):
        words = mark.split("-")
        return len(words) == 3 and words[0] == _machine_digest() and words[1].isdecimal() and words[2].isdecimal()
    return False


def is_gone_mark(mark: str) -> bool:
    """Whether the process of a mark of here (`is_mark_of_here`) has ended. A hidden process counts as running."""
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
    """When it started, in ticks since boot: it distinguishes processes that reuse a pid.

    Raises:
        ProcessLookupError: it has ended, and its parent has not reaped it.
    """
    words = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    if words[_STATE] in "ZX":
        raise ProcessLookupError(pid)
    return words[_START]
