"""The result of each stage on the terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.console import Console

from flows.cli.dataset_commands import by_source_table, funnel_table
from flows.cli.terminal import say, say_items
from flows.telemetry.run_summary import summary_lines
from flows.telemetry.stage_words import (
    Line,
    changed_by_cleaning,
    cleaned,
    cropped,
    doubted,
    ingested,
    retried,
    trained,
    trained_again,
)


def show_stage(console: Console, stage: str, result: Any) -> None:
    """Print the result of one pipeline stage."""
    if "sources" in result:
        for source, one in result["sources"].items():
            say(console, f"[bold]source[/]   {source}")
            show_stage(console, stage, one)
        return
    if stage == "retry" and not result["asked"]:
        return
    shown: dict[str, Callable[[Console, Any], None]] = {
        "ingest": show_ingested,
        "retry": show_retried,
        "crop": show_cropped,
        "publish": show_summary,
        "train": show_trained,
        "clean": show_doubts,
        "publish_cleaned": show_changes,
        "train_cleaned": show_trained_again,
    }
    shown[stage](console, result)


def show_ingested(console: Console, result: dict[str, Any]) -> None:
    """Print the counts of link lines and candidates, and the fetch results."""
    _show(console, ingested(result))


def show_retried(console: Console, result: dict[str, Any]) -> None:
    """Print the results of a retry."""
    _show(console, retried(result))


def show_cropped(console: Console, result: dict[str, Any]) -> None:
    """Print the numbers of pictures searched and faces cropped, in this run and in total."""
    _show(console, cropped(result))


def show_cleaned(console: Console, result: list[dict[str, Any]]) -> None:
    """Print how many faces are mislabelled, and which names belong to the same person."""
    _show(console, cleaned(result))


def show_published(console: Console, result: list[dict[str, Any]]) -> None:
    """Print the funnel and the version of each method."""
    for one in result:
        title = f"{one['dataset']}@{one['version']}" + ("" if one["is_new"] else " (existing)")
        console.print(funnel_table(title, one["funnel"], console.width))
        if one["funnels"]:
            console.print(by_source_table(one["funnels"]))
        say(console, f"{one['samples']:,} faces of {one['identities']:,} people")
        if one["note"]:
            say(console, one["note"])
        say(console, "")
    excluded = result[0]["excluded"] if result else []
    for match in excluded:
        say(console, f"excluded {match['identity']}: listed as {match['listed']}, similarity {match['alike']:g}/100")


def show_summary(console: Console, result: list[dict[str, Any]]) -> None:
    """Print what is left after each stage, and why lines were dropped; `datasets show` has all reasons."""
    for line in summary_lines(result, console.width):
        say(console, line)
    if result and result[-1]["funnels"]:
        console.print(by_source_table(result[-1]["funnels"]))


def show_doubts(console: Console, result: list[dict[str, Any]]) -> None:
    """Print how many samples of each version may show somebody else."""
    _show(console, doubted(result))


def show_changes(console: Console, result: list[dict[str, Any]]) -> None:
    """Print the cleaned version of each dataset, and what its cleaning changed."""
    _show(console, changed_by_cleaning(result))


def show_trained_again(console: Console, result: dict[str, Any]) -> None:
    """Print the model version that was trained on a cleaned version."""
    _show(console, trained_again(result))


def show_trained(console: Console, result: dict[str, Any]) -> None:
    """Print the model version and its metrics, the flow run that will train it, or why there is none."""
    if "left_out" in result:
        say_items(console, "train", trained(result)[0].items[0].split(), between=" ")
        return
    _show(console, trained(result))


def _show(console: Console, lines: list[Line]) -> None:
    for line in lines:
        say_items(console, line.head, line.items)
