from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest

from tasks.web.addresses import literal_address
from tests.virtual_time import VirtualTimeLoop

_IN_VIRTUAL_TIME = ("web", "synthetic", "test_fetch.py")


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Tests of requests, their limits and their pauses run in virtual time; those of other processes do not."""
    is_virtual = any(name in item.path.parts for name in _IN_VIRTUAL_TIME)
    return {"loop": VirtualTimeLoop if is_virtual else asyncio.new_event_loop}


@pytest.fixture(autouse=True)
def no_name_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests stay on this machine: asking the system's resolver for a name fails the test."""
    real = socket.getaddrinfo

    def addresses_only(host: Any, *args: Any, **options: Any) -> Any:
        text = host.decode() if isinstance(host, bytes) else host
        if text not in (None, "", "localhost") and literal_address(text) is None:
            raise AssertionError(f"a test asked the system's resolver for {text!r}")
        return real(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", addresses_only)
