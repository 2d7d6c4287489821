"""Report each pipeline stage as it ends, so that a failure in a later stage does not hide its result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_on_end: ContextVar[Callable[[str, Any], None] | None] = ContextVar("on_end", default=None)


@contextmanager
def watching(on_end: Callable[[str, Any], None]) -> Iterator[None]:
    """Within the block, call `on_end` with the name and result of each stage as it ends."""
    token = _on_end.set(on_end)
    try:
        yield
    finally:
        _on_end.reset(token)


def stage_ended(name: str, result: Any) -> None:
    """Report the end of a stage to the active `watching` block."""
    if on_end := _on_end.get():
        on_end(name, result)
