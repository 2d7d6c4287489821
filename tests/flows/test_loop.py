from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from flows.loop import run


async def its_loop() -> str:
    return type(asyncio.get_running_loop()).__name__


def test_a_flow_runs_on_uvloop_where_that_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = "import asyncio\nclass Loop(asyncio.SelectorEventLoop): pass\nnew_event_loop = Loop\n"
    (tmp_path / "uvloop.py").write_text(stand_in)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "uvloop", raising=False)

    assert run(its_loop()) == "Loop"


def test_a_flow_runs_on_the_loop_of_asyncio_where_uvloop_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.loop.find_spec", lambda name: None)

    assert run(its_loop()) == type(asyncio.new_event_loop()).__name__
