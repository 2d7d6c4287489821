"""The processes of flow runs on this machine.

A worker starts each run in a session of its own, so a run may outlive its worker; then nobody counts it, cancels it or
keeps the next from starting beside it. So a run ends with its worker.
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

# What a service gives to its workers, and these to their runs, so that it knows them for its own.
SERVICE = "FACEMILL_SERVICE"
# What a worker puts into the environment of a run's process, and its children inherit.
_RUN = "PREFECT__FLOW_RUN_ID"
_GRACE_S = 5.0
_LOOK_EVERY_S = 0.2


class RunProcess(NamedTuple):
    """A process of a run: the run's own, or one that it has started."""

    pid: int
    run: UUID
    service: str


def end_runs(runs: Collection[UUID]) -> None:
    """End what these runs have for processes here."""
    _end(lambda process: process.run in runs)


def end_runs_of(service: str) -> None:
    """End all runs of a service here, by its word for itself under `SERVICE`."""
    _end(lambda process: process.service == service)


def _end(is_meant: Callable[[RunProcess], bool]) -> None:
    """Ask processes to end, and make those end that do not; a run is safe to kill at any moment."""
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
        # A process may end while it is looked at, or belong to somebody else; one that has ended has no environment.
        with suppress(OSError):
            words = path.read_bytes().decode(errors="replace").split("\0")
            environment = dict(word.split("=", 1) for word in words if "=" in word)
            if _RUN in environment:
                run = UUID(environment[_RUN])
                found.append(RunProcess(int(path.parent.name), run, environment.get(SERVICE, "")))
    return found
