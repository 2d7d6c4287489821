"""`facemill forget` and `facemill check`: what must not be used any more, and whether a lake is what it says it is."""

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
    LogOption,
    VerboseOption,
    existing_lake,
    print_result,
    reporting,
    set_up,
    source_name,
)
from flows.cli.terminal import add_row, cell, new_table, say
from storage.errors import UsageError
from storage.lake import Lake
from storage.names import visible
from tasks.maintenance.takedown.forget import Asked, coverage, parse_digest, read_asked, samples_covered, unknown_names
from tasks.maintenance.takedown.forget import forget as record_takedown
from tasks.maintenance.takedown.purge import purge as purge_lake

_EXAMPLES = 3


@reporting
def forget(
    lake: LakeOption,
    url: Annotated[list[str] | None, typer.Option("--url", help="A link, as it is written. May be repeated.")] = None,
    identity: Annotated[
        list[str] | None, typer.Option("--identity", metavar="NAME", help="A person: every link of theirs. Likewise.")
    ] = None,
    digest: Annotated[
        list[str] | None, typer.Option("--digest", metavar="HEX", help="SHA-256 of a picture, at any link. Likewise.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="More of them: lines of `url URL`, `identity NAME` or `digest HEX`.")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--source",
            metavar="NAME",
            parser=source_name,
            help="The names count in this source only. Default: in all.",
        ),
    ] = None,
    near_copies: Annotated[
        bool, typer.Option("--near-copies", help="Also copies at other links that are resized or encoded anew.")
    ] = False,
    note: Annotated[str, typer.Option("--note", help="Kept with the takedown, such as a file number; no names.")] = "",
    purge: Annotated[
        bool, typer.Option("--purge", help="Take the bytes of all that was ever taken down out of the lake.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be covered.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Record a takedown: nothing fetches, crops or publishes it from now on. Says first what it covers."""
    found = existing_lake(lake)
    asked = _asked(url, identity, digest, file, source, near_copies, note)
    is_asked = bool(asked.urls or asked.names or asked.digests)
    if not all((*asked.urls, *asked.names)):
        raise UsageError("a URL or a name to forget is empty: write it as it stands in the link files")
    if not is_asked and (dry_run or not purge):
        raise UsageError("name what to forget with --url, --identity, --digest or --file, or give --purge alone")
    covers = coverage(found, asked) if is_asked else []
    result: dict[str, Any] = {"covers": [one.counts() for one in covers], "unknown": unknown_names(asked, covers)}
    result["samples"] = samples_covered(found, asked, covers) if is_asked else {}
    if not as_json:
        show_coverage(Console(), result)
    if not dry_run:
        result["recorded"] = record_takedown(found, asked, covers) if is_asked else None
        result["purged"] = _purged(found) if purge else None
    print_result(result, as_json, show_forgotten)


@reporting
def check(
    lake: LakeOption,
    quick: Annotated[
        bool, typer.Option("--quick", help="Read no pictures: tables, lengths and manifests alone.")
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Put aside what is broken, and have it asked for or made again.")
    ] = False,
    as_json: JsonOption = False,
    log: LogOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Hold every row, byte and manifest of a lake against the others. Exit code 1 if something is wrong."""
    existing_lake(lake)
    set_up(verbose, log)
    from flows.check import check as flow  # noqa: PLC0415

    result = flow(lake, quick, repair)
    print_result(result, as_json, show_findings)
    if not as_json:
        show_judged_before(Console(), result["judged_before"])
    is_mended = result["repaired"] and not result["repaired"]["left"]
    if result["findings"] and not is_mended:
        raise typer.Exit(1)


def show_judged_before(console: Console, counts: dict[str, dict[str, int]]) -> None:
    """Which links older rules rejected, and the command that asks for them again."""
    for source, by_reason in counts.items():
        say(
            console,
            f"[bold]rules[/]    {sum(by_reason.values()):,} links of {source} were rejected for good by older rules. "
            f"To ask again: facemill retry --source {source} --also-final --reason {','.join(sorted(by_reason))}",
        )


def show_findings(console: Console, result: dict[str, Any]) -> None:
    """What is wrong by kind, with examples, and what was done about it."""
    kinds: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in result["findings"]:
        kinds[one["kind"]].append(one)
    if not kinds:
        say(console, f"[bold]check[/]    {result['parts']:,} parts looked at, nothing is wrong")
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
            f"runs were at work meanwhile ({', '.join(result['at_work'][:_EXAMPLES])}): what they write looks so",
        )
    _show_repaired(console, result["repaired"])


def _show_repaired(console: Console, done: dict[str, Any] | None) -> None:
    if done is None:
        say(console, "`facemill check --repair` puts aside what is broken; nothing is deleted")
        return
    say(
        console,
        f"[bold]repair[/]   {len(done['moved']):,} files and folders put aside in {done['folder']}; "
        f"{done['lost']:,} pictures are due again"
        + (f", {done['aborted']:,} partial uploads dropped" if done["aborted"] else "")
        + (", what is taken down was purged" if done["purged"] else ""),
    )
    say(console, "`facemill pipeline` fetches, crops and publishes again what was lost by it")
    for words in done["left"]:
        say(console, f"not repaired: {words}; restore it from a backup")


def show_coverage(console: Console, result: dict[str, Any]) -> None:
    """What a takedown covers, source by source."""
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
        say(console, f"no link line bears the name {name!r}; names are written as in the link files")


def show_forgotten(console: Console, result: dict[str, Any]) -> None:
    """What was recorded and purged, and which models still know of it."""
    if result.get("recorded"):
        say(console, f"[bold]forget[/]   recorded in {result['recorded']}")
    purged = result.get("purged")
    if result.get("recorded") and not purged:
        say(console, "the bytes are still in the lake: `facemill forget --purge` takes them out")
    if purged:
        say(
            console,
            f"[bold]purge[/]    {purged['pictures']:,} pictures gone from {purged['shards']:,} shards; "
            f"{len(purged['removed']):,} other files and folders removed",
        )
        for version, num in purged["datasets"].items():
            say(console, f"dataset {version} lost {num:,} samples; its manifest says so. Publish a new version")
        for model, dataset in purged["models"].items():
            say(
                console,
                f"model {model} was trained on {dataset} before that. Weights cannot forget: train again, then remove "
                f"models/{model.replace('@', '/')}",
            )


def _asked(
    url: list[str] | None,
    identity: list[str] | None,
    digest: list[str] | None,
    file: Path | None,
    source: str | None,
    near_copies: bool,
    note: str,
) -> Asked:
    listed = read_asked(file) if file else Asked()
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
    with _spinner() as show:
        return asdict(purge_lake(lake, show))


@contextmanager
def _spinner() -> Iterator[Any]:
    """A line on the error stream that says what is being worked on."""
    errors = Console(stderr=True)
    with errors.status("purge") as status:
        yield lambda path: status.update(escape(f"purge {visible(path)}"))
