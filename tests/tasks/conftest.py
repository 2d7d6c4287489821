from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest

from tasks.web.addresses import literal_address
from tests.virtual_time import VirtualTimeLoop


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Every test that awaits something does so in virtual time."""
    return {"virtual time": VirtualTimeLoop}


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
