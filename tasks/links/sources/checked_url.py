"""Validate the URL of a link line."""

from __future__ import annotations

import re

from storage.records import Reason
from storage.text.names import UNSAFE

MAX_URL = 8000
_NOT_UTF8 = "the URL is not UTF-8, perhaps Latin-1 (ISO 8859-1, Windows-1252): save the list as UTF-8"
# No userinfo, and no backslash before the path: programs disagree on the host of such a URL.
_URL = re.compile(
    rf"https?://(?:\[[0-9A-Fa-f:.]+\]|[^\s{UNSAFE}/?#@:\[\]\\]+)(?::(\d{{0,5}}))?(?:[/?#][^ {UNSAFE}]*)?",
    re.IGNORECASE,
)


class BadLineError(Exception):
    """A line of a list is invalid, for this reason."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def checked_url(raw: bytes) -> str:
    """The URL in `raw`.

    Raises:
        BadLineError: it is not a URL that may be requested.
    """
    try:
        url = raw.decode()
    except UnicodeDecodeError:
        raise BadLineError(Reason.MALFORMED_LINE, _NOT_UTF8) from None
    if len(url) > MAX_URL:
        raise BadLineError(Reason.BAD_URL, f"{len(url)} characters, at most {MAX_URL}")
    match = _URL.fullmatch(url)
    if match is None:
        raise BadLineError(
            Reason.BAD_URL, "not http(s)://host/..., without user name, password, control or bidi characters"
        )
    if int(match[1] or 0) > 65535:
        raise BadLineError(Reason.BAD_URL, f"port {match[1]} is beyond 65535")
    return url
