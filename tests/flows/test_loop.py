from __future__ import annotations

import asyncio
import sys

import pytest

from flows.loop import run


@pytest.mark.skipif(sys.platform == "win32", reason="there is no uvloop for Windows")
def test_a_flow_runs_on_uvloop() -> None:
    async def its_loop() -> str:
        return type(asyncio.get_running_loop()).__module__

    assert run(its_loop()) == "uvloop"


def test_an_error_of_a_flow_is_raised_as_it_is() -> None:
    async def fail() -> None:
        raise LookupError("no such thing")

    with pytest.raises(LookupError, match="no such thing"):
        run(fail())
