"""Waiting for what takes a moment, and not for ever."""

from __future__ import annotations

import socket
from collections.abc import Callable

from tests import waiting


def wait_until(what: str, is_so: Callable[[], bool], within_s: float = 120.0) -> None:
    """Return once it is so.

    Raises:
        AssertionError: it is not within so many seconds.
    """
    waiting.wait_until(what, is_so, within_s, every_s=0.3)


def wait_for_port(address: str, port: int) -> None:
    """Return once something listens there."""
    wait_until(f"{address}:{port} listens", lambda: _listens(address, port))


def _listens(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=2).close()
    except OSError:
        return False
    return True
