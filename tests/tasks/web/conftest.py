from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.virtual_time import VirtualTimeLoop


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Tests of one request and its limits run in virtual time."""
    return {"virtual time": VirtualTimeLoop}
