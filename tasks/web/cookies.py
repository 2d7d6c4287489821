"""Cookies shared by the requests of one link (RFC 6265)."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from yarl import URL

from tasks.web.addresses import literal_address

# Some servers reject headers of more than 8 KB.
_MOST_BYTES = 8_000
# Second-level labels under a country's domain that stand for a kind of owner, so that no cookie is valid for all of
# co.uk. Mozilla's list of such suffixes is long and changes. It would add little here: a host that sets a cookie for a
# suffix could put the same text into the URL that it redirects to.
_SHARED = frozenset({"ac", "co", "com", "edu", "go", "gob", "gov", "mil", "ne", "net", "or", "org"})


class _Cookie(NamedTuple):
    name: str
    value: str
    domain: str
    is_for_subdomains: bool
    path: str
    is_secure: bool

    def is_for(self, url: URL) -> bool:
        """Whether a request for `url` sends the cookie."""
        if self.is_secure and url.scheme != "https":
            return False
        host = _host(url)
        is_host = host == self.domain or (self.is_for_subdomains and _is_below(host, self.domain))
        path = url.raw_path or "/"
        return is_host and (path == self.path or path.startswith(self.path.rstrip("/") + "/"))


class Cookies:
    """The cookies set so far."""

    def __init__(self) -> None:
        self._cookies: dict[tuple[str, str, str], _Cookie] = {}

    def keep(self, url: URL, field: str) -> None:
        """Store one Set-Cookie field of a response from `url`; malformed or foreign cookies are ignored."""
        words, *attributes = field.split(";")
        name, equals, value = (word.strip(" \t") for word in words.partition("="))
        options = {
            key.strip().lower(): value.strip(" \t") for key, _, value in (one.partition("=") for one in attributes)
        }
        domain = options.get("domain", "").removeprefix(".").lower()
        host = _host(url)
        is_for_subdomains = bool(domain) and domain != host
        if not (equals and name and field.isascii() and field.isprintable()):
            return
        if is_for_subdomains and (_is_shared(domain) or not _is_below(host, domain)):
            return
        is_for_subdomains = bool(domain) and not _is_shared(domain) and literal_address(host) is None
        path = options["path"] if options.get("path", "").startswith("/") else _folder(url)
        key = name, domain or host, path
        self._cookies.pop(key, None)
        if not _is_expired(options):
            self._cookies[key] = _Cookie(name, value, domain or host, is_for_subdomains, path, "secure" in options)

    def header(self, url: URL) -> str:
        """The value of the Cookie header of a request, long paths first; empty for none."""
        found = sorted((one for one in self._cookies.values() if one.is_for(url)), key=lambda one: -len(one.path))
        pairs: list[str] = []
        left = _MOST_BYTES
        for one in found:
            left -= len(one.name) + len(one.value) + 3
            if left >= 0:
                pairs.append(f"{one.name}={one.value}")
        return "; ".join(pairs)


def _host(url: URL) -> str:
    return (url.raw_host or "").lower()


def _is_below(host: str, domain: str) -> bool:
    return host.endswith(f".{domain}") and literal_address(host) is None


def _is_shared(domain: str) -> bool:
    """Whether a domain belongs to many owners: one label, or a kind of owner below a country."""
    labels = domain.split(".")
    return len(labels) == 1 or (len(labels) == 2 and len(labels[1]) == 2 and labels[0] in _SHARED)


def _folder(url: URL) -> str:
    """The default path of a cookie (RFC 6265, 5.1.4)."""
    return (url.raw_path or "/").rpartition("/")[0] or "/"


def _is_expired(options: dict[str, str]) -> bool:
    """Whether a cookie has expired, so that it is deleted; Max-Age takes precedence over Expires."""
    age = options.get("max-age", "")
    if age.removeprefix("-").isdecimal():
        return age.startswith("-") or not age.strip("0")
    with suppress(ValueError, IndexError, OverflowError):
        when = parsedate_to_datetime(options.get("expires", ""))
        return (when if when.tzinfo else when.replace(tzinfo=UTC)) <= datetime.now(UTC)
    return False
