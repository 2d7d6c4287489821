"""`facemill prune`: retention of versions, and of files that can be made again."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.console import Console

from flows.cli.options import JsonOption, LakeOption, OutputOptions, existing_lake, follow, print_result, reporting
from flows.cli.terminal import add_row, cell, new_table, say
from flows.configuration.settings import load_settings, user_name
from flows.telemetry.console import new_console
from storage.errors import UsageError
from storage.files.lake import Lake
from storage.text.sizes import size_words
from tasks.maintenance.prune.apply import apply
from tasks.maintenance.prune.plan_prune import plan_prune
from tasks.maintenance.prune.policy import Policy

_VERSIONS = {"datasets", "models"}


@reporting
def prune(
    lake: LakeOption,
    keep_last: Annotated[
        int | None,
        typer.Option(
            "--keep-last",
            metavar="N",
            min=1,
            help="Keep the newest N versions of each dataset and model. Default: FACEMILL_KEEP_LAST.",
        ),
    ] = None,
    keep_within: Annotated[
        str | None,
        typer.Option(
            "--keep-within",
            metavar="12h|30d|4w",
            help="Keep what is younger than so many hours, days or weeks. Default: FACEMILL_KEEP_WITHIN.",
        ),
    ] = None,
    even_lineage: Annotated[
        bool,
        typer.Option(
            "--even-lineage", help="Remove dataset versions that a kept model was trained on; this is recorded."
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would go.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove old versions and runs, and disposable files. Shows first what goes.

    What either limit keeps stays, and so does the newest version of each dataset and model, each with a tag or an
    alias, the dataset version that a kept model was trained on, and what a run is using. Of a removed version the
    manifest stays.

    With --keep-within also the ended flow runs of this lake that are older go from the server of PREFECT_API_URL, but
    not the newest good run of each deployment.
    """
    store = existing_lake(lake)
    settings = load_settings()
    policy = settings.policy(keep_last, keep_within, even_lineage=even_lineage)
    if not policy.is_set:
        raise UsageError(
            "no policy is set, so everything is kept: give --keep-last N or --keep-within 30d, or set "
            "FACEMILL_KEEP_LAST or FACEMILL_KEEP_WITHIN"
        )
    OutputOptions(as_json).set_up(lake)
    now = datetime.now(UTC)
    plan, old = plan_prune(store, policy, now, watches=not dry_run), _old_runs(store, policy, now)
    result: dict[str, Any] = {"lake": store.url, "policy": asdict(policy), **plan.to_json(), "pruned": None}
    result["runs"] = None if old is None else sum(map(len, old))
    if not as_json:
        show_plan(new_console(), result)
    if not dry_run:
        done = apply(store, plan, by=user_name(), now=now, good_for_s=settings.lease_s)
        result["pruned"] = {**asdict(done), "runs": _remove_runs(old)}
    print_result(result, as_json, show_pruned)
    follow("prune", result, lake, as_json=as_json)


def _old_runs(lake: Lake, policy: Policy, now: datetime) -> list[list[UUID]] | None:
    """The runs that go from the server; None without a limit of age or without a server."""
    if policy.age is None or "PREFECT_API_URL" not in os.environ:
        return None
    from flows.runs.old_runs import old_runs  # noqa: PLC0415 - imports Prefect

    return old_runs(lake, now - policy.age)


def _remove_runs(old: list[list[UUID]] | None) -> int | None:
    if old is None:
        return None
    from flows.runs.old_runs import remove_runs  # noqa: PLC0415

    return remove_runs(old)


def show_plan(console: Console, result: dict[str, Any]) -> None:
    """Print what goes, the versions that stay although no limit keeps them, and the bytes that come back."""
    table = new_table()
    for column in ("kind", "goes", "size", "stays"):
        table.add_column(cell(column), justify="left" if column == "kind" else "right")
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for one in result["goes"]:
        counts[one["kind"]][0] += 1
        counts[one["kind"]][1] += one["bytes"]
    for one in result["stays"]:
        counts[one["kind"]][2] += 1
    for kind, (num, num_bytes, stays) in counts.items():
        add_row(table, kind, f"{num:,}", size_words(num_bytes), f"{stays:,}")
    if result["gone_leases"]:
        add_row(table, "leases of ended runs", f"{len(result['gone_leases']):,}", "", "")
    if result["runs"]:
        add_row(table, "old runs on the server", f"{result['runs']:,}", "", "")
    console.print(table)
    for title in ("goes", "stays"):
        for one in result[title]:
            if one["kind"] in _VERSIONS:
                say(console, f"[bold]{title:<6}[/] {one['what']}: {size_words(one['bytes'])}, {one['why']}")
    for one in result["unfinished"]:
        say(console, f"[bold]goes[/]   {one}: it was pruned before, and files of it are left")
    for one in result["restored"]:
        say(console, f"[bold]stays[/]  {one['what']}: it was marked by a prune that was killed, and {one['why']}")
    say(console, f"{size_words(result['bytes'])} come back")


def show_pruned(console: Console, result: dict[str, Any]) -> None:
    """Print what was removed, and what came into use meanwhile."""
    if (pruned := result["pruned"]) is None:
        say(console, "nothing was removed: this was a dry run")
        return
    for what, why in pruned["kept"].items():
        say(console, f"[bold]stays[/]  {what} after all: {why}")
    runs = f", {pruned['runs']:,} old runs" if pruned["runs"] else ""
    say(console, f"[bold]prune[/]  {len(pruned['removed']):,} removed, {size_words(pruned['num_bytes'])}{runs}")
