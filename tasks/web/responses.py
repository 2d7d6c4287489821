"""Interpret a response: pure functions of its status, headers and encodings."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from storage.records import Note, Reason
from tasks.images.formats import sniff
from tasks.web.addresses import Refusal

# 115 days; longer values are taken as mistakes.
_LONGEST_RETRY_AFTER_S = 10_000_000
_MOST_CODINGS = 4
# Values of Content-Encoding that some servers send and that name no coding.
_NO_CODINGS = frozenset({
    "", "identity", "none", "null", "binary", "7bit", "8bit", "base64", "plain", "utf-8", "utf8", "iso-8859-1",
    "us-ascii", "ascii", "text", "image", "jpeg", "jpg", "png", "gif", "webp", "image/jpeg", "image/jpg", "image/png",
    "image/gif", "image/webp",
})  # fmt: skip
_REASONS = {401: Reason.FORBIDDEN, 403: Reason.FORBIDDEN, 404: Reason.GONE, 410: Reason.GONE, 429: Reason.RATE_LIMITED}


@dataclass(frozen=True, slots=True)
class FetchResult:
    """The result of a request: bytes, or the reason for none, with measurements.

    Attributes:
        retry_after_s: the pause requested by the host.
        first_byte_s: time from the request to the head of the response, for the last hop.
        received_bytes: bytes of the body as transferred, before decompression.
        address: the address that sent the last response.
        via: None for the link's own host, `archive` for a web archive.
        notes: deviations of the response that were accepted.
        partial: if `reason` is set, the bytes of a picture received before the response ended. The picture may be
            complete: a Content-Length can be wrong.
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
    notes: frozenset[Note] = field(default=frozenset(), compare=False)
    partial: bytes = field(default=b"", compare=False, repr=False)


def reason_of_status(status: int) -> Reason | None:
    """The reason to reject a response of this status; None for 200."""
    if status == 200:
        return None
    return _REASONS.get(status, Reason.SERVER_ERROR if status >= 500 else Reason.HTTP_ERROR)


def retry_after_s(text: str, now: datetime | None = None) -> float | None:
    """The seconds that a Retry-After header requests, in either of its forms (RFC 9110, 10.2.3); None if it is invalid.

    Args:
        text: a number of seconds, or a date in the future.
        now: the current time, for the second form.
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
    """Whether a host requests that its picture not be used for machine learning (X-Robots-Tag: noai, noimageai)."""
    words = ",".join(robots_tags).replace(":", ",").lower().split(",")
    return any(word.strip() in ("noai", "noimageai") for word in words)


def storable(text: str) -> str:
    """At most 200 characters that can be stored in a table: bytes that are not UTF-8 are lone surrogates until here."""
    return text[:200].encode("utf-8", "backslashreplace").decode()


class Unpacked(NamedTuple):
    """The decoded bytes of a body.

    Attributes:
        is_odd: the declared encoding does not exist or does not match the bytes, which were kept unchanged.
        is_whole: the end of the encoded data was received.
    """

    data: bytes
    is_odd: bool = False
    is_whole: bool = True


def unpack(data: bytes, codings: list[str], cap: int) -> Unpacked:
    """Undo the codings of a body, up to `cap` bytes. No coding was requested, so a declared one may be a mistake.

    A picture that does not have the declared coding is kept unchanged, and so is any body whose declared coding does
    not exist, such as `none` or `utf-8`.

    Args:
        codings: in the order they were applied, in lower case.

    Raises:
        Refusal: a coding is unknown or does not match the bytes, or the result is too large.
    """
    is_odd, is_whole = False, True
    if len(codings) > _MOST_CODINGS:
        raise Refusal(Reason.BAD_RESPONSE, f"{len(codings)} encodings, over {_MOST_CODINGS}")
    for coding in reversed(codings):
        if coding in _NO_CODINGS:
            is_odd |= coding not in ("", "identity")
            continue
        try:
            data, is_whole = inflate(data, coding, cap)
        except Refusal as refusal:
            if refusal.reason is not Reason.BAD_RESPONSE or not sniff(data):
                raise
            is_odd = True
    return Unpacked(data, is_odd, is_whole)


def inflate(data: bytes, coding: str, cap: int) -> tuple[bytes, bool]:
    """Undo one coding. Returns the bytes, and whether the end of the encoded data was received.

    Raises:
        Refusal: the coding is unknown or does not match the bytes, or the result is too large.
    """
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise Refusal(Reason.BAD_RESPONSE, f"Content-Encoding {coding[:20]!a}")
    if not data:
        return b"", True
    try:
        return _inflate(data, 47, cap)
    except zlib.error as error:
        if coding == "deflate":  # like browsers, also without the zlib header that RFC 9110 requires
            with suppress(zlib.error):
                return _inflate(data, -15, cap)
        raise Refusal(Reason.BAD_RESPONSE, f"{coding}: {error}") from error


def _inflate(data: bytes, wbits: int, cap: int) -> tuple[bytes, bool]:
    """Decompress all members of a gzip file, or the single stream of another format."""
    plain = b""
    while True:
        inflater = zlib.decompressobj(wbits)
        plain += inflater.decompress(data, cap + 1 - len(plain))
        if len(plain) > cap:
            raise Refusal(Reason.TOO_LARGE, f"over {cap} bytes once unpacked")
        data = inflater.unused_data
        if not (inflater.eof and data.startswith(b"\x1f\x8b")):
            return plain, inflater.eof
