"""The result of each pipeline stage in words, for the terminal and for the log of a run on a server."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from flows.telemetry.cleaning_words import change_items, doubt_items
from flows.telemetry.fitting import fitted
from flows.telemetry.run_summary import summary_lines
from storage.text.names import visible

_HEAD_COLUMNS = 9
# A line of a log shows the most frequent reasons of a long list.
_LOG_COLUMNS = 160
_MARKED = re.compile(r"^\[bold\]([a-z_ ]+)\[/\]")


class Line(NamedTuple):
    """One line of a result: a stage or a kind of finding, and items that are separated by commas."""

    head: str
    items: list[str]


def log_lines(stage: str, result: Any) -> list[str]:
    """The result of a stage as lines of a log; outside text is escaped."""
    if "sources" in result:
        return [
            line
            for source, one in result["sources"].items()
            for line in (f"{'source':<{_HEAD_COLUMNS}}{visible(source)}", *log_lines(stage, one))
        ]
    if stage == "retry" and not result["asked"]:
        return []
    if stage == "publish":
        return [visible(_MARKED.sub(r"\1", line)) for line in summary_lines(result, _LOG_COLUMNS)]
    return [
        f"{line.head:<{_HEAD_COLUMNS}}{fitted([visible(item) for item in line.items], _LOG_COLUMNS) or line.items[0]}"
        for line in STAGES[stage](result)
    ]


def ingested(result: Mapping[str, Any]) -> list[Line]:
    """The counts of link lines and candidates, and the results of the requests."""
    rejected = f"{result['rejected_lines']:,} rejected; {result['candidates']:,} distinct URLs selected"
    return [Line("links", [f"{result['lines']:,} lines", rejected]), *fetched(result)]


def fetched(result: Mapping[str, Any], name: str = "fetch") -> list[Line]:
    """The results of a round of requests, the most frequent reasons first."""
    first, *others = [f"{reason} {num:,}" for reason, num in result["rejected"].items()] or [""]
    last = f"; {first}" if first else ""
    counts = [f"{result['asked']:,} requested", f"{result['accepted']:,} accepted{last}"]
    return [Line(name, [*(counts if result["asked"] else [f"nothing to fetch{last}"]), *others])]


def retried(result: Mapping[str, Any]) -> list[Line]:
    """The results of a retry."""
    return fetched(result, "retry")


def cropped(result: Mapping[str, Any]) -> list[Line]:
    """The numbers of pictures searched and faces cropped, in this run and in total."""
    first, *others = [f"{num:,} by {method}" for method, num in result["faces"].items()] or ["0"]
    counts = [f"{result['detected']:,} pictures searched", f"{result['cropped']:,} faces cropped; total {first}"]
    return [Line("crop", [*counts, *others]), *([Line("report", [result["report"]])] if "report" in result else [])]


def trained(result: Mapping[str, Any], more: Sequence[str] = ()) -> list[Line]:
    """The model version and its metrics, with more items; the flow run that will train it; or why there is none."""
    if "left_out" in result:
        return [Line("train", [f"left out: {result['left_out']}"])]
    if "flow_run" in result:
        then = "which then cleans" if result["cleans"] else "after which no face is scored yet"
        return [Line("train", [f"scheduled on the server as {result['flow_run']}", then])]
    known = "" if result["is_new"] else " (existing)"
    items = [
        f"{result['model']}@{result['version']}{known}: verification AUC on unseen people {result['auc']:.3f}",
        f"untrained {result['untrained_auc']:.3f}",
        *more,
        *([result["note"]] if result.get("note") else []),
    ]
    return [Line("train", items)]


def trained_again(result: Mapping[str, Any]) -> list[Line]:
    """The model version that was trained on a cleaned version."""
    return trained(result, ["on the cleaned test faces"])


def doubted(result: Sequence[Mapping[str, Any]]) -> list[Line]:
    """How many samples of each version may show somebody else."""
    return [Line("clean", doubt_items(result))]


def changed_by_cleaning(result: Sequence[Mapping[str, Any]]) -> list[Line]:
    """The cleaned version of each dataset, and what its cleaning changed."""
    return [Line("cleaned", change_items(one)) for one in result]


def cleaned(result: Sequence[Mapping[str, Any]]) -> list[Line]:
    """How many faces are mislabelled, and which names belong to the same person."""
    lines: list[Line] = []
    for one in result:
        wrong = f"{one['wrong_person']:,} of {one['faces']:,} faces of {one['people']:,} people mislabelled"
        lines.append(Line("clean", [f"{one['method']}: {wrong}", f"according to {one['model']}"]))
        lines += [
            Line("", [f"{pair['other']} is the same person as {pair['identity']} ({pair['same_person_score']:.2f})"])
            for pair in one["same_person"]
        ]
    return lines


# By stage of the pipeline; `publish` has its own form, a table.
STAGES: dict[str, Callable[[Any], list[Line]]] = {
    "ingest": ingested,
    "retry": retried,
    "crop": cropped,
    "train": trained,
    "clean": doubted,
    "publish_cleaned": changed_by_cleaning,
    "train_cleaned": trained_again,
}
