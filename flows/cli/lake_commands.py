"""`facemill status`, `facemill compact`: what a lake holds, and its small tables merged."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console

from flows.cli.options import (
    JsonOption,
    LakeOption,
    existing_lake,
    follow,
    print_result,
    reporting,
)
from flows.cli.terminal import add_row, cell, new_table, say
from flows.cli.version_lists import newest_lines
from flows.configuration.settings import load_settings
from storage.errors import UsageError
from storage.leases.leases import alone
from storage.text.sizes import size_words
from tasks.maintenance.disk_usage import disk_usage


@reporting
def status(
    lake: LakeOption,
    hosts: Annotated[
        bool, typer.Option("--hosts", help="Show hosts instead: most failures, latencies, bytes.")
    ] = False,
    disk: Annotated[bool, typer.Option("--disk", help="Show bytes instead: by kind and by version.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the contents of a lake. Counts links, pictures and faces; lists dataset and model versions and leases."""
    from flows.status import hosts_status, lake_status  # noqa: PLC0415

    if hosts and disk:
        raise UsageError("--hosts and --disk exclude each other")
    found = existing_lake(lake)
    if disk:
        print_result(disk_usage(found), as_json, show_disk)
    elif hosts:
        print_result({source: hosts_status(found, source) for source in found.names("images")}, as_json, show_hosts)
    else:
        result = lake_status(found)
        print_result(result, as_json, show_status)
        follow("status", result, lake, as_json=as_json)


@reporting
def compact(lake: LakeOption, as_json: JsonOption = False) -> None:
    """Merge the small tables of a lake. Runs do so by themselves when many have gathered; reading gets faster."""
    from tasks.maintenance.merge import merge_all  # noqa: PLC0415

    found = existing_lake(lake)
    # So that no purge removes rows that are being merged from tables read before.
    with alone(found, "compact", "lake", "all", good_for_s=load_settings().lease_s):
        result = merge_all(found)
    print_result(result, as_json, show_merged)


def show_merged(console: Console, result: dict[str, int]) -> None:
    """Print the number of merged tables written for each folder."""
    for folder, num in result.items():
        say(console, f"[bold]merged[/]   {folder} into {num:,} {'table' if num == 1 else 'tables'}")
    if not result:
        say(console, "[bold]merged[/]   nothing new")


def show_status(console: Console, result: dict[str, Any]) -> None:
    """Print the counts of a lake, and the newest version of each dataset and model with its folder."""
    width = console.width
    for source, counts in result["sources"].items():
        table = new_table(source, show_header=False)
        table.add_column()
        table.add_column(justify="right")
        for name in ("links", "rejected_lines", "candidates", "accepted"):
            add_row(table, name.replace("_", " "), f"{counts[name]:,}")
        for reason, num in counts["rejected"].items():
            add_row(table, f"  rejected: {reason}", f"{num:,}")
        add_row(table, "due for retry", f"{counts['due']:,}")
        for method, num in counts["faces"].items():
            add_row(table, f"faces by {method}", f"{num:,}")
        console.print(table)
    for line in (*newest_lines(result["datasets"], "dataset", width), *newest_lines(result["models"], "model", width)):
        say(console, line)
    for one in result["leases"]:
        is_dead = ", which is gone" if one["is_dead"] else ""
        say(
            console,
            f"[bold]{one['stage']}[/] {one['of']} {one['unit']}: leased by {one['host']}{is_dead} since {one['since']}",
        )
    if not result["sources"]:
        say(console, "the lake is empty")


def show_disk(console: Console, result: dict[str, Any]) -> None:
    """Print the bytes of a lake by kind, and those of each version."""
    table = new_table(f"{result['lake']}: {size_words(result['bytes'])} in {result['files']:,} files")
    for column in ("what", "files", "size"):
        table.add_column(cell(column), justify="left" if column == "what" else "right")
    for kind, found in result["kinds"].items():
        add_row(table, kind, f"{found['files']:,}", size_words(found["bytes"]))
        for version in result["versions"].get(kind, []):
            pruned = " (pruned)" if version["pruned"] else ""
            shared = f" + {size_words(num)} shared" if (num := version["shared_bytes"]) else ""
            size = f"{size_words(version['bytes'])}{shared}"
            add_row(table, f"  {version['version']}{pruned}", f"{version['files']:,}", size)
    console.print(table)
    if result["free_bytes"] is not None:
        say(console, f"{size_words(result['free_bytes'])} are free on this disk")


def show_hosts(console: Console, result: dict[str, Any]) -> None:
    """Print the hosts of each source with the most failures, and the totals."""
    for source, found in result.items():
        failing = f"{found['hosts']:,} hosts, {found['hosts_with_failures']:,} with failures"
        table = new_table(f"{source}: {failing}")
        for column in ("host", "links", "failures", "MB", "p50 s", "p90 s", "p99 s"):
            table.add_column(cell(column), justify="left" if column == "host" else "right", overflow="fold")
        table.add_column("main reasons")
        for row in [*found["worst"], {"host": "all", **found}]:
            why = ", ".join(f"{reason} {num:,}" for reason, num in list(row["rejected"].items())[:3])
            latencies = ["" if value is None else f"{value:.2f}" for value in row["first_byte_s"].values()]
            counts = [f"{row['links']:,}", f"{row['failures']:,}", f"{row['received_bytes'] / 1e6:,.1f}"]
            add_row(table, row["host"], *counts, *latencies, why)
        console.print(table)
    if not result:
        say(console, "nothing has been fetched yet")
