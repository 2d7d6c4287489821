"""`facemill forget` and `facemill check`: takedown requests, and the verification and repair of a lake."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from flows.cli.options import (
    JsonOption,
    LakeOption,
    OutputOptions,
    existing_lake,
    print_result,
    reporting,
    source_name,
)
from flows.cli.terminal import add_row, cell, new_table, say
from flows.configuration.settings import load_settings
from flows.telemetry.console import is_quiet, new_console
from storage.errors import LakeInUse, UsageError
from storage.files.lake import Lake
from storage.leases.sole_use import sole_use
from storage.text.names import visible
from tasks.maintenance.takedown.forget import (
    TakedownRequest,
    coverage,
    parse_digest,
    read_request,
    samples_covered,
    unknown_names,
)
from tasks.maintenance.takedown.forget import forget as record_takedown
from tasks.maintenance.takedown.purge import purge as purge_lake

_EXAMPLES = 3


@reporting
def forget(
    lake: LakeOption,
    url: Annotated[
        list[str] | None, typer.Option("--url", help="URL as written in the link files. Repeatable.")
    ] = None,
    identity: Annotated[
        list[str] | None, typer.Option("--identity", metavar="NAME", help="Person: all of their links. Repeatable.")
    ] = None,
    digest: Annotated[
        list[str] | None, typer.Option("--digest", metavar="HEX", help="SHA-256 of a picture, at any link. Repeatable.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", help="File of more entries, one per line: `url URL`, `identity NAME` or `digest HEX`."),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--source",
            metavar="NAME",
            parser=source_name,
            help="Match the names in this source only. Default: in all.",
        ),
    ] = None,
    near_copies: Annotated[
        bool, typer.Option("--near-copies", help="Also cover resized or re-encoded copies at other links.")
    ] = False,
    note: Annotated[
        str, typer.Option("--note", help="Stored with the takedown, such as a case number. Do not write names here.")
    ] = "",
    purge: Annotated[
        bool, typer.Option("--purge", help="Remove the bytes of everything ever taken down from the lake.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be covered.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Record a takedown request. Its links are no longer fetched, cropped or published. Shows first what is covered."""
    found = existing_lake(lake)
    request = _request(url, identity, digest, file, source, near_copies, note)
    has_targets = bool(request.urls or request.names or request.digests)
    if not all((*request.urls, *request.names)):
        raise UsageError("a URL or a name to forget is empty: write it as in the link files")
    if not has_targets and (dry_run or not purge):
        raise UsageError("name what to forget with --url, --identity, --digest or --file, or give --purge alone")
    covers = coverage(found, request) if has_targets else []
    result: dict[str, Any] = {"covers": [one.counts() for one in covers], "unknown": unknown_names(request, covers)}
    result["samples"] = samples_covered(found, request, covers) if has_targets else {}
    if not as_json:
        show_coverage(new_console(), result)
    if not dry_run:
        result["recorded"] = record_takedown(found, request, covers) if has_targets else None
        result["purged"] = None
        if purge:
            try:
                result["purged"] = _purged(found)
            except LakeInUse:
                # The takedown holds all the same: every stage applies it at once.
                print_result(result, as_json, show_forgotten)
                raise
    print_result(result, as_json, show_forgotten)


@reporting
def check(
    *,
    lake: LakeOption,
    quick: Annotated[
        bool, typer.Option("--quick", help="Skip the pictures: check tables, file sizes and manifests only.")
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Move broken files aside, so that they are fetched or made again.")
    ] = False,
    output: OutputOptions,
) -> None:
    """Verify the integrity of a lake (fsck). Checks tables, shards, pictures, manifests. Exits with 1 on findings."""
    existing_lake(lake)
    output.set_up(lake)
    from flows.check import check as flow  # noqa: PLC0415

    result = flow(lake, quick, repair)
    output.print(result, show_findings)
    if not output.as_json:
        show_notes(new_console(), result["notes"])
        show_older_rules(new_console(), result["rejected_by_older_rules"])
    is_mended = result["repaired"] and not result["repaired"]["left"]
    if result["findings"] and not is_mended:
        raise typer.Exit(1)


def show_notes(console: Console, notes: list[str]) -> None:
    """Print how many references name versions that were pruned, with examples."""
    if notes:
        say(console, f"[bold]pruned[/]   {len(notes):,} references to versions that were pruned; nothing is wrong:")
    for note in notes[:_EXAMPLES]:
        say(console, f"         {note}")


def show_older_rules(console: Console, counts: dict[str, dict[str, int]]) -> None:
    """Print how many links older rules rejected, and the command that fetches them again."""
    for source, by_reason in counts.items():
        say(
            console,
            f"[bold]rules[/]    {sum(by_reason.values()):,} links of {source} were finally rejected by older rules. To "
            f"fetch them again: facemill retry --source {source} --also-final --reason {','.join(sorted(by_reason))}",
        )


