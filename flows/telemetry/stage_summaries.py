"""Report each pipeline stage as it ends, so that a failure in a later stage does not hide its result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from flows.runs.engine import is_recorded, run_logger
from flows.telemetry.stage_words import log_lines

Watcher = Callable[[str, Any], None]
_on_end: ContextVar[Watcher | None] = ContextVar("on_end", default=None)
_on_part: ContextVar[Watcher | None] = ContextVar("on_part", default=None)


@contextmanager
def watching(on_end: Watcher, on_part: Watcher = lambda stage, part: None) -> Iterator[None]:
    """Within the block, call `on_end` with the name and result of each stage as it ends.

    Args:
        on_part: called with the name of a stage and a finished part of its result, such as one of several datasets.
    """
    tokens = _on_end.set(on_end), _on_part.set(on_part)
    try:
        yield
    finally:
        _on_end.reset(tokens[0])
        _on_part.reset(tokens[1])


def stage_ended(name: str, result: Any) -> None:
    """Report the end of a stage to the active `watching` block, and in the log of a run that is recorded."""
    for line in log_lines(name, result) if is_recorded() else []:
        run_logger().info("%s", line)
    if on_end := _on_end.get():
        on_end(name, result)


def part_ended(name: str, part: Any) -> None:
    """Report a finished part of a stage to the active `watching` block."""
    if on_part := _on_part.get():
        on_part(name, part)
