"""How many lines went in, came out and were rejected at each stage, by reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from storage.records import FORMER_REASONS
from tasks.dataset.select import Stage

# In addition to the reasons of `records.Reason`: lines that have not reached a stage yet, and lines not selected.
PENDING, NOT_PLANNED = "pending", "not_planned"


@dataclass(frozen=True, slots=True)
class FunnelStage:
    """The counts of one stage. `num_in` is always the sum of `num_out` and the rejected lines."""

    stage: str
    num_in: int
    num_out: int
    rejected: dict[str, int]


@dataclass(frozen=True, slots=True)
class Funnel:
    """All stages of one method in order. The input of each stage is the output of the one before."""

    method: str
    stages: tuple[FunnelStage, ...]

    def to_json(self) -> dict[str, Any]:
        """The funnel as a JSON value."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Funnel:
        """The funnel of a value of `to_json`, such as in a manifest."""
        return cls(value["method"], tuple(map(_stage, value["stages"])))

    def rows(self) -> list[dict[str, Any]]:
        """The funnel as rows of a table for people: each stage, and below it each reason."""
        rows: list[dict[str, Any]] = []
        for one in self.stages:
            lost = one.num_in - one.num_out
            rows.append({"stage": one.stage, "in": one.num_in, "out": one.num_out, "rejected": lost, "reason": ""})
            for reason, num in one.rejected.items():
                rows.append({"stage": "", "in": "", "out": "", "rejected": num, "reason": reason})
        return rows


def by_source(funnels: Mapping[str, Funnel]) -> list[dict[str, Any]]:
    """A row a source: its lines, and how many of them are left after each stage."""
    return [
        {"source": source, "lines": funnel.stages[0].num_in} | {one.stage: one.num_out for one in funnel.stages}
        for source, funnel in funnels.items()
    ]


def _stage(value: dict[str, Any]) -> FunnelStage:
    rejected = {FORMER_REASONS.get(reason, reason): num for reason, num in value["rejected"].items()}
    return FunnelStage(value["stage"], value["num_in"], value["num_out"], rejected)


def count_outcomes(outcomes: pa.Table, method: str, left_out: dict[str, int] | None = None) -> Funnel:
    """Count the outcomes of the lines that `select.select` found.

    Args:
        outcomes: stage and reason of every planned line.
        left_out: lines of the link files that were never planned, by reason; counted before the first stage.
    """
    stages: list[FunnelStage] = []
    left = len(outcomes)
    if left_out is not None:
        lost = dict(sorted(left_out.items()))
        stages.append(FunnelStage("links", left + sum(lost.values()), left, lost))
    for stage in Stage:
        if stage is Stage.SAMPLE:
            break
        stopped = outcomes["reason"].filter(pc.equal(outcomes["stage"], stage.value)).cast(pa.string())
        counts = {item["values"]: item["counts"] for item in pc.value_counts(stopped).to_pylist()}
        by_number = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))
        rejected = {reason or PENDING: num for reason, num in by_number}
        stages.append(FunnelStage(stage.value, left, left - len(stopped), rejected))
        left -= len(stopped)
    return Funnel(method, tuple(stages))
