"""The funnel of all datasets of a run as one small table: what is left after each stage, and why, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flows.telemetry.fitting import fitted
from flows.telemetry.reason_words import reason_words
from storage.text.names import visible

_STAGE_COLUMNS = 8


def summary_lines(published: Sequence[Mapping[str, Any]], width: int) -> list[str]:
    """A heading, a line or a few for each stage, and a line for each dataset.

    Args:
        published: the result of `publish`, with the funnel of each dataset.
    """
    if not published:
        return []
    methods = [visible(one["funnel"]["method"]) for one in published]
    stages = [one["funnel"]["stages"] for one in published]
    columns = [
        max(len(method), *(len(f"{stage['num_in']:,}") for stage in of_one))
        for method, of_one in zip(methods, stages, strict=True)
    ]
    start = _STAGE_COLUMNS + 1 + sum(columns) + 2 * len(columns)
    heading = "".join(f"{method:>{column}}  " for method, column in zip(methods, columns, strict=True))
    lines = [f"{'after':<{_STAGE_COLUMNS}} {heading}top reasons"]
    for of_each in zip(*stages, strict=True):
        counts = [f"{stage['num_out']:>{column},}  " for stage, column in zip(of_each, columns, strict=True)]
        first, *more = _reasons(methods, of_each, width - start)
        lines.append(
            f"[bold]{of_each[0]['stage']}[/]".ljust(_STAGE_COLUMNS + 1 + len("[bold][/]")) + "".join(counts) + first
        )
        lines += [" " * start + line for line in more]
    return [line.rstrip() for line in lines] + [_dataset_line(one) for one in published]


def _reasons(methods: Sequence[str], stages: Sequence[Mapping[str, Any]], room: int) -> list[str]:
    """The most frequent reasons of a stage: on one line, or on one for each method if they differ."""
    told = [_top(stage["rejected"]) for stage in stages]
    if all(one == told[0] for one in told):
        return [fitted(told[0], room)]
    named = [(f"{method}: ", reasons) for method, reasons in zip(methods, told, strict=True) if reasons]
    return [name + fitted(reasons, room - len(name)) for name, reasons in named]


def _top(rejected: Mapping[str, int]) -> list[str]:
    by_number = sorted(rejected.items(), key=lambda item: -item[1])
    return [f"{visible(reason_words(reason))} {num:,}" for reason, num in by_number]


def _dataset_line(one: Mapping[str, Any]) -> str:
    existing = "" if one["is_new"] else " (existing)"
    note = f"; {one['note']}" if one.get("note") else ""
    return (
        f"[bold]dataset[/]  {one['dataset']}@{one['version']}{existing}: {one['samples']:,} faces of "
        f"{one['identities']:,} people{note}"
    )
