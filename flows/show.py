"""Results as tables for people, on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table


def pipeline(console: Console, result: dict[str, Any]) -> None:
    """All that a pipeline run did."""
    ingest(console, result["ingest"])
    if result["retry"]["asked"]:
        retried(console, result["retry"])
    cropped(console, result["crop"])
    published(console, result["publish"])
    trained(console, result["train"])


def ingest(console: Console, result: dict[str, Any]) -> None:
    """Lines, candidates, and what came of asking."""
    console.print(
        f"[bold]links[/]    {result['lines']:,} lines, {result['rejected_lines']:,} malformed; "
        f"{result['candidates']:,} distinct URLs selected"
    )
    fetched(console, result)


def fetched(console: Console, result: dict[str, Any], name: str = "fetch") -> None:
    """What came of a round of requests."""
    why = ", ".join(f"{reason} {num:,}" for reason, num in result["rejected"].items())
    asked = f"{result['asked']:,} asked, {result['accepted']:,} accepted" if result["asked"] else "nothing to ask for"
    console.print(f"[bold]{name:<8}[/] {asked}" + (f"; {why}" if why else ""))


def retried(console: Console, result: dict[str, Any]) -> None:
    """What came of a further round."""
    fetched(console, result, "retry")


def forecast(due: dict[str, int], *, is_archive: bool) -> str:
    """How much a retry will ask for."""
    what = "gone for good, to be asked of the archive" if is_archive else "due"
    why = ", ".join(f"{reason} {num:,}" for reason, num in due.items())
    return f"{sum(due.values()):,} links are {what}" + (f": {why}" if why else "")


def cropped(console: Console, result: dict[str, Any]) -> None:
    """What was detected and cropped, now and in all."""
    faces = ", ".join(f"{num:,} by {method}" for method, num in result["faces"].items())
    console.print(
        f"[bold]crop[/]     {result['detected']:,} pictures searched, {result['cropped']:,} faces cut out now; "
        f"in all {faces}"
    )
    if "report" in result:
        console.print(f"[bold]report[/]   {result['report']}", soft_wrap=True)


def published(console: Console, result: list[dict[str, Any]]) -> None:
    """The funnel and the version of each method."""
    for one in result:
        table = Table(
            title=f"{one['dataset']}@{one['version']}" + ("" if one["is_new"] else " (was there)"),
            title_justify="left",
        )
        for column in ("stage", "lines in", "out", "rejected"):
            table.add_column(column, justify="left" if column == "stage" else "right")
        table.add_column("why")
        for stage in one["funnel"]["stages"]:
            why = ", ".join(f"{reason} {num:,}" for reason, num in stage["rejected"].items())
            lost = stage["num_in"] - stage["num_out"]
            table.add_row(stage["stage"], f"{stage['num_in']:,}", f"{stage['num_out']:,}", f"{lost:,}", why)
        console.print(table)
        console.print(f"{one['samples']:,} faces of {one['identities']:,} people\n")


def trained(console: Console, result: dict[str, Any]) -> None:
    """The model version and its figures, or the run that will make it."""
    if "flow_run" in result:
        console.print(f"[bold]train[/]    scheduled on the server as {result['flow_run']}")
        return
    known = "" if result["is_new"] else " (was there)"
    console.print(
        f"[bold]train[/]    {result['model']}@{result['version']}{known}: verification AUC on unseen people "
        f"{result['auc']:.3f}, untrained {result['untrained_auc']:.3f}"
    )


def status(console: Console, result: dict[str, Any]) -> None:
    """What a lake holds."""
    for source, counts in result["sources"].items():
        table = Table(title=source, title_justify="left", show_header=False)
        table.add_column()
        table.add_column(justify="right")
        for name in ("links", "rejected_lines", "candidates", "accepted"):
            table.add_row(name.replace("_", " "), f"{counts[name]:,}")
        for reason, num in counts["rejected"].items():
            table.add_row(f"  rejected: {reason}", f"{num:,}")
        table.add_row("due for retry", f"{counts['due']:,}")
        for method, num in counts["faces"].items():
            table.add_row(f"faces by {method}", f"{num:,}")
        console.print(table)
    for one in result["datasets"]:
        console.print(
            f"dataset {one['dataset']}@{one['version']}: {one['samples']:,} faces of {one['identities']:,} people, "
            f"{one['published_at']}"
        )
    models(console, result["models"])
    if not result["sources"]:
        console.print("the lake is empty")


def hosts(console: Console, result: dict[str, Any]) -> None:
    """The hosts of each source with the most failures, and all of them together."""
    for source, found in result.items():
        failing = f"{found['hosts']:,} hosts, {found['hosts_with_failures']:,} with failures"
        table = Table(title=f"{source}: {failing}", title_justify="left")
        for column in ("host", "links", "failures", "MB", "p50 s", "p90 s", "p99 s"):
            table.add_column(column, justify="left" if column == "host" else "right", overflow="fold")
        table.add_column("why, above all")
        for row in [*found["worst"], {"host": "all", **found}]:
            why = ", ".join(f"{reason} {num:,}" for reason, num in list(row["rejected"].items())[:3])
            latencies = ["" if value is None else f"{value:.2f}" for value in row["first_byte_s"].values()]
            counts = [f"{row['links']:,}", f"{row['failures']:,}", f"{row['received_bytes'] / 1e6:,.1f}"]
            table.add_row(row["host"], *counts, *latencies, why)
        console.print(table)
    if not result:
        console.print("nothing has been asked for yet")


def models(console: Console, result: list[dict[str, Any]]) -> None:
    """Model versions, a line each."""
    for one in result:
        console.print(
            f"model {one['model']}@{one['version']}: AUC {one['auc']:.3f}, on {one['dataset']}, {one['trained_at']}"
        )


def model(console: Console, result: dict[str, Any]) -> None:
    """One model version whole."""
    console.print(f"[bold]{result['model']}[/]")
    console.print_json(data={name: result[name] for name in ("metrics", "config", "lineage")})


def world(console: Console, result: dict[str, Any]) -> None:
    """What a made world holds."""
    for name, value in result.items():
        words = ", ".join(f"{key} {num:,}" for key, num in value.items()) if isinstance(value, dict) else str(value)
        console.print(f"{name.replace('_', ' '):<16} {words}")


@contextmanager
def bar(name: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on the error stream outside of any flow."""
    errors = Console(stderr=True)
    with Progress(console=errors, disable=not errors.is_terminal) as progress:
        task = progress.add_task(name, total=total)
        yield lambda done: progress.update(task, completed=done)
