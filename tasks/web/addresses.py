"""Validate URLs and addresses: public ones and those the operator allows. Pure functions, no look-ups.

A link list is untrusted input. A URL or a redirect may point to this machine or its network, so the host is checked
as written here, and every resolved address again when the connection is made (`resolver.GuardedResolver`).
"""

from __future__ import annotations

import ipaddress
import re
import socket
from urllib.parse import quote

from yarl import URL

from storage.records import Reason

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_PARTS = re.compile(r"((?:[^:/?#]+:)?(?://[^/?#]*)?)([^?#]*)(\?[^#]*)?(#.*)?", re.DOTALL)
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))
# The characters of each part of a URL that are not escaped: all but the percent-encode sets of
# https://url.spec.whatwg.org/. The percent sign is among them, so that existing escapes are kept.
_IN_PATH, _IN_QUERY, _IN_FRAGMENT = (
    _PRINTABLE.translate(dict.fromkeys(map(ord, escaped))) for escaped in ('"<>^`{}', "\"<>'", '"<>`')
)
_NOT_IN_URLS = dict.fromkeys(map(ord, "\t\r\n"))
# The last label of an IPv4 address (https://url.spec.whatwg.org/#ends-in-a-number-checker).
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_NAME = re.compile(r"[a-z0-9_.-]+")
# Letters that occur in no form of an address. They exclude nine host names in ten without an attempt to parse one.
_NOT_IN_ADDRESSES = re.compile(r"[g-wyzG-WYZ_-]")
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# RFC 6761: `localhost` is always this machine. The others are names of local networks.
_LOCAL_NAMES = ("localhost", "local", "internal", "home.arpa", "lan")


class Refusal(Exception):
    """The reason a URL must not be fetched."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def parse_url(text: str) -> URL:
    """Parse a URL as written, ready to be sent: 292,462 of 2.4 million hold percent escapes, some of them double.

    Only what browsers change is changed: characters invalid in a part of a URL are escaped (non-ASCII letters as UTF-8,
    or as the original bytes), backslashes of a path are slashes, tabs and line ends are dropped, a non-ASCII
    host is mapped by IDNA. Dot segments are left to the server.

    Raises:
        Refusal: it is not a URL.
    """
    found = _PARTS.fullmatch(text.strip().translate(_NOT_IN_URLS))
    assert found  # any text has these parts, most of them empty
    head, path, query, fragment = found.groups("")
    try:
        rest = _escaped(path.replace("\\", "/"), _IN_PATH) + _escaped(query, _IN_QUERY)
        url = URL(head + rest + _escaped(fragment, _IN_FRAGMENT), encoded=True)
        if url.explicit_port == 0:  # reading the port also validates it
            raise ValueError("port 0")
        return url if head.isascii() else url.with_host(url.raw_host or "")
    except ValueError as error:
        raise Refusal(Reason.BAD_URL, f"{error}") from error


def _escaped(part: str, safe: str) -> str:
    return quote(part, safe=safe, errors="surrogateescape") if part.strip(safe) else part


def literal_address(host: str) -> Address | None:
    """The address that `host` denotes, in any form a C library accepts (`127.1`, `0x7f000001`, `2130706433`, IPv6).

    None if `host` is a name.
    """
    bare = host.strip("[]").rstrip(".")
    if ":" in bare:
        bare = bare.partition("%")[0]  # the zone of a link-local address
    elif _NOT_IN_ADDRESSES.search(bare):
        return None
    try:
        return ipaddress.ip_address(bare)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(bare))
    except (OSError, ValueError, UnicodeError):
        return None


def is_public(address: Address, allowed: tuple[Network, ...] = ()) -> bool:
    """Whether an address may be contacted: global unicast, or in one of the `allowed` networks.

    IPv6 forms that carry an IPv4 address (mapped, NAT64, 6to4, Teredo) are public only if every embedded address is.
    """
    if any(address in network for network in allowed):
        return True
    if isinstance(address, ipaddress.IPv6Address):
        inner = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if address in _NAT64:
            inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        embedded = [one for one in inner if one is not None]
        if embedded:
            return all(is_public(one, allowed) for one in embedded)
        if address not in _GLOBAL_UNICAST:
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def check_url(url: URL, allowed: tuple[Network, ...] = ()) -> Refusal | None:  # noqa: PLR0911 - a sequence of checks
    """The reason `url` must not be fetched, determined from its text alone; None if it may be."""
    if url.scheme not in ("http", "https"):
        return Refusal(Reason.NOT_PUBLIC, f"scheme {url.scheme or 'none'!r}; only http and https are supported")
    if url.user is not None or url.password is not None:
        return Refusal(Reason.NOT_PUBLIC, "the URL contains a user name")
    host = url.raw_host
    if not host:
        return Refusal(Reason.BAD_URL, "no host")
    address = literal_address(host)
    if address is not None:
        return None if is_public(address, allowed) else Refusal(Reason.NOT_PUBLIC, f"{host} is not a public address")
    name = host.rstrip(".").lower()
    if name == "invalid" or name.endswith(".invalid"):
        return Refusal(Reason.DNS, f"{host}: by RFC 6761, .invalid never resolves")
    if not _NAME.fullmatch(name):
        return Refusal(Reason.BAD_URL, f"{name!a} is not a valid host name")
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        return Refusal(Reason.BAD_URL, f"{name} ends in a number and is not an address")
    if any(name == local or name.endswith(f".{local}") for local in _LOCAL_NAMES) and not allowed:
        return Refusal(Reason.NOT_PUBLIC, f"{host} is a name of the local network")
    return None
