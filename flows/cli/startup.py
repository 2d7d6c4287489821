"""Checks of `ingest`, `pipeline` and `retry` before Prefect starts: the links, the selection and its size.

The first contact of a lake with hosts outside this machine prints a forecast and requires consent: an answer on the
terminal or `--yes`.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import nullcontext

import pyarrow as pa
import pyarrow.compute as pc
import typer

from flows.configuration.setting_groups import SettingValues, changed
from flows.configuration.settings import load_settings, user_name
from flows.selection import Selection
from flows.telemetry.console import is_quiet
from storage.errors import UsageError
from storage.files.lake import Lake
from storage.leases.leases import alone
from storage.records import LINK_LINES
from storage.tables.parquet import read_as
from storage.text.names import visible
from tasks.dataset.split import SplitRules, check_enough_people
from tasks.fetch.asked_links import plan_state, read_planned
from tasks.fetch.consent import contacts_outside, has_consent, record_consent, refusal
from tasks.fetch.forecast import DOCUMENTED, forecast, own_rate
from tasks.fetch.ledger import pending_new, read_ledger
from tasks.links.collect import FoundLinks, find_links, keep_links, lines_found
from tasks.links.link_location import is_url, location_of
from tasks.links.link_server import LinkLimits
from tasks.links.list_source import open_source
from tasks.links.plan import plan
from tasks.links.sources import source_named
from tasks.links.sources.source import Source

People = int | list[str] | None


def check_start(
    lake: Lake, selection: Selection, settings: SettingValues, *, as_typed: str | None, yes: bool, trains: bool
) -> None:
    """Read the links, validate the selection, and ask for consent to a first contact.

    On success the links are in the lake, so that the run does not read them again.

    Args:
        settings: values of `--set`.
        as_typed: the text that the selection of people was parsed from.
        trains: whether the command ends with a training, which needs enough people.

    Raises:
        UsageError: the links or the selection are invalid, or consent is missing. Nothing has been written.
    """
    name, people = selection.source, selection.identities
    split = changed(SplitRules(), "split", settings) if trains else None
    if split and people is not None:
        check_enough_people(_num(people), split)
    if name == "synthetic" and selection.links is None:  # generated when the run begins
        return
    source = open_source(lake, name, selection.links, selection.recipe)
    where = location_of(source, selection.links)
    is_outside = contacts_outside(source, selection.links, selection.connect_to)
    is_first = is_outside and not has_consent(lake, name)
    if is_first and not yes and is_url(where) and not _has_terminal():
        raise refusal(lake, name, f"the links of {where}")
    if is_url(where) and not is_first and lake.exists(lake.links(name, "origin.json")):
        # The run checks with the server for changes; a check here would double the requests.
        lines = read_as(lake, lake.links(name, "lines.parquet"), LINK_LINES, ["identity"])
        _say(_checked_people(lines, people, as_typed, split))
        return
    found = asyncio.run(_find(lake, source, where, selection, changed(LinkLimits(), "links", settings)))
    if found.origin is None and _is_all_asked(lake, selection):
        lines = read_as(lake, lake.links(name, "lines.parquet"), LINK_LINES, ["identity"])
        _say(_checked_people(lines, people, as_typed, split))
        return
    lines = lines_found(lake, source, found)
    said = _checked_people(lines, people, as_typed, split)
    candidates = plan(lines, people, selection.per_identity)
    ledger = read_ledger(lake, name, ["key", "fetched_at", "received_bytes"])
    pending = pending_new(candidates, ledger)["url"]
    estimate = str(forecast(pending, own_rate(ledger) or DOCUMENTED))
    if is_outside and len(pending):
        said.append(f"forecast {estimate}")
    needs_yes = is_first and len(pending) > 0
    if needs_yes and not yes and not _has_terminal():
        raise refusal(lake, name, estimate)
    _say(said, is_asked=needs_yes and not yes)
    if needs_yes and not yes:
        _ask(lake, name)
    is_new = not lake.exists(lake.format_file)
    # As in the flow: a new lake needs no lease.
    with nullcontext() if is_new else alone(lake, "links", name, "all", good_for_s=load_settings().lease_s):
        keep_links(lake, source, found)
    if needs_yes:
        record_consent(lake, name, by=user_name(), told=estimate)


def check_retry(lake: Lake, selection: Selection, pending: pa.Table, *, yes: bool) -> None:
    """Ask for consent to a first contact before failed links are fetched again.

    Raises:
        UsageError: consent is missing.
    """
    name = selection.source
    is_outside = contacts_outside(source_named(name, lake), selection.links, selection.connect_to)
    if not len(pending) or not is_outside or has_consent(lake, name):
        return
    estimate = str(forecast(pending["url"]))
    if not yes:
        if not _has_terminal():
            raise refusal(lake, name, estimate)
        _say([f"forecast {estimate}"], is_asked=True)
        _ask(lake, name)
    record_consent(lake, name, by=user_name(), told=estimate)


def _is_all_asked(lake: Lake, selection: Selection) -> bool:
    """Whether the lines of the lake are planned for the selection, and all these links have been requested."""
    state = plan_state(lake, selection.source, selection.identities, selection.per_identity)
    known = read_planned(lake, selection.source, state)
    return known is not None and known.is_asked(lake, selection.source)


async def _find(lake: Lake, source: Source, where: str, selection: Selection, limits: LinkLimits) -> FoundLinks:
    return await find_links(
        lake, source, where, connect_to=selection.address, identities=selection.names, limits=limits
    )


def _checked_people(lines: pa.Table, people: People, as_typed: str | None, split: SplitRules | None) -> list[str]:
    """Validate the selection of people; the lines to print about it.

    Args:
        split: of a training, which needs enough people; None if there is none.

    Raises:
        UsageError: the selection is ambiguous, or too small for a training.
    """
    names = pc.unique(lines["identity"].cast(pa.string())).to_pylist()
    if split:
        check_enough_people(len(names) if people is None else min(len(names), _num(people)), split)
    if not isinstance(people, int):
        return []
    if as_typed is not None and as_typed.strip() in names:
        raise UsageError(
            f"--identities {people} may mean the first {people} people or the person named '{people}': write "
            f"first:{people} for the first {people}, or '{people},' for the person"
        )
    chosen = names[:people]
    return [f"people   the first {len(chosen):,} of {len(names):,}: {visible(chosen[0])} to {visible(chosen[-1])}"]


def _num(people: int | list[str]) -> int:
    return people if isinstance(people, int) else len(people)


def _say(lines: list[str], *, is_asked: bool = False) -> None:
    """Print lines on the error stream; with --quiet only those that a question is about."""
    for line in lines if is_asked or not is_quiet() else []:
        typer.echo(visible(line), err=True)


def _ask(lake: Lake, name: str) -> None:
    """Ask the user at the terminal for consent.

    Raises:
        UsageError: the user declined.
    """
    try:
        is_meant = typer.confirm(
            f"{lake.url} has not requested {name} from any host outside this machine yet. Continue?", err=True
        )
    except typer.Abort:
        is_meant = False
    if not is_meant:
        raise UsageError("nothing was requested, and nothing was written")


def _has_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()
