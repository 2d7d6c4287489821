"""Contact sheets of the lines that have a picture and are no samples: by reason, beside what they copy or contest."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from flows.reports import page
from flows.reports.counterparts import RELATIONS, counterparts
from flows.reports.funnel_pictures import Pictures, evenly
from storage.records import Reason
from storage.versions.datasets import DatasetVersion
from tasks.dataset.dedupe import DedupeRules
from tasks.dataset.select import Stage

# A cluster joins copies of copies: two of its pictures may be farther apart than two copies.
_LONGEST_CHAIN = 2
_COPIES = (Reason.EXACT_DUPLICATE.value, Reason.NEAR_DUPLICATE.value)


def rejected_sheets(dataset: DatasetVersion, outcomes: pa.Table, pictures: Pictures, most: int) -> list[dict[str, Any]]:
    """The reasons, most frequent first, with figures: the crop, else the picture; in pairs, with the counterpart.

    Args:
        outcomes: `records.LINE_OUTCOMES` that may be shown, with dictionary columns decoded.
        most: number of figures for each reason.
    """
    others = pa.array([Stage.FETCH.value, Stage.SAMPLE.value])
    stopped = outcomes.filter(pc.invert(pc.is_in(outcomes["stage"], value_set=others)))
    rules = dataset.manifest.get("dedupe") or {}
    bits = _LONGEST_CHAIN * rules.get("near_distance", DedupeRules().near_distance)
    found = []
    for reason, num in reason_counts(stopped):
        rows = stopped.filter(pc.equal(stopped["reason"], reason))
        rows = rows.take(pa.array(evenly(len(rows), most)))
        found.append({"reason": reason, "num": num, "figures": _figures(reason, rows, outcomes, pictures, bits)})
    return found


def reason_counts(rows: pa.Table) -> list[tuple[str, int]]:
    """Rows by reason, most frequent first."""
    found = pc.value_counts(rows["reason"].drop_null()).to_pylist()
    return page.most_first({item["values"]: item["counts"] for item in found})


def _figures(reason: str, rows: pa.Table, outcomes: pa.Table, pictures: Pictures, bits: int) -> list[page.Figure]:
    # A copy stopped as a whole picture, so what it copies is shown whole too.
    whole = True if reason in _COPIES else None
    others, at = counterparts(reason, rows, outcomes, pictures.looks, bits)
    others = others.take(pa.array(at[at >= 0]))
    beside = iter(zip(others.to_pylist(), pictures.of_stopped(others, whole=whole), strict=True))
    figures, shown = [], set[frozenset[str]]()
    for row, data, other in zip(rows.to_pylist(), pictures.of_stopped(rows, whole=whole), at.tolist(), strict=True):
        if other < 0:
            figures.append(page.figure([data], _line(row)))
            continue
        line, picture = next(beside)
        # Both lines of a conflict stop: the second would be shown beside the first again.
        if (pair := frozenset({_line(row), _line(line)})) not in shown:
            figures.append(page.figure([data, picture], f"{_line(row)}, {RELATIONS[reason]} {_line(line)}"))
        shown.add(pair)
    return figures


def _line(row: dict[str, Any]) -> str:
    return f"{row['identity'].replace('_', ' ')} {row['line']}"
