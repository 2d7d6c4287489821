"""The ledger: the newest attempt of every candidate over all image indexes, and the links that are due."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from storage.files.lake import Lake
from storage.records import ATTEMPTS, CANDIDATES, Outcome, Reason, Retry
from storage.tables.byte_order import by_bytes
from storage.tables.merged_tables import read_tables
from storage.tables.take import take
from storage.text.names import STEM
from storage.versions.takedowns import blanked, read_forgotten

# The wait before each further round, by the number of rounds so far. One retry raises the share of accepted links from
# 56% to 77%, ten tries to 78% (img2dataset #361): so one retry in the same run, then at growing intervals.
_SOON = (timedelta(0), timedelta(hours=1), timedelta(days=1), timedelta(days=7))
_LATER = (timedelta(hours=1), timedelta(days=1), timedelta(days=7))

# Reasons that suggest that the picture no longer exists. Not among them: a host that forbids access or opts out, and an
# invalid picture.
_GONE = (
    Reason.GONE, Reason.DNS, Reason.CONNECT, Reason.TLS, Reason.TIMEOUT, Reason.TOO_SLOW, Reason.RESET,
    Reason.CUT_SHORT, Reason.HOST_DOWN, Reason.HOST_BUSY, Reason.RATE_LIMITED, Reason.SERVER_ERROR, Reason.HTTP_ERROR,
    Reason.REDIRECT_LOOP, Reason.BAD_RESPONSE, Reason.EMPTY, Reason.NOT_AN_IMAGE,
)  # fmt: skip


# The version of the validation rules, stored in each row; rows without one have version 1.
# Version 2: responses are parsed as in curl and browsers, cookies are kept, up to 20 redirects are followed, URLs are
# escaped as in browsers, and robots.txt is read by RFC 9309. AVIF and JPEGs and PNGs with harmless faults are accepted.
RULES = 2
# By version, the reasons that it gives to fewer links than the version before.
_FEWER = {
    2: frozenset({
        Reason.BAD_RESPONSE, Reason.BAD_URL, Reason.BROKEN_IMAGE, Reason.CUT_SHORT, Reason.HTTP_ERROR,
        Reason.NOT_AN_IMAGE, Reason.REDIRECT_LOOP, Reason.ROBOTS,
    }),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Choice:
    """Which failed links a retry takes.

    Attributes:
        reasons: only those that failed for one of these; empty for all.
        hosts: only those on one of these hosts, in lower case; empty for all.
        ignore_gaps: also links whose next try lies in the future. Links without a next try are left alone.
        also_final: also links without a next try, except those under takedown.
        archive: instead, permanently dead links that a web archive may have.
    """

    reasons: tuple[Reason, ...] = ()
    hosts: tuple[str, ...] = ()
    ignore_gaps: bool = False
    also_final: bool = False
    archive: bool = False

    # The columns that `chosen` and a further round need.
    columns = ("key", "url", "outcome", "reason", "tries", "round", "next_try", "via")


def image_stems(lake: Lake, source: str, unit: int | None = None) -> list[str]:
    """The committed shards of images of a source, in order. Other files are ignored; `facemill check` reports them.

    Args:
        unit: only those of this unit; no others are listed.
    """
    start = "" if unit is None else f"{unit_name(unit)}-"
    names = lake.names(lake.images(source), start)
    stems = [name.removesuffix(".parquet") for name in names if name.endswith(".parquet")]
    return [stem for stem in stems if STEM.fits(stem)]


def unit_name(unit: int) -> str:
    """The name of a unit: the prefix of its shards and leases."""
    return f"{unit:04d}"


def stems_by_unit(stems: Iterable[str]) -> dict[int, list[str]]:
    """The shards of each unit, in order."""
    units: dict[int, list[str]] = {}
    for stem in stems:
        units.setdefault(int(stem.split("-")[0]), []).append(stem)
    return units


def read_ledger(
    lake: Lake, source: str, columns: list[str] | None = None, *, stems: Iterable[str] | None = None
) -> pa.Table:
    """The newest attempt per key (`records.ATTEMPTS`, or some columns of it); columns an older index lacks are null.

    Rows covered by takedowns are returned as `taken_down`, whatever is stored.

    Args:
        stems: read only these shards; None for all of the source.
    """
    wanted = columns or ATTEMPTS.names
    forgotten = read_forgotten(lake, source)
    needed = list(dict.fromkeys([*wanted, "key", "round", *(["digest"] if forgotten else [])]))
    stems = image_stems(lake, source) if stems is None else stems
    tables = [rows.table for rows in read_tables(lake, lake.images(source), list(stems), ATTEMPTS, needed)]
    if not tables:
        return pa.schema([ATTEMPTS.field(name) for name in wanted]).empty_table()
    attempts = newest(pa.concat_tables(tables).unify_dictionaries())
    return (blanked(attempts, forgotten.rows(attempts)) if forgotten else attempts).select(wanted)


def newest(attempts: pa.Table) -> pa.Table:
    """The row with the highest round per key, of equal ones the last; the order of the rows is kept."""
    num = len(attempts)
    rows, starts = by_bytes(attempts["key"])
    if len(starts) == num:
        return attempts
    age = attempts["round"].to_numpy()[rows].astype(np.int64) * num + rows
    return take(attempts, np.sort(np.maximum.reduceat(age, starts) % num))


def unknown(candidates: pa.Table, ledger: pa.Table) -> pa.Table:
    """The candidates without an attempt."""
    return candidates.filter(pc.invert(pc.is_in(candidates["key"], value_set=ledger["key"].combine_chunks())))


def due(ledger: pa.Table, now: datetime) -> pa.Table:
    """The rows whose next try is due."""
    return ledger.filter(_is_due(ledger, now))


def _is_due(ledger: pa.Table, now: datetime) -> pa.ChunkedArray:
    return pc.fill_null(pc.less_equal(ledger["next_try"], pa.scalar(now, pa.timestamp("ms", "UTC"))), False)


def chosen(ledger: pa.Table, choice: Choice, now: datetime) -> pa.Table:
    """The rows of a retry.

    Args:
        ledger: with at least the columns `Choice.columns`.
    """
    rows = _permanently_gone(ledger) if choice.archive else ledger.filter(_is_selected(ledger, choice, now))
    if choice.reasons:
        rows = rows.filter(_is_one_of(rows["reason"], choice.reasons))
    if choice.hosts:
        rows = rows.filter(_is_one_of(host_of(rows["url"]), choice.hosts))
    return rows


def _is_selected(ledger: pa.Table, choice: Choice, now: datetime) -> pa.ChunkedArray:
    is_due = pc.is_valid(ledger["next_try"]) if choice.ignore_gaps else _is_due(ledger, now)
    return pc.or_(is_due, _is_final(ledger)) if choice.also_final else is_due


def _is_final(ledger: pa.Table) -> pa.ChunkedArray:
    """Whether each link failed and has no scheduled retry."""
    is_open = pc.and_(pc.is_valid(ledger["reason"]), pc.is_null(ledger["next_try"]))
    return pc.and_not(is_open, _is_one_of(ledger["reason"], [Reason.TAKEN_DOWN]))


def rejected_by_older_rules(ledger: pa.Table) -> Counter[str]:
    """The number, by reason, of finally rejected links that the current rules might accept: an older version rejected
    them, for a reason that a newer version gives to fewer links.

    Args:
        ledger: with at least reason, next_try and rules.
    """
    final = ledger.filter(_is_final(ledger))
    versions = pc.fill_null(final["rules"], 1)
    of_each = [
        pc.and_(pc.less(versions, version), _is_one_of(final["reason"], reasons)) for version, reasons in _FEWER.items()
    ]
    return Counter(final.filter(reduce(pc.or_, of_each))["reason"].cast(pa.string()).to_pylist())


def _permanently_gone(ledger: pa.Table) -> pa.Table:
    """The rows without a further round whose picture no longer exists at its host. A link that the archive lacks too is
    left out; one that failed at the archive for a transient reason is included.
    """
    gone = ledger.filter(pc.and_(pc.is_null(ledger["next_try"]), _is_one_of(ledger["reason"], _GONE)))
    passing = [reason for reason in _GONE if reason.retry is not Retry.NEVER]
    return gone.filter(pc.or_(pc.is_null(gone["via"]), _is_one_of(gone["reason"], passing)))


def _is_one_of(column: pa.ChunkedArray, words: Iterable[str]) -> pa.ChunkedArray:
    return pc.is_in(column.cast(pa.string()), value_set=pa.array([str(word) for word in words]))


def host_of(urls: pa.ChunkedArray) -> pa.ChunkedArray:
    """The host of each URL in lower case, without user and port; empty where it has none."""
    found = pc.extract_regex(urls, r"^[^/]*//(?:[^/?#@]*@)?(?P<host>\[[^\]/]*\]|[^/?#:]*)")
    return pc.utf8_lower(pc.fill_null(pc.struct_field(found, "host"), ""))


def pending_new(candidates: pa.Table, ledger: pa.Table) -> pa.Table:
    """The first round: the candidates without an attempt, with tries and round."""
    return first_round(unknown(candidates, ledger))


def first_round(candidates: pa.Table) -> pa.Table:
    """Candidates that were never requested, with tries and round."""
    zeros = pa.array(np.zeros(len(candidates), dtype=np.int16))
    return candidates.append_column("tries", zeros).append_column("round", zeros)


def pending_due(candidates: pa.Table, ledger: pa.Table, now: datetime) -> pa.Table:
    """A further round: `pending_again` of the candidates whose next try is due."""
    return pending_again(candidates, due(ledger, now))


def pending_again(candidates: pa.Table, ready: pa.Table) -> pa.Table:
    """The candidates that have a row in `ready`, with tries and round."""
    rows = pc.index_in(candidates["key"], value_set=ready["key"].combine_chunks())
    again = candidates.filter(pc.is_valid(rows))
    rows = rows.drop_null()
    return again.append_column("tries", ready["tries"].take(rows)).append_column("round", ready["round"].take(rows))


def nothing_pending() -> pa.Table:
    """No candidates, in the form of a further round."""
    return pending_again(CANDIDATES.empty_table(), ATTEMPTS.empty_table())


def still_pending(pending: pa.Table, ledger: pa.Table) -> pa.Table:
    """Those of `pending` whose round has not been committed meanwhile."""
    rows = pc.index_in(pending["key"], value_set=ledger["key"].combine_chunks())
    committed = pc.greater(ledger["round"].take(rows), pending["round"])
    return pending.filter(pc.invert(pc.fill_null(committed, False)))


def left_of(lake: Lake, source: str, pending: pa.Table, seen: Iterable[str]) -> pa.Table:
    """Those of one unit's `pending` that no other run has fetched, by the shards besides `seen`."""
    units, known = set(pc.unique(pending["unit"]).to_pylist()), frozenset(seen)
    fresh = [stem for unit in units for stem in image_stems(lake, source, unit) if stem not in known]
    return still_pending(pending, read_ledger(lake, source, ["key", "round"], stems=fresh)) if fresh else pending


def next_try(reason: Reason, rounds: int, now: datetime, retry_after_s: float | None = None) -> datetime | None:
    """The time of the next try after `rounds` failed rounds, not before Retry-After; None for never."""
    gaps = {Retry.NEVER: (), Retry.SOON: _SOON, Retry.LATER: _LATER}[reason.retry]
    if rounds > len(gaps):
        return None
    gap = gaps[rounds - 1]
    return now + max(gap, timedelta(seconds=retry_after_s or 0))


def accepted(attempts: pa.Table) -> pa.Table:
    """The rows of accepted pictures, which are in the lake."""
    return attempts.filter(pc.equal(attempts["outcome"].cast(pa.string()), Outcome.ACCEPTED.value))
