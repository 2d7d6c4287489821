"""The public API: the names users import, and what importing them costs."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

import facemill


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", facemill.__all__)
def test_every_name_of_the_api_is_there_and_documented(name: str) -> None:
    assert getattr(facemill, name).__doc__


def test_every_name_imported_by_the_page_is_exported() -> None:
    public = {name for name, value in vars(facemill).items() if hasattr(value, "__module__") and name[0] != "_"}
    assert public == set(facemill.__all__)


def test_importing_loads_neither_torch_nor_prefect() -> None:
    code = "import sys, facemill; sys.exit(not {'torch', 'prefect', 'onnxruntime'}.isdisjoint(sys.modules))"
    assert python("-c", code).returncode == 0


def test_the_package_runs_the_command_line() -> None:
    ran = python("-m", "facemill", "--version")
    assert (ran.returncode, ran.stdout.strip()) == (0, f"facemill {version('facemill')}")
