"""The result of each stage on the terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console

from flows.cli.dataset_commands import by_source_table, funnel_table
from flows.cli.run_summary import summary_lines
from flows.cli.terminal import say, say_items
from flows.telemetry.cleaning_words import change_items, doubt_items


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
    say(
        console,
        f"[bold]links[/]    {result['lines']:,} lines, {result['rejected_lines']:,} rejected; "
        f"{result['candidates']:,} distinct URLs selected",
    )
    show_fetched(console, result)


def show_fetched(console: Console, result: dict[str, Any], name: str = "fetch") -> None:
    """Print the results of a round of requests."""
    first, *others = [f"{reason} {num:,}" for reason, num in result["rejected"].items()] or [""]
    last = f"; {first}" if first else ""
    counts = [f"{result['asked']:,} requested", f"{result['accepted']:,} accepted{last}"]
    say_items(console, name, [*(counts if result["asked"] else [f"nothing to fetch{last}"]), *others])


def show_retried(console: Console, result: dict[str, Any]) -> None:
    """Print the results of a retry."""
    show_fetched(console, result, "retry")


def show_cropped(console: Console, result: dict[str, Any]) -> None:
    """Print the numbers of pictures searched and faces cropped, in this run and in total."""
    first, *others = [f"{num:,} by {method}" for method, num in result["faces"].items()] or ["0"]
    counts = [f"{result['detected']:,} pictures searched", f"{result['cropped']:,} faces cropped; total {first}"]
    say_items(console, "crop", [*counts, *others])
    if "report" in result:
        say(console, f"[bold]report[/]   {result['report']}")


def show_cleaned(console: Console, result: list[dict[str, Any]]) -> None:
    """Print how many faces are mislabelled, and which names belong to the same person."""
    for one in result:
        wrong = f"{one['wrong_person']:,} of {one['faces']:,} faces of {one['people']:,} people mislabelled"
        say_items(console, "clean", [f"{one['method']}: {wrong}", f"according to {one['model']}"])
        for pair in one["same_person"]:
            say(
                console,
                f"         {pair['other']} is the same person as {pair['identity']} ({pair['same_person_score']:.2f})",
            )


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
    say_items(console, "clean", doubt_items(result))


def show_changes(console: Console, result: list[dict[str, Any]]) -> None:
    """Print the cleaned version of each dataset, and what its cleaning changed."""
    for one in result:
        say_items(console, "cleaned", change_items(one))


def show_trained_again(console: Console, result: dict[str, Any]) -> None:
    """Print the model version that was trained on a cleaned version."""
    show_trained(console, result, ["on the cleaned test faces"])


def show_trained(console: Console, result: dict[str, Any], more: Sequence[str] = ()) -> None:
    """Print the model version and its metrics, with more items; or the flow run that will train it."""
    if "left_out" in result:
        say_items(console, "train", f"left out: {result['left_out']}".split(), between=" ")
        return
    if "flow_run" in result:
        then = "which then cleans" if result["cleans"] else "after which no face is scored yet"
        say_items(console, "train", [f"scheduled on the server as {result['flow_run']}", then])
        return
    known = "" if result["is_new"] else " (existing)"
    items = [
        f"{result['model']}@{result['version']}{known}: verification AUC on unseen people {result['auc']:.3f}",
        f"untrained {result['untrained_auc']:.3f}",
        *more,
        *([result["note"]] if result.get("note") else []),
    ]
    say_items(console, "train", items)
