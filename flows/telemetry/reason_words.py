"""Reasons in words, for screens with little room. `storage/reasons.toml` has their full meanings."""

from __future__ import annotations

from storage.records import Reason
from tasks.dataset.funnel import NOT_PLANNED, PENDING

# The others are their codes with blanks: `server_error` is "server error".
_WORDS = {
    Reason.NOT_LISTED: "not a listed file",
    Reason.DNS: "unknown host",
    Reason.CONNECT: "no connection",
    Reason.TLS: "bad certificate",
    Reason.RESET: "broken connection",
    Reason.GONE: "not found",
    Reason.HTTP_ERROR: "other HTTP status",
    Reason.LOST: "lost in the lake",
    Reason.NOT_AN_IMAGE: "not a picture",
    Reason.BROKEN_IMAGE: "broken picture",
    Reason.EXACT_DUPLICATE: "same picture twice",
    Reason.NEAR_DUPLICATE: "near copy",
    Reason.CONFLICT: "two people claim it",
    Reason.UNSURE: "unsure detection",
    Reason.TURNED: "turned head",
    Reason.EXCLUDED: "excluded by name",
    Reason.CROSS_SPLIT: "copy in another split",
    Reason.SAME_PERSON: "one person, two names",
    PENDING: "not fetched yet",
    NOT_PLANNED: "not selected",
}


def reason_words(reason: str) -> str:
    """A reason in words. One that this version does not know is shown as it is stored, with blanks."""
    return _WORDS.get(reason, reason.replace("_", " "))
