"""Processes that belong together: started in order, watched, stopped in reverse."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from storage.errors import ServiceError

# A worker that is told to stop waits for the runs it has; a run is safe to kill at any moment, so it is not given long.
_GRACE_S = 20.0
_LOOK_EVERY_S = 0.5
# A process that ends sooner than this after its start will end again: it is started again no more than so often.
_RESTART_AFTER_S = 5.0
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


@dataclass
class Process:
    """One process of the service. `vital`: when it ends, all end; another is started again."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    vital: bool = False
    running: subprocess.Popen[bytes] | None = None
    started_at_s: float = 0.0

    def start(self) -> None:
        """Start it, in a session of its own: Ctrl-C reaches only the parent, which stops them in order."""
        self.started_at_s = time.monotonic()
        self.running = subprocess.Popen(
            self.command,
            env=dict(self.environment),
            start_new_session=True,
            preexec_fn=_end_with_parent,  # noqa: PLW1509 - one system call, which takes no lock of another thread
        )

    def stop(self) -> None:
        """Ask it to end, and make it end if it does not."""
        if self.running is None or self.running.poll() is not None:
            return
        self.running.terminate()
        try:
            self.running.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.running.pid, signal.SIGKILL)
            self.running.wait()

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs, or before it was started."""
        return None if self.running is None else self.running.poll()


@contextmanager
def stopping(processes: Sequence[Process]) -> Iterator[None]:
    """Stop them, the last first, when the block ends; a SIGTERM ends it as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for process in reversed(processes):
            process.stop()
        signal.signal(signal.SIGTERM, before)


def look_after(
    processes: Iterable[Process], *, tell: Callable[[str], None], sleep: Callable[[float], None] = time.sleep
) -> None:
    """Start again what ends, for as long as the vital ones run.

    Raises:
        ServiceError: a vital one ended.
    """
    watched = list(processes)
    while True:
        for process in watched:
            if process.exit_code is None:
                continue
            if process.vital:
                raise ServiceError(
                    f"{process.name} ended with exit code {process.exit_code}: see its messages above, mend the cause, "
                    "and start the service again; what is done is in the lake"
                )
            sleep(max(0.0, process.started_at_s + _RESTART_AFTER_S - time.monotonic()))
            tell(f"{process.name} ended with exit code {process.exit_code}; started again")
            process.start()
        sleep(_LOOK_EVERY_S)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    """In the child: have the kernel end it when its parent is killed outright."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
