"""The processes of flow runs on this machine.

A run may outlive a worker that is killed. Such a run is not counted, cannot be cancelled and does not prevent the next
from starting. Therefore a run is ended with its worker.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

# Environment variable that a service passes to its workers and their runs, to identify them.
SERVICE = "FACEMILL_SERVICE"
# Environment variable that a worker sets for a run's process; its children inherit it.
_RUN = "PREFECT__FLOW_RUN_ID"
_GRACE_S = 5.0
_LOOK_EVERY_S = 0.2


class RunProcess(NamedTuple):
    """A process of a run: its main process or a descendant."""

    pid: int
    run: UUID
    service: str


def end_runs(runs: Collection[UUID]) -> None:
    """End the processes of these runs on this machine."""
    _end(lambda process: process.run in runs)


def end_runs_of(service: str) -> None:
    """End all runs of a service on this machine, by its value of `SERVICE`."""
    _end(lambda process: process.service == service)


def _end(is_meant: Callable[[RunProcess], bool]) -> None:
    """Terminate processes, and kill those that do not end. A run can be killed safely at any time."""
    for one in (signal.SIGTERM, signal.SIGKILL):
        for process in filter(is_meant, _processes()):
            with suppress(ProcessLookupError):
                os.kill(process.pid, one)
        until = time.monotonic() + _GRACE_S
        while any(map(is_meant, _processes())) and time.monotonic() < until:
            time.sleep(_LOOK_EVERY_S)


def _processes() -> list[RunProcess]:
    found: list[RunProcess] = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        # A process may end meanwhile or belong to another user; an ended one has no environment.
        with suppress(OSError):
            words = path.read_bytes().decode(errors="replace").split("\0")
            environment = dict(word.split("=", 1) for word in words if "=" in word)
            if _RUN in environment:
                run = UUID(environment[_RUN])
                found.append(RunProcess(int(path.parent.name), run, environment.get(SERVICE, "")))
    return found
