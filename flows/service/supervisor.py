"""Process supervisor: start, watch, restart and stop a group of processes."""

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

# A stopping worker ends its runs and waits for them. A run can be killed safely at any time, so the wait is short.
_GRACE_S = 8.0
_LOOK_EVERY_S = 0.5
# A process that ends soon after its start will probably end again: it is restarted at this interval, at most so many
# times in a row. A process killed by a person or by the out-of-memory killer does not count.
_RESTART_AFTER_S = 5.0
_MAX_SHORT_LIVES = 5
_SHORT_LIFE_S = 20.0
_KILLED = {-signal.SIGKILL, -signal.SIGTERM}
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


@dataclass
class Process:
    """A process of the service.

    `recover` cleans up after an unexpected end. It is called before a restart, and again later if it returns False.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    recover: Callable[[], bool] = lambda: True
    running: subprocess.Popen[bytes] | None = None
    started_at_s: float = 0.0
    num_short_lives: int = 0

    def start(self) -> None:
        """Start the process in its own session: Ctrl-C reaches only the parent, which stops the processes in order."""
        self.started_at_s = time.monotonic()
        self.running = subprocess.Popen(
            self.command,
            env=dict(self.environment),
            # A child that reads the terminal would be stopped, or would consume the input.
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_end_with_parent,  # noqa: PLW1509 - one system call, without locks
        )

    def terminate(self) -> None:
        """Send SIGTERM if the process runs."""
        if self.running is not None:
            self.running.terminate()

    def end_by(self, until_s: float) -> None:
        """Wait until `until_s` (`time.monotonic`) for the end of the process; then kill it."""
        if self.running is not None:
            with suppress(subprocess.TimeoutExpired):
                self.running.wait(max(until_s - time.monotonic(), 0.0))
        self.kill_group()

    def kill_group(self) -> None:
        """Kill the process and its children: a server's child would keep the port, a worker's run would continue."""
        if self.running is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.running.pid, signal.SIGKILL)
            self.running.wait()

    @property
    def exit_code(self) -> int | None:
        """Exit code; None while running or before the start."""
        return None if self.running is None else self.running.poll()


@contextmanager
def stopping(*stops: Callable[[], None]) -> Iterator[None]:
    """Call these in order when the block ends, for whatever reason. SIGTERM ends the block like Ctrl-C.

    A second signal is ignored meanwhile: each call is bounded in time, and a partial stop would leave processes behind.
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
    """Terminate all processes at once, and kill those that have not ended after a while."""
    for process in processes:
        process.terminate()
    until = time.monotonic() + _GRACE_S
    for process in processes:
        process.end_by(until)


def supervise(
    processes: Sequence[Process], *, report: Callable[[str], None], sleep: Callable[[float], None] = time.sleep
) -> None:
    """Restart processes that end, until one repeatedly ends right after its start.

    Raises:
        ServiceError: a process failed repeatedly.
    """
    while True:
        for process in processes:
            if process.exit_code is not None:
                process.kill_group()
                if process.recover():
                    _start_again(process, report, sleep)
        sleep(_LOOK_EVERY_S)


def _start_again(process: Process, report: Callable[[str], None], sleep: Callable[[float], None]) -> None:
    age_s = time.monotonic() - process.started_at_s
    if process.exit_code not in _KILLED:
        process.num_short_lives = process.num_short_lives + 1 if age_s < _SHORT_LIFE_S else 0
    if process.num_short_lives >= _MAX_SHORT_LIVES:
        raise ServiceError(
            f"{process.name} ended {_MAX_SHORT_LIVES} times within {_SHORT_LIFE_S:.0f} s of its start, the last time "
            f"with exit code {process.exit_code}: see its messages above, fix the cause, and restart the service"
        )
    sleep(max(0.0, _RESTART_AFTER_S - age_s))
    report(f"{process.name} ended with exit code {process.exit_code}; restarting")
    process.start()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    """In the child: let the kernel end it when its parent is killed."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
