"""Proxy variables of the environment: bypass them for loopback, and drop those that the clients cannot use."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
# The proxy kinds of httpx; it refuses to start if a variable has another kind, whatever the host requested.
_SCHEMES = {"http", "https", ""}


def without_proxy_for_loopback(environment: Mapping[str, str], api: str = "") -> dict[str, str]:
    """NO_PROXY and no_proxy, extended by loopback and by the host of `api` if that is a loopback address.

    If both are set, clients use the lower-case one. This function does the same, and sets both.
    """
    own = next((environment[name] for name in ("no_proxy", "NO_PROXY") if name in environment), "")
    hosts = [host.strip() for host in own.split(",") if host.strip()]
    try:
        host = urlsplit(api).hostname or ""
    except ValueError:
        host = ""  # the request to this URL reports it
    wanted = [*_LOOPBACK, *([host] if host.startswith("127.") else [])]
    hosts += [one for one in wanted if one not in hosts]
    return dict.fromkeys(("no_proxy", "NO_PROXY"), ",".join(hosts))


def unusable_proxies(environment: Mapping[str, str]) -> list[str]:
    """The variables with a proxy that httpx cannot use, such as socks5://127.0.0.1:1080."""
    return [
        name
        for name, url in environment.items()
        if name.lower() in {"http_proxy", "https_proxy", "all_proxy"} and _scheme(url) not in _SCHEMES
    ]


def _scheme(url: str) -> str:
    return url.partition("://")[0].lower() if "://" in url else ""
