"""Validate pictures concurrently: ordinary JPEGs in threads, in small batches, all others in child processes."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

from storage.records import ImageFacts
from tasks.images import sandbox
from tasks.images.validate import ImageLimits, Invalid, call_apart, is_bounded, validate_apart, validate_here

# Pictures that arrive within this time share a batch: a batch costs 0.05 CPU-ms and two thread switches.
_GATHER_S = 0.01
# The most pictures of a batch: one may take 0.3 CPU-s, for which the others wait.
_MAX_BATCH = 8
# One pool per process, whatever the number of units: more threads than cores take 4% more CPU time (measured). It is
# not shared with writes to the store, which may be slow.
_THREADS = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="checks")
# Threads that wait for child processes.
_WAITERS = ThreadPoolExecutor(sandbox.MOST_CHILDREN, thread_name_prefix="checks-apart")

Verdict = ImageFacts | Invalid


class ValidationPool:
    """`validate` for many concurrent callers. The decoders release the GIL, so threads use every core: 1.51 CPU-ms a
    picture against 2.05 in processes. Pictures that may cost more than an ordinary JPEG go to a child process, since
    a thread cannot be ended.
    """

    def __init__(self, limits: ImageLimits = ImageLimits(), apart: sandbox.Limits = sandbox.Limits()) -> None:
        self._limits = limits
        self._apart_limits = apart
        self._waiting: list[tuple[bytes, asyncio.Future[Verdict | None]]] = []
        self._timer: asyncio.TimerHandle | None = None

    async def verdict(self, data: bytes) -> Verdict:
        """The result of `validate`. A cancellation takes effect at once, whatever the picture."""
        batched = await self._batched(data)
        return await self._in_child(data) if batched is None else batched

    async def _batched(self, data: bytes) -> Verdict | None:
        """The result for a picture that is certainly cheap; None for any other."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Verdict | None] = loop.create_future()
        self._waiting.append((data, future))
        if len(self._waiting) == 1:
            self._timer = loop.call_later(_GATHER_S, self._submit_batch)
        elif len(self._waiting) == _MAX_BATCH:
            self._submit_batch()
        return await future

    async def _in_child(self, data: bytes) -> Verdict:
        call = call_apart(data, self._limits, self._apart_limits)
        try:
            return await asyncio.get_running_loop().run_in_executor(_WAITERS, validate_apart, call, data)
        except asyncio.CancelledError:
            call.stop()
            raise

    def _submit_batch(self) -> None:
        if self._timer:
            self._timer.cancel()
        pictures, futures = zip(*self._waiting, strict=True)
        self._waiting = []
        running = asyncio.get_running_loop().run_in_executor(_THREADS, self._validate_batch, pictures)
        running.add_done_callback(lambda done: _resolve(futures, done))

    def _validate_batch(self, pictures: tuple[bytes, ...]) -> list[Verdict | None]:
        return [validate_here(data, self._limits, bounded=True) if is_bounded(data) else None for data in pictures]


def _resolve(futures: tuple[asyncio.Future[Verdict | None], ...], done: asyncio.Future[list[Verdict | None]]) -> None:
    """Set each future to the result or error of its batch; cancelled ones are skipped."""
    error = None if done.cancelled() else done.exception()
    for number, future in enumerate(futures):
        if done.cancelled():
            future.cancel()
        elif error and not future.done():
            future.set_exception(error)
        elif not future.done():
            future.set_result(done.result()[number])
