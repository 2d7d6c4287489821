"""What each stage of a pipeline came to, told while later stages go on: a failure in the last one hides no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_on_end: ContextVar[Callable[[str, Any], None] | None] = ContextVar("on_end", default=None)


@contextmanager
def watching(on_end: Callable[[str, Any], None]) -> Iterator[None]:
    """In the block, call `on_end` with the name and the result of every stage as it ends."""
    token = _on_end.set(on_end)
    try:
        yield
    finally:
        _on_end.reset(token)


def stage_ended(name: str, result: Any) -> None:
    """Say that a stage has ended, to whoever watches."""
    if on_end := _on_end.get():
        on_end(name, result)
