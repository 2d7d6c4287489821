"""`facemill datasets ...`, `diff`, `export` and `report`: the dataset versions of a lake."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.cli.options import AllOption, JsonOption, LakeOption, bar, existing_lake, follow, print_result, reporting
from flows.cli.terminal import add_row, cell, new_table, say, say_facts
from flows.cli.version_lists import dataset_facts, dataset_lines
from flows.telemetry.fitting import wrapped
from storage.text.names import visible
from storage.versions.datasets import find_dataset, open_dataset
from storage.versions.tags import tag_history
from tasks.dataset.exports import EXPORTS
from tasks.dataset.funnel import Funnel, by_source

VersionArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME[@VERSION]", help="Dataset version, or NAME@TAG, NAME@latest. Default version: the newest."
    ),
]


@reporting
def datasets_list(lake: LakeOption, every: AllOption = False, as_json: JsonOption = False) -> None:
    """List dataset versions, oldest first, with their tags."""
    from flows.runs.version_status import dataset_status  # noqa: PLC0415

    result = dataset_status(existing_lake(lake), pruned=every)
    print_result(result, as_json, show_datasets)
    follow("datasets list", result, lake, as_json=as_json)


@reporting
def datasets_show(version: VersionArgument, lake: LakeOption, as_json: JsonOption = False) -> None:
    """Show the settings, the counts and the funnel of a dataset version."""
    from flows.runs.version_status import folder_of, models_by_dataset, num_bytes  # noqa: PLC0415

    store = existing_lake(lake)
    found = find_dataset(store, version)
    found.require("num_samples", "num_identities", "splits")
    history = [asdict(event) for event in tag_history(store, found.name) if event.version == found.version]
    result = {
        "dataset": str(found),
        "tags": history,
        **found.manifest,
        "folder": folder_of(found),
        "bytes": num_bytes(found),
        "models": models_by_dataset(store).get(str(found), []),
    }
    print_result(result, as_json, show_dataset)
    if not found.pruned:
        follow("datasets show", result, lake, as_json=as_json)


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
    follow("diff", result, lake, as_json=as_json)


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
    result = {"dataset": str(found), "report": str(write_report(found, out))}
    print_result(result, as_json, show_report)
    follow("report", result, lake, as_json=as_json)


def show_datasets(console: Console, result: list[dict[str, Any]]) -> None:
    """Print dataset versions with what tells them apart."""
    for line in dataset_lines(result, console.width):
        say(console, line)
    if not result:
        say(console, "no dataset version yet")


def show_dataset(console: Console, result: dict[str, Any]) -> None:
    """Print everything about one dataset version."""
    say_facts(console, {"dataset": [result["dataset"]], **dataset_facts(result)})
    if result.get("funnel"):
        console.print(funnel_table("", result["funnel"], console.width))
    if result.get("funnels"):
        console.print(by_source_table(result["funnels"]))
    for event in result["tags"]:
        say(console, f"{event['at']} {event['action']} {event['alias']}: {event['by']} {event['why']}".rstrip())


def funnel_table(title: str, funnel: dict[str, Any], width: int) -> Table:
    """Lines in, out and rejected at each stage, at most `width` columns wide; no reason is broken in the middle."""
    table = new_table(title)
    columns = ("stage", "lines in", "out", "rejected")
    for column in columns:
        table.add_column(cell(column), justify="left" if column == "stage" else "right")
    table.add_column("why")
    rows = [_funnel_row(stage) for stage in funnel["stages"]]
    widths = [max(map(len, cells)) for cells in zip(columns, *(cells for cells, _ in rows), strict=True)]
    # A column has a blank on both sides, and a line before it; the table has one more line at its end.
    room = width - sum(widths) - 3 * (len(widths) + 1) - 1
    for cells, why in rows:
        table.add_row(*map(cell, cells), Text("\n").join(map(cell, wrapped(why, room))))
    return table


def _funnel_row(stage: dict[str, Any]) -> tuple[list[str], list[str]]:
    by_number = sorted(stage["rejected"].items(), key=lambda item: -item[1])
    num_in, num_out = stage["num_in"], stage["num_out"]
    cells = [visible(stage["stage"]), f"{num_in:,}", f"{num_out:,}", f"{num_in - num_out:,}"]
    return cells, [f"{visible(reason)} {num:,}" for reason, num in by_number]


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
