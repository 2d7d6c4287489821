"""Processes that belong together: started, watched, started again, stopped."""

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

# A worker that is told to stop ends the runs it has and waits for them; a run is safe to kill at any moment, so it is
# not given long.
_GRACE_S = 8.0
_LOOK_EVERY_S = 0.5
# One that ends soon after its start will end again. It is started no more often than this, and given up after so many
# times in a row. What is killed, by a person or by a system short of memory, is not at fault.
_RESTART_AFTER_S = 5.0
_MAX_SHORT_LIVES = 5
_SHORT_LIFE_S = 20.0
_KILLED = {-signal.SIGKILL, -signal.SIGTERM}
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
            # A child that reads the terminal would be stopped, or take what is typed.
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_end_with_parent,  # noqa: PLW1509 - one system call, which takes no lock of another thread
        )

    def ask_to_end(self) -> None:
        """Send it SIGTERM, if it runs."""
        if self.running is not None:
            self.running.terminate()

    def end_by(self, until_s: float) -> None:
        """Wait for its end until then, on the clock of `time.monotonic`; then kill what is left of it."""
        if self.running is not None:
            with suppress(subprocess.TimeoutExpired):
                self.running.wait(max(until_s - time.monotonic(), 0.0))
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
def stopping(*stops: Callable[[], None]) -> Iterator[None]:
    """Call these in order when the block ends, however it does; a SIGTERM ends it as Ctrl-C does.

    A second signal is not heard while they are at work: each is bounded, and half a stop would leave processes behind.
    """
    before = {one: signal.signal(one, _interrupt) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for one in before:
            signal.signal(one, signal.SIG_IGN)
        for stop in stops:
            stop()
        for one, handler in before.items():
            signal.signal(one, handler)


def stop_all(processes: Sequence[Process]) -> None:
    """Ask all of them to end, all at once, and make those end that have not after a while."""
    for process in processes:
        process.ask_to_end()
    until = time.monotonic() + _GRACE_S
    for process in processes:
        process.end_by(until)


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
    if process.exit_code not in _KILLED:
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
