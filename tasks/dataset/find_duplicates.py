"""Compare the pictures of a source: a separate step, run once per state of its lines and pictures.

unique/<source>/<stamp>.parquet     records.VERDICTS
"""

from __future__ import annotations

import pyarrow as pa

from storage.errors import UsageError
from storage.files.lake import Lake
from storage.records import VERDICTS
from storage.tables.parquet import read_as, read_if_there, write_table
from storage.tables.stored_rows import StoredRows
from storage.text.source_names import is_joint
from tasks.dataset.dedupe import OF_LINES, DedupeRules, dedupe
from tasks.dataset.people import PeopleRules, people_in
from tasks.dataset.source_tables import Comparison, comparison, stored_lines
from tasks.dataset.unchanged import compared, comparison_state, keep_compared
from tasks.links.sources import names_people


def compare_pictures(
    lake: Lake, source: str, rules: DedupeRules = DedupeRules(), people: PeopleRules = PeopleRules()
) -> bool:
    """Write the verdicts on the planned lines whose picture was accepted; returns False if they exist already.

    A million lines take 5 CPU-s (`bench.versions`), 50 million fit 12 GB.

    Args:
        source: one source or several (`storage.text.source_names`); copies are found across all of them.
        people: which names in several sources are one person.
    """
    state = comparison_state(lake, source, rules, people)
    if compared(lake, source, state):
        return False
    asked = comparison(lake, source, _lines(lake, source, people), rules)
    is_new = not lake.exists(asked.path)
    if is_new:
        write_table(lake, asked.path, _verdicts(lake, source, asked, rules), stamp=asked.stamp)
    keep_compared(lake, source, state, asked.stamp)
    return is_new


def read_verdicts(
    lake: Lake,
    source: str,
    rules: DedupeRules = DedupeRules(),
    people: PeopleRules = PeopleRules(),
    columns: list[str] | None = None,
) -> pa.Table:
    """The verdicts on the planned lines whose picture was accepted (`records.VERDICTS`), in the order of the lines; of
    several sources with the column `source`.

    Args:
        columns: some of them; None for all.

    Raises:
        UsageError: the pictures have not been compared as they are now.
    """
    known = compared(lake, source, comparison_state(lake, source, rules, people))
    if known and not is_joint(source):
        return read_as(lake, lake.unique(source, known), VERDICTS, columns)
    asked = comparison(lake, source, _lines(lake, source, people), rules)
    if not lake.exists(asked.path):
        raise UsageError(
            f"the {len(asked.images):,} pictures of {source} in {lake.url} have not been compared since they changed: "
            f"run `facemill publish --source {source}` first"
        )
    verdicts = read_as(lake, asked.path, VERDICTS, columns)
    if not is_joint(source):
        return verdicts
    return verdicts.append_column("source", asked.listed.table(["identity"])["source"])


def verdicts_now(lake: Lake, source: str) -> pa.Table:
    """`records.VERDICTS` of the current pictures, read or else computed in memory; nothing is written."""
    asked = comparison(lake, source, stored_lines(lake, source))
    known = read_if_there(lake, asked.path, VERDICTS)
    return _verdicts(lake, source, asked, DedupeRules()) if known is None else known


def _lines(lake: Lake, source: str, people: PeopleRules) -> StoredRows:
    listed = stored_lines(lake, source)
    return listed.changed(people_in(listed.table(["identity"]), people).added_to) if is_joint(source) else listed


def _verdicts(lake: Lake, source: str, asked: Comparison, rules: DedupeRules) -> pa.Table:
    lines = asked.listed.table(OF_LINES)
    return dedupe(lines, asked.images, rules, names_people=names_people(source, lake), listed=asked.listed)
