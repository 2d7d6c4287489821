"""Processes that belong together: started in order, watched, stopped in reverse."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from storage.errors import ServiceError

# A worker that is told to stop waits for the runs it has; a run is safe to kill at any moment, so it is not given long.
_GRACE_S = 20.0
_LOOK_EVERY_S = 0.5
# One that ends soon after its start will end again. It is started no more often than this, and given up after so many
# times in a row.
_RESTART_AFTER_S = 5.0
_MAX_SHORT_LIVES = 5
_SHORT_LIFE_S = 20.0
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


@dataclass
class Process:
    """One process of the service.

    `recover` mends what its sudden end left behind, and is called before it is started again; where it returns False
    it is called again later.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    recover: Callable[[], bool] = lambda: True
    running: subprocess.Popen[bytes] | None = None
    started_at_s: float = 0.0
    num_short_lives: int = 0

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
        with suppress(subprocess.TimeoutExpired):
            self.running.wait(_GRACE_S)
        self.kill_group()

    def kill_group(self) -> None:
        """Kill it and what it started: a server's own child would keep the port, a worker's run would go on unseen."""
        if self.running is not None:
            with suppress(ProcessLookupError):
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
    processes: Sequence[Process], *, tell: Callable[[str], None], sleep: Callable[[float], None] = time.sleep
) -> None:
    """Start again what ends, until one ends as soon as it is started, time after time.

    Raises:
        ServiceError: one did.
    """
    while True:
        for process in processes:
            if process.exit_code is not None:
                process.kill_group()
                if process.recover():
                    _start_again(process, tell, sleep)
        sleep(_LOOK_EVERY_S)


def _start_again(process: Process, tell: Callable[[str], None], sleep: Callable[[float], None]) -> None:
    age_s = time.monotonic() - process.started_at_s
    process.num_short_lives = process.num_short_lives + 1 if age_s < _SHORT_LIFE_S else 0
    if process.num_short_lives >= _MAX_SHORT_LIVES:
        raise ServiceError(
            f"{process.name} ended {_MAX_SHORT_LIVES} times within {_SHORT_LIFE_S:.0f} s of its start, the last time "
            f"with exit code {process.exit_code}: see its messages above, mend the cause, and start the service again"
        )
    sleep(max(0.0, _RESTART_AFTER_S - age_s))
    tell(f"{process.name} ended with exit code {process.exit_code}; started again")
    process.start()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    """In the child: have the kernel end it when its parent is killed outright."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
