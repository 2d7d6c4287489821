"""The event loop that a command's flow runs on: uvloop's, a tenth less CPU time a request, and asyncio's on Windows."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

if sys.platform == "win32":
    from asyncio import new_event_loop
else:
    from uvloop import new_event_loop

Result = TypeVar("Result")


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run `work` to its end."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(work)
