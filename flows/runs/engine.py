"""Flows and tasks of Prefect that run as plain functions where no server is named.

Prefect records every run on a server, and starts one where PREFECT_API_URL names none: for a command with nothing to
do, most of its time (docs/adr/0008). Here a flow without a server is called directly: its parameters are validated
and its tasks are retried as Prefect does, and nothing is recorded.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar, cast

import prefect
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.events import emit_event
from prefect.exceptions import MissingContextError
from prefect.runtime import task_run
from prefect.settings import PREFECT_API_URL
from prefect.utilities.callables import get_call_parameters

from flows.telemetry.log import NAME

P = ParamSpec("P")
R = TypeVar("R")

_LOG = logging.getLogger(NAME)
# The number of the running attempt of a task that is called directly.
_attempt: ContextVar[int] = ContextVar("attempt", default=1)


def is_recorded() -> bool:
    """Whether runs are recorded on a server, the one that PREFECT_API_URL names."""
    return bool(PREFECT_API_URL.value())


class Flow(prefect.Flow[P, R]):
    """A flow of Prefect; without a server, a function with validated parameters."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:  # type: ignore[override]
        """Run the flow; an asynchronous one returns a coroutine."""
        if is_recorded():
            return super().__call__(*args, **kwargs)
        parameters = self.validate_parameters(get_call_parameters(self.fn, args, kwargs))
        return cast(Callable[..., R], self.fn)(**parameters)


def flow(*, name: str, flow_run_name: str) -> Callable[[Callable[P, R]], Flow[P, R]]:
    """Decorator of a flow. Results are not persisted: the lake holds them."""

    def made(function: Callable[P, R]) -> Flow[P, R]:
        return Flow(function, name=name, flow_run_name=flow_run_name, persist_result=False)

    return made


class Task(prefect.Task[P, R]):
    """A task of Prefect; without a server, a function that is retried."""

    final: tuple[type[BaseException], ...] = ()

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:  # type: ignore[override]
        """Run the task; an asynchronous one returns a coroutine."""
        if is_recorded():
            return super().__call__(*args, **kwargs)
        run = self._attempts_async if self.isasync else self._attempts
        return cast(R, run(args, kwargs))

    def _attempts(self, args: Any, kwargs: Any) -> Any:
        for attempt in range(1, self.retries + 2):
            _attempt.set(attempt)
            try:
                return self.fn(*args, **kwargs)
            except Exception as error:
                if self._is_last(error, attempt):
                    raise
                time.sleep(self._pause_s(error, attempt))
        raise AssertionError("the last attempt returns or raises")

    async def _attempts_async(self, args: Any, kwargs: Any) -> Any:
        for attempt in range(1, self.retries + 2):
            _attempt.set(attempt)
            try:
                return await cast(Any, self.fn)(*args, **kwargs)
            except Exception as error:
                if self._is_last(error, attempt):
                    raise
                await asyncio.sleep(self._pause_s(error, attempt))
        raise AssertionError("the last attempt returns or raises")

    def _is_last(self, error: Exception, attempt: int) -> bool:
        return isinstance(error, self.final) or attempt > self.retries

    def _pause_s(self, error: Exception, attempt: int) -> float:
        """Seconds until the next attempt, which are logged."""
        pause_s = float(cast(float, self.retry_delay_seconds or 0))
        _LOG.warning("task %s: attempt %d failed, next in %g s: %r", self.name, attempt, pause_s, error)
        return pause_s


def task(
    *,
    name: str,
    task_run_name: str,
    tags: list[str],
    retries: int,
    retry_delay_seconds: float = 0,
    final: tuple[type[BaseException], ...] = (),
) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Decorator of a task. Results are neither cached nor persisted: the lake holds them.

    Args:
        final: errors after which the task is not retried.
    """

    def is_retried(task: Any, run: Any, state: State[Any]) -> bool:
        # `state.data`: calling `result()` on an async task's state makes Prefect stop retrying (3.8.8).
        return not isinstance(state.data, final)

    def made(function: Callable[P, R]) -> Task[P, R]:
        new: Task[P, R] = Task(
            function,
            name=name,
            task_run_name=task_run_name,
            tags=tags,
            retries=retries,
            retry_delay_seconds=retry_delay_seconds,
            retry_condition_fn=is_retried,
            cache_policy=NO_CACHE,
            persist_result=False,
        )
        new.final = final
        return new

    return made


def attempt() -> int:
    """The number of the running attempt of this task, from 1."""
    return task_run.run_count or 1 if is_recorded() else _attempt.get()


def run_logger() -> logging.Logger | logging.LoggerAdapter[Any]:
    """The logger of the running flow or task."""
    try:
        return prefect.get_run_logger()
    except MissingContextError:
        return _LOG


def emit(event: str, resource: dict[str, str], payload: dict[str, Any]) -> None:
    """Emit an event of Prefect, to which automations react, if runs are recorded."""
    if is_recorded():
        emit_event(event, resource, payload=payload)
