"""`facemill datasets ...`, `diff`, `export` and `report`: the dataset versions of a lake."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from flows.cli.options import AllOption, JsonOption, LakeOption, bar, existing_lake, print_result, reporting
from flows.cli.terminal import add_row, cell, new_table, say, say_json
from storage.datasets import find_dataset, open_dataset
from storage.tags import tag_history
from tasks.dataset.exports import EXPORTS
from tasks.dataset.funnel import Funnel, by_source

VersionArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME[@VERSION]", help="Dataset version, or NAME@TAG, NAME@latest. Default version: the newest."
    ),
]

# The keys of a manifest that are shown as tables and sentences; the others are printed as they are.
_SHOWN_ABOVE = {
    "dataset", "tags", "name", "version", "num_samples", "num_identities", "splits", "funnel", "funnels", "redactions",
    "pruned",
}  # fmt: skip


@reporting
def datasets_list(lake: LakeOption, every: AllOption = False, as_json: JsonOption = False) -> None:
    """List dataset versions, oldest first, with their tags."""
    from flows.version_status import dataset_status  # noqa: PLC0415

    print_result(dataset_status(existing_lake(lake), pruned=every), as_json, show_datasets)


@reporting
def datasets_show(version: VersionArgument, lake: LakeOption, as_json: JsonOption = False) -> None:
    """Show the settings, the counts and the funnel of a dataset version."""
    found = find_dataset(existing_lake(lake), version)
    found.require("num_samples", "num_identities", "splits")
    history = [asdict(event) for event in tag_history(found.lake, found.name) if event.version == found.version]
    print_result({"dataset": str(found), "tags": history, **found.manifest}, as_json, show_dataset)


@reporting
def diff(
    before: VersionArgument,
    after: VersionArgument,
    lake: LakeOption,
    lines: Annotated[bool, typer.Option("--lines", help="Also list every changed link line.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare two dataset versions. Shows settings that differ, faces added and removed, and the reasons."""
    from tasks.dataset.diff import diff as compare  # noqa: PLC0415

    store = existing_lake(lake)
    one, other = open_dataset(store, before), open_dataset(store, after)
    found = compare(one, other)
    result: dict[str, Any] = {
        "before": str(one),
        "after": str(other),
        "settings": [asdict(setting) for setting in found.settings],
        "kept": found.num_kept,
        "changes": found.counts(),
    }
    print_result(result | ({"lines": found.changes.to_pylist()} if lines else {}), as_json, show_diff)