def show_findings(console: Console, result: dict[str, Any]) -> None:
    """Print the findings by kind with examples, and the repairs made."""
    kinds: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in result["findings"]:
        kinds[one["kind"]].append(one)
    if not kinds:
        say(console, f"[bold]check[/]    {result['parts']:,} parts checked, no findings")
        return
    table = new_table(f"{len(result['findings']):,} findings in {result['parts']:,} parts")
    for column in ("kind", "number", "remedy"):
        table.add_column(cell(column), justify="right" if column == "number" else "left")
    for kind, some in kinds.items():
        remedies = dict.fromkeys(", then ".join(filter(None, (one["remedy"], one["then"]))) for one in some)
        table.add_row(cell(kind), cell(f"{len(some):,}"), Text("\n").join(map(cell, remedies)))
    console.print(table)
    for kind, some in kinds.items():
        for one in some[:_EXAMPLES]:
            say(console, f"[bold]{kind}[/]  {one['path']}: {one['detail']}")
    if result["at_work"]:
        say(
            console,
            f"runs were active during the check ({', '.join(result['at_work'][:_EXAMPLES])}): "
            "their unfinished writes can cause such findings",
        )
    _show_repaired(console, result["repaired"])


def _show_repaired(console: Console, done: dict[str, Any] | None) -> None:
    if done is None:
        say(console, "`facemill check --repair` moves broken files aside; nothing is deleted")
        return
    say(
        console,
        f"[bold]repair[/]   {len(done['moved']):,} files and folders moved to {done['folder']}; "
        f"{done['lost']:,} pictures are due for retry"
        + (f", {done['aborted']:,} partial uploads dropped" if done["aborted"] else "")
        + (", taken-down pictures purged" if done["purged"] else ""),
    )
    say(console, "`facemill pipeline` fetches, crops and publishes the lost parts again")
    for words in done["left"]:
        say(console, f"not repaired: {words}; restore it from a backup")


def show_coverage(console: Console, result: dict[str, Any]) -> None:
    """Print what a takedown covers, per source."""
    for one in result["covers"]:
        table = new_table(one["source"], show_header=False)
        table.add_column()
        table.add_column(justify="right")
        add_row(table, "people", f"{one['num_people']:,}")
        add_row(table, "their lines", f"{one['num_lines']:,}")
        add_row(table, "links", f"{one['num_links']:,}")
        add_row(table, "pictures in the lake", f"{one['num_pictures']:,}")
        add_row(table, "  of these at other links", f"{one['num_elsewhere']:,}")
        if one["num_near"] is None:
            add_row(table, "near copies, not covered", "not counted")
        else:
            add_row(table, "near copies", f"{one['num_near']:,}")
        console.print(table)
    for version, num in result["samples"].items():
        say(console, f"dataset {version}: {num:,} samples")
    for name in result["unknown"]:
        say(console, f"no link line has the name {name!r}; write names as in the link files")


def show_forgotten(console: Console, result: dict[str, Any]) -> None:
    """Print what was recorded and purged, and the models trained on it."""
    if result.get("recorded"):
        say(console, f"[bold]forget[/]   recorded in {result['recorded']}")
    purged = result.get("purged")
    if result.get("recorded") and not purged:
        say(console, "the bytes are still in the lake: `facemill forget --purge` removes them")
    if purged:
        say(
            console,
            f"[bold]purge[/]    {purged['pictures']:,} pictures removed from {purged['shards']:,} shards; "
            f"{len(purged['removed']):,} other files and folders removed",
        )
        for version, num in purged["datasets"].items():
            say(console, f"dataset {version} lost {num:,} samples, recorded in its manifest. Publish a new version")
        for model, dataset in purged["models"].items():
            say(
                console,
                f"model {model} was trained on {dataset} before the purge. Train a new version, then remove "
                f"models/{model.replace('@', '/')}",
            )
        for model, dataset in purged["unknown"].items():
            say(
                console,
                f"model {model} was trained on {dataset}, which was pruned before the takedown: whether it was trained "
                "on what is taken down is unknown",
            )


def _request(
    url: list[str] | None,
    identity: list[str] | None,
    digest: list[str] | None,
    file: Path | None,
    source: str | None,
    near_copies: bool,
    note: str,
) -> TakedownRequest:
    listed = read_request(file) if file else TakedownRequest()
    return replace(
        listed,
        urls=(*listed.urls, *(url or ())),
        names=(*listed.names, *(identity or ())),
        digests=(*listed.digests, *map(parse_digest, digest or ())),
        source=source,
        near_copies=near_copies,
        note=note,
    )


def _purged(lake: Lake) -> dict[str, Any]:
    with sole_use(lake, "purge", good_for_s=load_settings().lease_s), _spinner() as show:
        return asdict(purge_lake(lake, show))


@contextmanager
def _spinner() -> Iterator[Any]:
    """A status line on the error stream that shows the path in progress."""
    errors = new_console(stderr=True)
    if is_quiet():
        yield lambda path: None
        return
    with errors.status("purge") as status:
        yield lambda path: status.update(escape(f"purge {visible(path)}"))
