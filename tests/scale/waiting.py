"""Waiting for what takes a moment, and not for ever."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable


def wait_until(what: str, is_so: Callable[[], bool], within_s: float = 120.0) -> None:
    """Return once it is so.

    Raises:
        AssertionError: it is not within so many seconds.
    """
    until = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < until, f"{what}: not within {within_s:.0f} s"
        time.sleep(0.3)


def wait_for_port(address: str, port: int) -> None:
    """Return once something listens there."""
    wait_until(f"{address}:{port} listens", lambda: _listens(address, port))


def _listens(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=2).close()
    except OSError:
        return False
    return True