@reporting
def export(
    version: VersionArgument,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")],
    to: Annotated[str, typer.Option("--to", metavar="|".join(EXPORTS), help="Output format.")],
    lake: LakeOption,
    split: Annotated[str | None, typer.Option("--split", metavar="NAME", help="Only this split.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Export a dataset version to another format."""
    from tasks.dataset.export_version import export as write  # noqa: PLC0415

    found = open_dataset(existing_lake(lake), version)
    with bar("export", found.manifest.get("num_samples") or 0) as reach:
        result = write(found, to, folder, split=split, on_progress=reach)
    print_result(result, as_json, show_exported)


@reporting
def report(
    version: VersionArgument,
    lake: LakeOption,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Output file. Default: a file in the lake's work folder."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write an HTML report on a dataset version. Shows funnel, statistics, contact sheets and the worst losses."""
    from flows.reports.dataset_report import write_report  # noqa: PLC0415

    found = open_dataset(existing_lake(lake), version)
    found.require("num_samples", "num_identities", "splits")
    print_result({"dataset": str(found), "report": str(write_report(found, out))}, as_json, show_report)


def show_datasets(console: Console, result: list[dict[str, Any]]) -> None:
    """Print dataset versions, one per line."""
    for one in result:
        borne = f" {', '.join(one['tags'])}" if one["tags"] else ""
        say(
            console,
            f"dataset {one['dataset']}@{one['version']}{borne}: {_number(one['samples'])} faces of "
            f"{_number(one['identities'])} people, {one['published_at']}{pruned_words(one)}",
        )


def pruned_words(one: dict[str, Any]) -> str:
    """When a version in a list was pruned; empty if it was not."""
    return f", pruned {one['pruned']}" if one.get("pruned") else ""


def _number(value: int | None) -> str:
    """Format a count that the manifest may lack."""
    return "an unknown number of" if value is None else f"{value:,}"


def show_dataset(console: Console, result: dict[str, Any]) -> None:
    """Print everything about one dataset version."""
    funnel = result.get("funnel")
    if funnel:
        console.print(funnel_table(result["dataset"], funnel))
    if result.get("funnels"):
        console.print(by_source_table(result["funnels"]))
    splits = ", ".join(
        f"{name} {part['samples']:,} of {part['identities']:,}" for name, part in result["splits"].items()
    )
    say(console, f"{result['num_samples']:,} faces of {result['num_identities']:,} people: {splits}")
    if gone := sum(entry["num_samples"] for entry in result.get("redactions", [])):
        say(console, f"{gone:,} faces have been taken down since publication")
    if pruned := result.get("pruned"):
        say(console, f"pruned {pruned['at']} by {pruned['by']}: {pruned['why']}; only the manifest is left")
    for event in result["tags"]:
        say(console, f"{event['at']} {event['action']} {event['alias']}: {event['by']} {event['why']}".rstrip())
    say_json(console, {name: value for name, value in result.items() if name not in _SHOWN_ABOVE})


def funnel_table(title: str, funnel: dict[str, Any]) -> Table:
    """Lines in, out and rejected at each stage."""
    table = new_table(title)
    for column in ("stage", "lines in", "out", "rejected"):
        table.add_column(cell(column), justify="left" if column == "stage" else "right")
    table.add_column("why")
    for stage in funnel["stages"]:
        by_number = sorted(stage["rejected"].items(), key=lambda item: -item[1])
        why = ", ".join(f"{reason} {num:,}" for reason, num in by_number)
        lost = stage["num_in"] - stage["num_out"]
        add_row(table, stage["stage"], f"{stage['num_in']:,}", f"{stage['num_out']:,}", f"{lost:,}", why)
    return table


def by_source_table(funnels: dict[str, Any]) -> Table:
    """Lines of each source, and how many are left after each stage."""
    table = new_table()
    rows = by_source({source: Funnel.from_json(one) for source, one in funnels.items()})
    for column in rows[0]:
        table.add_column(cell(column), justify="left" if column == "source" else "right")
    for row in rows:
        add_row(table, *(value if isinstance(value, str) else f"{value:,}" for value in row.values()))
    return table


def show_diff(console: Console, result: dict[str, Any]) -> None:
    """Print the changes between two versions: settings, counts by reason, and the lines if requested."""
    say(console, f"{result['before']} to {result['after']}")
    for one in result["settings"]:
        before, after = ("not recorded" if value is None else value for value in (one["before"], one["after"]))
        say(console, f"{one['name']}: {before} to {after}")
    table = new_table()
    for column in ("change", "faces", "why"):
        table.add_column(cell(column), justify="right" if column == "faces" else "left")
    add_row(table, "kept", f"{result['kept']:,}", "")
    for change, reasons in result["changes"].items():
        why = ", ".join(f"{reason} {num:,}" for reason, num in reasons.items())
        add_row(table, change, f"{sum(reasons.values()):,}", why)
    console.print(table)
    for row in result.get("lines", []):
        text = f"{row['change']:<9} {row['identity']} {row['line']} {row['url']} ({row['why']})"
        say(console, text)


def show_report(console: Console, result: dict[str, Any]) -> None:
    """Print the path of the report."""
    say(console, result["report"])


def show_exported(console: Console, result: dict[str, Any]) -> None:
    """Print what was exported, and where."""
    say(
        console,
        f"{result['samples']:,} faces of {result['identities']:,} people of {result['dataset']} as {result['to']} "
        f"in {result['path']}",
    )
