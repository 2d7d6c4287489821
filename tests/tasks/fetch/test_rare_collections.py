"""A process that fetches collects garbage rarely, and what was loaded before not at all."""

from __future__ import annotations

import subprocess
import sys

COUNT = """
import gc
from tasks.fetch.rare_collections import collect_rarely
before = len(gc.get_objects())
first = gc.get_threshold()[0]
collect_rarely()
assert gc.get_freeze_count() > 0.9 * before and len(gc.get_objects()) < before / 10
assert gc.get_threshold()[0] > 5 * first
gc.unfreeze()
collect_rarely()
assert gc.get_freeze_count() == 0
"""


def test_what_is_loaded_is_frozen_once_and_collections_are_rarer() -> None:
    subprocess.run([sys.executable, "-c", COUNT], check=True)
