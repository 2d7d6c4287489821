"""What an answer of the web means: pure readings of its status, headers and encodings."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from storage.records import Reason
from tasks.web.addresses import Refusal

# 115 days; whoever asks for longer does not mean it.
_LONGEST_RETRY_AFTER_S = 10_000_000
_REASONS = {401: Reason.FORBIDDEN, 403: Reason.FORBIDDEN, 404: Reason.GONE, 410: Reason.GONE, 429: Reason.RATE_LIMITED}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request brought: bytes, or the reason why there are none; and what was measured of it.

    Attributes:
        retry_after_s: how long the host wants to be left alone.
        first_byte_s: from the request being sent to the head of the answer, of the last hop.
        received_bytes: of the body, as they came over the wire.
        address: the address the last answer came from.
        via: None for the link's own host, `archive` for a web archive.
    """

    final_url: str
    data: bytes = b""
    reason: Reason | None = None
    detail: str = ""
    http_status: int | None = None
    retry_after_s: float | None = None
    first_byte_s: float | None = field(default=None, compare=False)
    received_bytes: int = field(default=0, compare=False)
    address: str | None = field(default=None, compare=False)
    via: str | None = None


def reason_of_status(status: int) -> Reason | None:
    """Why an answer of this status is no picture; None for 200."""
    if status == 200:
        return None
    return _REASONS.get(status, Reason.SERVER_ERROR if status >= 500 else Reason.HTTP_ERROR)


def retry_after_s(text: str, now: datetime | None = None) -> float | None:
    """The seconds that a Retry-After header asks for, in either of its forms (RFC 9110, 10.2.3); None if it is none.

    Args:
        text: a number of seconds, or a date in the future.
        now: the present, for the second form.
    """
    if text.isdecimal() and text.isascii():
        seconds = float(text) if len(text) < 9 else float(_LONGEST_RETRY_AFTER_S)
        return seconds if seconds < _LONGEST_RETRY_AFTER_S else None
    if not text:
        return None
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, IndexError, OverflowError):
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    seconds = max((when - (now or datetime.now(UTC))).total_seconds(), 0.0)
    return seconds if seconds < _LONGEST_RETRY_AFTER_S else None


def is_opted_out(robots_tags: Iterable[str]) -> bool:
    """Whether a host asks that its picture not be used for machine learning (X-Robots-Tag: noai, noimageai)."""
    words = ",".join(robots_tags).replace(":", ",").lower().split(",")
    return any(word.strip() in ("noai", "noimageai") for word in words)


def storable(text: str) -> str:
    """At most 200 letters that a table can hold: bytes of a host that are not UTF-8 arrive as lone surrogates."""
    return text[:200].encode("utf-8", "backslashreplace").decode()


def inflate(data: bytes, encoding: str, cap: int) -> bytes:
    """Undo a Content-Encoding that was not asked for, never beyond `cap` bytes.

    Raises:
        Refusal: the encoding is unknown, or the bytes are not of it, cut short, or too many once unpacked.
    """
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise Refusal(Reason.BAD_RESPONSE, f"Content-Encoding {encoding[:20]!r}")
    inflater = zlib.decompressobj(wbits=47)
    try:
        plain = inflater.decompress(data, cap + 1)
    except zlib.error as error:
        raise Refusal(Reason.BAD_RESPONSE, f"{encoding}: {error}") from error
    if len(plain) > cap:
        raise Refusal(Reason.TOO_LARGE, f"over {cap} bytes once unpacked")
    if data and not inflater.eof:
        raise Refusal(Reason.CUT_SHORT, f"{encoding}: the end is missing")
    return plain
