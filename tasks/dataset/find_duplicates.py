"""Compare the pictures of a source: a separate step, run once per state of its lines and pictures.

unique/<source>/<stamp>.parquet     records.VERDICTS
"""

from __future__ import annotations

import pyarrow as pa

from storage.files.lake import Lake
from storage.tables.parquet import write_table
from tasks.dataset.dedupe import DedupeRules, dedupe
from tasks.dataset.people import PeopleRules, people_in
from tasks.dataset.source_tables import Comparison, comparison, planned_lines, read_verdicts
from tasks.dataset.unchanged import comparison_state, is_compared, keep_compared
from tasks.links.sources import names_people


def compare_pictures(
    lake: Lake, source: str, rules: DedupeRules = DedupeRules(), people: PeopleRules = PeopleRules()
) -> bool:
    """Write the verdicts on the planned lines whose picture was accepted; returns False if they exist already.

    All of VGGFace1 takes 35 CPU-s and 1.8 GB.

    Args:
        source: one source or several (`storage.text.source_names`); copies are found across all of them.
        people: which names in several sources are one person.
    """
    state = comparison_state(lake, source, rules, people)
    if is_compared(lake, source, state):
        return False
    lines = planned_lines(lake, source)
    asked = comparison(lake, source, people_in(lines, people).added_to(lines), rules)
    is_new = not lake.exists(asked.path)
    if is_new:
        write_table(lake, asked.path, _verdicts(lake, source, asked, rules), stamp=asked.stamp)
    keep_compared(lake, source, state, asked.stamp)
    return is_new


def verdicts_now(lake: Lake, source: str) -> pa.Table:
    """`records.VERDICTS` of the current pictures, read or else computed in memory; nothing is written."""
    lines = planned_lines(lake, source)
    asked = comparison(lake, source, lines)
    if lake.exists(asked.path):
        return read_verdicts(lake, source, lines)
    return _verdicts(lake, source, asked, DedupeRules())


def _verdicts(lake: Lake, source: str, asked: Comparison, rules: DedupeRules) -> pa.Table:
    return dedupe(asked.lines, asked.images, rules, names_people=names_people(source, lake))
