"""Read one response to its end or to the reason it failed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from storage.records import Note, Reason
from tasks.web.addresses import Refusal
from tasks.web.connections import Response
from tasks.web.framing import words_of
from tasks.web.limits import FetchLimits
from tasks.web.responses import FetchResult, Unpacked, is_opted_out, reason_of_status, retry_after_s, storable, unpack

# The most bytes of the announced length that may be missing after a complete picture. Servers that count wrongly are
# off by one or two line ends; if thousands of bytes are missing, part of the file is.
MOST_MISSING_BYTES = 4096
# With these reasons a picture may still be complete: its format marks its end.
_MAY_BE_COMPLETE = frozenset({Reason.CUT_SHORT, Reason.TIMEOUT, Reason.TOO_SLOW, Reason.RESET, Reason.BAD_RESPONSE})


class FetchState:
    """The state of one fetch: the last response, its body so far, and the deviations accepted.

    Args:
        max_bytes: limit on a body, before and after decompression.
        is_start_enough: whether a longer body is cut at the limit instead of rejected.
    """

    def __init__(self, url: str, max_bytes: int, *, is_start_enough: bool = False) -> None:
        self.url = url
        self.max_bytes = max_bytes
        self.is_start_enough = is_start_enough
        self.http_status: int | None = None
        self.retry_after_s: float | None = None
        self.first_byte_s: float | None = None
        self.received_bytes = 0
        self.address: str | None = None
        self.notes: set[Note] = set()
        self.codings: list[str] = []
        self.announced_bytes: int | None = None
        self.chunks: list[bytes] = []

    def head(self, response: Response, first_byte_s: float) -> None:
        """Record the head of a response."""
        self.http_status = response.status
        self.retry_after_s = retry_after_s(response.headers.get("Retry-After", ""))
        self.first_byte_s = first_byte_s
        self.address = response.peer
        self.announced_bytes = response.framing.head.length if response.framing.head else None
        self.notes -= _OF_ONE_RESPONSE
        # Transfer codings were applied last. Chunks are already decoded.
        transfer = [word for word in words_of(response.headers, "Transfer-Encoding") if word != "chunked"]
        self.codings = words_of(response.headers, "Content-Encoding") + transfer

    def succeeded(self, data: bytes) -> FetchResult:
        """The result with the bytes."""
        return self._result(data=data)

    def failed(self, reason: Reason, detail: str, retry_after_s: float | None = None) -> FetchResult:
        """The result with the reason for the failure."""
        partial = self._partial() if self.chunks and reason in _MAY_BE_COMPLETE and self._is_nearly_all() else b""
        return self._result(reason=reason, detail=storable(detail), retry_after_s=retry_after_s, partial=partial)

    def _is_nearly_all(self) -> bool:
        return (self.announced_bytes or 0) - self.received_bytes <= MOST_MISSING_BYTES

    def _partial(self) -> bytes:
        with suppress(Refusal):
            found = unpack(b"".join(self.chunks), self.codings, self.max_bytes)
            if found.is_odd:
                self.notes.add(Note.ODD_ENCODING)
            return found.data
        return b""

    def _result(self, **what: Any) -> FetchResult:
        return FetchResult(
            self.url,
            http_status=self.http_status,
            first_byte_s=self.first_byte_s,
            received_bytes=self.received_bytes,
            address=self.address,
            notes=frozenset(self.notes),
            **what,
        )


_OF_ONE_RESPONSE = frozenset(Note) - {Note.BAD_CERTIFICATE}


async def read(
    response: Response, state: FetchState, limits: FetchLimits, clock: Callable[[], float] = time.monotonic
) -> FetchResult:
    """Read the body of a response: the result with its bytes, or with the reason that there are none.

    Raises:
        Refusal: the body is too large, too slow, cut short or badly encoded.
        TimeoutError: the host stopped sending.
    """
    reason = reason_of_status(response.status)
    if reason is None and is_opted_out(response.headers.getall("X-Robots-Tag", [])):
        reason = Reason.OPTED_OUT
    if reason is not None:
        state.notes |= response.framing.notes
        return state.failed(reason, f"{response.status} {response.reason or ''}".strip(), state.retry_after_s)
    try:
        await _receive(response, state, limits, clock)
    finally:
        state.notes |= response.framing.notes
    body = b"".join(state.chunks)
    found = (
        await asyncio.to_thread(unpack, body, state.codings, state.max_bytes) if any(state.codings) else Unpacked(body)
    )
    if found.is_odd:
        state.notes.add(Note.ODD_ENCODING)
    if not found.is_whole:
        raise Refusal(Reason.CUT_SHORT, f"{state.codings[-1]}: the body is truncated")
    return state.succeeded(found.data)


async def _receive(response: Response, state: FetchState, limits: FetchLimits, clock: Callable[[], float]) -> None:
    """Read the whole body into `state.chunks`."""
    cap, framing, length = state.max_bytes, response.framing, state.announced_bytes
    if (length or 0) > cap and not state.is_start_enough:
        raise Refusal(Reason.TOO_LARGE, f"{length} bytes, over {cap}")
    started = clock()
    while chunk := await response.content.readany():
        state.chunks.append(chunk)
        state.received_bytes += len(chunk)
        if state.received_bytes > cap:
            if not state.is_start_enough:
                state.chunks.clear()
                raise Refusal(Reason.TOO_LARGE, f"over {cap} bytes")
            state.chunks[-1] = chunk[: cap - state.received_bytes]
            return
        elapsed = clock() - started
        if elapsed > limits.grace_s and state.received_bytes < elapsed * limits.min_bytes_per_s:
            raise Refusal(Reason.TOO_SLOW, f"{state.received_bytes} bytes in {elapsed:.1f} s")
    if framing.error:
        raise Refusal(Reason.BAD_RESPONSE, str(framing.error))
    if not framing.is_done:
        expected = "" if length is None else f" of {length}"
        raise Refusal(Reason.CUT_SHORT, f"the connection ended after {state.received_bytes}{expected} bytes")
