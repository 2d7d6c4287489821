"""Fetch the candidates of a unit, validate the responses, and write both to shards as they arrive.

The pictures of a unit are processed independently: a slow host delays its own links only. A shard is committed
every few hundred attempts, so a kill loses at most the open one.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from itertools import takewhile
from operator import attrgetter
from typing import Any, Protocol, TypeVar

import pyarrow as pa

from storage.files.lake import Lake
from storage.records import ATTEMPTS, Attempt, Candidate, ImageFacts, Note, Outcome, Reason, Retry, digest_by
from storage.tables.parquet import rows_to_table, write_table
from storage.tables.shards import ShardWriter, create_shard
from tasks.fetch.ledger import RULES, image_stems, next_try, unit_name
from tasks.images.end_markers import has_end_marker
from tasks.images.validate import Invalid
from tasks.images.validation_pool import ValidationPool, Verdict
from tasks.web.host_queue import HostElsewhere
from tasks.web.responses import FetchResult

ATTEMPTS_PER_SHARD = 500
# The pause before the one retry in the same run: the first number, or Retry-After up to the second number.
_PAUSE_S = 1.0
LONGEST_PAUSE_S = 20.0
# A link that waits for its second try takes 5 KB of memory.
_MOST_PAUSED = 1000
_PENDING_AT_ONCE = 1000
_COLUMNS = tuple(field.name for field in fields(Attempt) if field.name != "image")
_IMAGE_COLUMNS = tuple(field.name for field in fields(ImageFacts))
_values, _image_values = attrgetter(*_COLUMNS), attrgetter(*_IMAGE_COLUMNS)

Item = TypeVar("Item")


class Transport(Protocol):
    """Fetches the bytes of a URL, over the web or from a folder."""

    async def get(self, url: str) -> FetchResult:
        """Fetch once; failures are returned, not raised.

        Raises:
            HostElsewhere: another run may request the host.
        """


@dataclass(frozen=True, slots=True)
class UnitCalls:
    """What a unit tells and asks while it is fetched.

    Attributes:
        on_attempt: called with every finished attempt, before or after its commit.
        on_elsewhere: called with every candidate that needs a host which another run may request; it stays pending.
        goes_on: asked before each candidate; once false, the rest stays pending.
        on_shard: called after each commit of a shard.
    """

    on_attempt: Callable[[Attempt], None] = lambda attempt: None
    on_elsewhere: Callable[[Candidate, str], None] = lambda candidate, host: None
    goes_on: Callable[[], bool] = lambda: True
    on_shard: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class Pending:
    """A candidate with the state of its earlier rounds."""

    candidate: Candidate
    tries: int = 0
    rounds: int = 0


def to_pending(table: pa.Table) -> Iterator[Pending]:
    """The rows of a table with `records.CANDIDATES`, tries and round, generated lazily."""
    for batch in table.to_batches(max_chunksize=_PENDING_AT_ONCE):
        for row in batch.to_pylist():
            candidate = Candidate(*(row.get(name) for name in Candidate._fields))
            yield Pending(candidate, row["tries"], row["round"])


async def fetch_unit(
    lake: Lake,
    source: str,
    unit: int,
    pending: Iterable[Pending],
    transport: Transport,
    *,
    checks: ValidationPool | None = None,
    in_flight: int = 64,
    most_paused: int = _MOST_PAUSED,
    calls: UnitCalls = UnitCalls(),
) -> int:
    """Fetch every pending candidate of one unit and commit the results, shard by shard.

    Args:
        checks: validates the pictures, by default with the default limits. All units of a process may share it.
        in_flight: the number of concurrent fetches, and the most pictures in memory.
        most_paused: how many may wait for their second try without occupying a slot.
        calls: what is told and asked meanwhile.

    Returns:
        The number of attempts committed.
    """
    slots = _Slots(in_flight, most_paused)
    checks = checks or ValidationPool()
    commit_lock = asyncio.Lock()
    with _Shards(lake, source, unit) as shards:

        async def commit() -> None:
            if shards.is_open:
                await _run_to_completion(shards.commit)
                calls.on_shard()

        async def handle(one: Pending) -> None:
            if not calls.goes_on():  # it may have waited for a slot
                return
            try:
                attempt, data = await attempt_one(one, transport, checks, slots.pause)
            except HostElsewhere as elsewhere:
                calls.on_elsewhere(one.candidate, elsewhere.host)
                return
            async with commit_lock:  # held while a shard is committed
                if shards.add(attempt, data):
                    await commit()
            calls.on_attempt(attempt)

        await slots.for_each(handle, takewhile(lambda one: calls.goes_on(), pending))
        await commit()
    return shards.num_committed


async def attempt_one(
    pending: Pending,
    transport: Transport,
    checks: ValidationPool,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> tuple[Attempt, bytes]:
    """One round for one candidate: fetch, retry once if transient, validate. Returns the row and the bytes.

    Ends within two `FetchLimits.longest_get_s` and `LONGEST_PAUSE_S`, 380 s by default, and the time of two decodings.

    Args:
        pause: waits the given seconds before the second try; any longer wait adds to the limit.
    """
    started = time.monotonic()
    answer, result = await _fetch_and_validate(pending, transport, checks)
    tries = pending.tries + 1
    if isinstance(result, Invalid) and result.reason.retry is Retry.SOON:
        pause_s = max(_PAUSE_S, answer.retry_after_s or 0)
        if pause_s <= LONGEST_PAUSE_S:
            await pause(pause_s)
            answer, result = await _fetch_and_validate(pending, transport, checks)
            tries += 1
    now = datetime.now(UTC)
    rounds = pending.rounds + 1
    invalid, kind = result if isinstance(result, Invalid) else None, pending.candidate.digest_kind
    attempt = Attempt(
        key=pending.candidate.key,
        # A URL may reveal whose picture it is.
        url="" if invalid and invalid.reason is Reason.TAKEN_DOWN else pending.candidate.url,
        outcome=Outcome.REJECTED if invalid else Outcome.ACCEPTED,
        reason=invalid.reason if invalid else None,
        detail=invalid.detail if invalid else "",
        http_status=answer.http_status,
        tries=tries,
        round=rounds,
        # An archive is retried on request only, not on a schedule.
        next_try=next_try(invalid.reason, rounds, now, answer.retry_after_s) if invalid and not answer.via else None,
        final_url=answer.final_url,
        fetched_at=now,
        latency_s=time.monotonic() - started,
        image=None if isinstance(result, Invalid) else result,
        first_byte_s=answer.first_byte_s,
        received_bytes=answer.received_bytes,
        address=answer.address,
        via=answer.via,
        rules=RULES,
        note=" ".join(sorted(answer.notes)) or None,
        other_digest=digest_by(kind, answer.data) if kind and not invalid else None,
    )
    return attempt, b"" if invalid else answer.data


async def _fetch_and_validate(
    pending: Pending, transport: Transport, checks: ValidationPool
) -> tuple[FetchResult, Verdict]:
    answer = await transport.get(pending.candidate.url)
    if answer.reason is None:
        return answer, await checks.verdict(answer.data)
    if has_end_marker(answer.partial):
        verdict = await checks.verdict(answer.partial)
        if isinstance(verdict, ImageFacts):
            notes = answer.notes | {Note.INCOMPLETE}
            return replace(answer, data=answer.partial, reason=None, partial=b"", notes=notes), verdict
    return answer, Invalid(answer.reason, answer.detail)


async def _run_to_completion(work: Callable[[], None]) -> None:
    """Run `work` in a thread. A cancellation waits for its end, so that the shard is complete or absent."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


