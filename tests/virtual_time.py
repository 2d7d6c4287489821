"""An event loop for tests of timeouts, pauses and rates: no verdict depends on how fast or how busy the machine is."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

# How long to wait for bytes before the clock moves. Loopback delivers them within the call that sends them, unless the
# kernel puts that off.
_SETTLE_S = 0.005
# A round of the loop takes a moment, so that what waits for less than the resolution of a float is not asleep forever.
_ROUND_S = 1e-9


def now_s() -> float:
    """The time of the running loop."""
    return asyncio.get_running_loop().time()


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop whose `time()` moves only when nothing else can happen, and then straight to the next timer.

    While a callback is ready, bytes are to be read or a job runs in a thread, the clock stands: a slow machine misses
    no deadline. While everything waits, the clock jumps: sleeping for an hour takes no time. Timers fire in the order
    of their times, and tests may compare those to a few digits. Bytes have to come from this process. Jobs
    have to be started by `run_in_executor` or `asyncio.to_thread`, and may not wait for a timer of the loop.
    """

    def __init__(self) -> None:
        self._waits = _Waits()
        super().__init__(self._waits)

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._waits.now_s

    def run_in_executor(  # type: ignore[override]  # asyncio types the arguments by those of func
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Start a job. The clock stands until it is done."""
        future = super().run_in_executor(executor, func, *args)
        self._waits.num_jobs += 1
        future.add_done_callback(self._waits.end_job)
        return future

    async def shutdown_default_executor(self, *args: Any) -> None:
        """Wait for the threads to end. The clock stands meanwhile."""
        self._waits.num_jobs += 1
        await super().shutdown_default_executor(*args)
        self._waits.num_jobs -= 1


class _Waits(selectors.DefaultSelector):
    """A selector that moves a clock instead of waiting, unless a job is running."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.num_jobs = 0

    def end_job(self, _: object) -> None:
        self.num_jobs -= 1

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now_s += _ROUND_S
        if timeout is None or self.num_jobs:
            return super().select(0 if timeout == 0 else None)
        events = super().select(min(timeout, _SETTLE_S))
        if not events:
            self.now_s += max(timeout, 0.0)
        return events
