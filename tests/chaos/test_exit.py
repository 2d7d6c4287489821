"""Processes that end right after they have read a table, and what they end with."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from storage.files.lake import Lake
from storage.tables.parquet import write_table

pytestmark = pytest.mark.chaos
_PROCESSES = 400
_READ_AND_END = """
import collections, json, os, sys
from storage.files.lake import Lake
from storage.tables.parquet import read_table
codes = collections.Counter()
for _ in range(int(sys.argv[2])):
    child = os.fork()
    if not child:
        read_table(Lake(sys.argv[1]), "plan/made.parquet")
        sys.exit()
    codes[os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])] += 1
print(json.dumps(codes))
"""


def test_a_process_that_ends_right_after_it_has_read_a_table_ends_well(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    write_table(lake, "plan/made.parquet", pa.table({f"{column}": np.arange(2000) for column in range(12)}))
    command = [sys.executable, "-c", _READ_AND_END, lake.url, str(_PROCESSES)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"0": _PROCESSES}, done.stderr[-1000:]