class _Slots:
    """Bounds the number of concurrent items; a paused item frees its slot meanwhile."""

    def __init__(self, width: int, most_paused: int) -> None:
        self._most_paused = most_paused
        self._places = asyncio.Semaphore(width)
        self._num_paused = 0

    async def for_each(self, work: Callable[[Item], Awaitable[None]], items: Iterable[Item]) -> None:
        """Process all items; the first error cancels the others and is raised unchanged."""

        async def one(item: Item) -> None:
            try:
                await work(item)
            finally:
                self._places.release()

        try:
            async with asyncio.TaskGroup() as group:
                for item in items:
                    await self._places.acquire()
                    group.create_task(one(item))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def pause(self, seconds: float) -> None:
        """Wait without occupying a slot: 6000 links, 16% of them tried twice, take 8 s instead of 11 (measured)."""
        if self._num_paused >= self._most_paused:
            await asyncio.sleep(seconds)
            return
        self._num_paused += 1
        self._places.release()
        try:
            await asyncio.sleep(seconds)
        finally:
            self._num_paused -= 1
        await self._places.acquire()


class _Shards:
    """The open shard and its rows. A commit writes the tar first and the index last, then opens the next."""

    def __init__(self, lake: Lake, source: str, unit: int) -> None:
        self._lake = lake
        self._source = source
        self._unit = unit_name(unit)
        taken = image_stems(lake, source, unit)
        # If two runs process one unit, they fetch some pictures twice but never write the same shard.
        self._token = secrets.token_hex(3)
        self._next = 1 + max((int(stem.split("-")[1]) for stem in taken), default=-1)
        self._stack = ExitStack()
        self._tar: ShardWriter | None = None
        self._rows: list[dict[str, Any]] = []
        self.num_committed = 0

    def __enter__(self) -> _Shards:
        return self

    def __exit__(self, *error: Any) -> None:
        # A shard is still open only after an error or a cancellation: its temporary file is then removed.
        self._stack.__exit__(*error)

    @property
    def is_open(self) -> bool:
        """Whether there are rows to commit."""
        return bool(self._rows)

    @property
    def _stem(self) -> str:
        return f"{self._unit}-{self._next:04d}-{self._token}"

    def add(self, attempt: Attempt, data: bytes) -> bool:
        """Append one attempt; returns whether the shard is full."""
        place: dict[str, Any] = {}
        if attempt.image is not None:
            if self._tar is None:
                path = f"{self._lake.images(self._source, self._stem)}.tar"
                self._tar = self._stack.enter_context(create_shard(self._lake, path))
            offset, length = self._tar.add(f"{attempt.key.hex()}.{attempt.image.format.lower()}", data)
            place = {"shard": self._stem, "offset": offset, "length": length}
        self._rows.append(_row(attempt) | place)
        return len(self._rows) >= ATTEMPTS_PER_SHARD

    def commit(self) -> None:
        """Commit the open shard to the lake."""
        self._stack.close()
        self._tar = None
        write_table(
            self._lake,
            f"{self._lake.images(self._source, self._stem)}.parquet",
            rows_to_table(self._rows, ATTEMPTS),
        )
        self.num_committed += len(self._rows)
        self._rows = []
        self._next += 1


def _row(attempt: Attempt) -> dict[str, Any]:
    """The attempt as a row of `records.ATTEMPTS`, with the facts of its picture."""
    row = dict(zip(_COLUMNS, _values(attempt), strict=True))
    if attempt.image is not None:
        row.update(zip(_IMAGE_COLUMNS, _image_values(attempt.image), strict=True))
    return row
