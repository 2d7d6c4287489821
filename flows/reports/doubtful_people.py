"""Statistics of a dataset version: main hosts, hosts and people with the most losses, and worst listed boxes."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from tasks.dataset.funnel import PENDING
from tasks.dataset.select import Stage
from tasks.fetch.ledger import host_of


class Offender(NamedTuple):
    """Counts of one host's or person's lines: total, fetch failures, and samples.

    `lost`: the other lines by reason, most frequent first.
    """

    name: str
    num_lines: int
    num_failed: int
    num_samples: int
    lost: dict[str, int]


class Giver(NamedTuple):
    """The numbers of samples from one host, and of the people in them."""

    name: str
    num_samples: int
    num_people: int


class LooseFit(NamedTuple):
    """The number of a person's samples, and the mean IoU of the listed boxes with the detected faces."""

    name: str
    num_samples: int
    agreement: float


def main_hosts(index: pa.Table, num: int) -> list[Giver]:
    """The hosts with the most samples.

    Args:
        index: `records.SAMPLES`, with dictionary columns decoded.
    """
    index = index.select(["identity", "url"]).append_column("host", host_of(index["url"]))
    groups = index.group_by("host").aggregate([("url", "count"), ("identity", "count_distinct")])
    rows = groups.sort_by([("url_count", "descending"), ("host", "ascending")]).slice(0, num).to_pylist()
    return [Giver(row["host"], row["url_count"], row["identity_count_distinct"]) for row in rows]


def worst_hosts(outcomes: pa.Table, num: int) -> list[Offender]:
    """The hosts with the most lines that could not be fetched.

    Args:
        outcomes: `records.LINE_OUTCOMES`, with dictionary columns decoded.
    """
    outcomes = outcomes.append_column("host", host_of(outcomes["url"]))
    in_vain = pc.and_(pc.equal(outcomes["stage"], Stage.FETCH.value), pc.is_valid(outcomes["reason"]))
    counts = _counted(outcomes.append_column("lost", in_vain), "host")
    counts = counts.filter(pc.greater(counts["lost_sum"], 0))
    order = [("lost_sum", "descending"), ("lost_count", "ascending"), ("host", "ascending")]
    return _offenders(outcomes, "host", counts.sort_by(order).slice(0, num)["host"])


def worst_people(outcomes: pa.Table, num: int) -> list[Offender]:
    """The people with the smallest share of samples among their lines; ties: most lines first."""
    counts = _counted(outcomes.append_column("lost", pc.not_equal(outcomes["stage"], Stage.SAMPLE.value)), "identity")
    share = pc.divide(counts["lost_sum"].cast(pa.float64()), counts["lost_count"])
    counts = counts.append_column("share", share).filter(pc.greater(share, 0))
    order = [("share", "descending"), ("lost_count", "descending"), ("identity", "ascending")]
    return _offenders(outcomes, "identity", counts.sort_by(order).slice(0, num)["identity"])


def loosest_fits(index: pa.Table, num: int) -> list[LooseFit]:
    """The people with the lowest mean IoU of listed boxes and faces; none if the source has no boxes.

    Args:
        index: `records.SAMPLES`, with dictionary columns decoded.
    """
    groups = index.group_by("identity").aggregate([("agreement", "mean"), ("agreement", "count")])
    groups = groups.filter(pc.is_valid(groups["agreement_mean"]))
    rows = groups.sort_by([("agreement_mean", "ascending"), ("identity", "ascending")]).slice(0, num).to_pylist()
    return [LooseFit(row["identity"], row["agreement_count"], row["agreement_mean"]) for row in rows]


def _counted(outcomes: pa.Table, column: str) -> pa.Table:
    outcomes = outcomes.set_column(outcomes.column_names.index("lost"), "lost", outcomes["lost"].cast(pa.int64()))
    return outcomes.group_by(column).aggregate([("lost", "sum"), ("lost", "count")])


def _offenders(outcomes: pa.Table, column: str, names: pa.ChunkedArray) -> list[Offender]:
    """The counts of the given `names` of a column, in their order."""
    rows = outcomes.filter(pc.is_in(outcomes[column], value_set=names.combine_chunks()))
    groups = rows.group_by([column, "stage", "reason"]).aggregate([("line", "count")]).to_pylist()
    by_name: dict[str, Counter[tuple[str, str]]] = {name: Counter() for name in names.to_pylist()}
    for group in groups:
        by_name[group[column]][group["stage"], group["reason"] or PENDING] += group["line_count"]
    return [_offender(name, ends) for name, ends in by_name.items()]


def _offender(name: str, ends: Counter[tuple[str, str]]) -> Offender:
    lost, failed, samples = Counter[str](), 0, 0
    for (stage, reason), num in ends.items():
        if stage == Stage.SAMPLE.value:
            samples += num
            continue
        lost[reason] += num
        failed += num if stage == Stage.FETCH.value and reason != PENDING else 0
    return Offender(name, ends.total(), failed, samples, dict(lost.most_common()))
