"""What all tests of leases share."""

from __future__ import annotations

import subprocess
import sys

import pytest

from storage.files.lake import Lake


@pytest.fixture
def lake(lake_anywhere: Lake) -> Lake:
    """A lake on this disk, and in two object stores."""
    return lake_anywhere


@pytest.fixture(scope="session")
def ended_process() -> str:
    """A process of this machine that has ended, as a lease names it."""
    program = "from storage.files.processes import this_process; print(this_process())"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
