"""Request filter in front of Prefect's server: checks the `Host` and `Origin` headers.

Prefect checks the password, but not these. A page of another site whose name resolves to this address (DNS rebinding)
sends its own name as the host, and a browser sends the page's origin with every request that can change something.
Both kinds of request are refused before they are parsed.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Iterable
from ipaddress import ip_address
from urllib.parse import quote, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flows.reports.link import REPORTS

LOGIN = "/facemill/login"
# Other sites may not show these pages in a frame, or load them as a script or an image.
HEADERS = {
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}
_SCRIPT = """
const password = decodeURIComponent(location.hash.slice(1));
history.replaceState(null, "", location.pathname);
const token = btoa(String.fromCharCode(...new TextEncoder().encode(password)));
fetch("/api/admin/version", {headers: {Authorization: "Basic " + token}}).then(answer => {
  if (!answer.ok) throw new Error(answer.status);
  localStorage.setItem("prefect-password", token);
  location.replace("/");
}).catch(() => { document.querySelector("p").hidden = false; });
"""
_PAGE = f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>facemill: login</title>
<p hidden>This link has no password, or one that is no longer valid. Open the link that <code>facemill serve</code>
prints, or <a href="/login">enter the password</a>.</p><script>{_SCRIPT}</script></html>"""
_SCRIPT_DIGEST = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
_PAGE_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": f"default-src 'none'; connect-src 'self'; script-src 'sha256-{_SCRIPT_DIGEST}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}


def login_link(pages: str, password: str) -> str:
    """A login link for a browser. The part after the # stays in the browser: it is not sent or logged."""
    return f"{pages}{LOGIN}#{quote(password, safe='')}"


def refusal(hosts: Collection[str], origins: Collection[str], bound_to: str, names: Collection[str]) -> str | None:
    """The reason to refuse a request, or None.

    Args:
        hosts: values of its `Host` headers.
        origins: values of its `Origin` headers.
        bound_to: address or name that the server listens on.
        names: further host names of the server.
    """
    if len(hosts) != 1 or not _is_own(_hostname(next(iter(hosts))), bound_to, names):
        return "unknown host name of this server; add it to FACEMILL_SERVER_NAMES to allow it"
    (host,) = hosts
    if any(urlsplit(origin).netloc.lower() != host.lower() for origin in origins):
        return "requests from pages of other sites are refused"
    return None


class Guard:
    """ASGI application in front of Prefect's: refuses cross-site requests, and serves the login page.

    Args:
        reports: application of the paths below `REPORTS`; None: Prefect's.
    """

    def __init__(self, app: ASGIApp, bound_to: str, names: Collection[str], reports: ASGIApp | None = None) -> None:
        self._app = app
        self._reports = reports or app
        self._bound_to = bound_to
        self._names = frozenset(name.lower() for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request or websocket."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        reason = refusal(_values(scope, b"host"), _values(scope, b"origin"), self._bound_to, self._names)
        if scope["type"] == "websocket":
            # A websocket closed before it is accepted gets a 403 response.
            await (_closed if reason else self._app)(scope, receive, send)
        elif reason:
            await PlainTextResponse(f"{reason}\n", 403, HEADERS)(scope, receive, send)
        elif scope["path"] == LOGIN and scope["method"] in {"GET", "HEAD"}:
            await HTMLResponse(_PAGE, headers=HEADERS | _PAGE_HEADERS)(scope, receive, send)
        else:
            app = self._reports if scope["path"].startswith(REPORTS) else self._app
            await app(scope, receive, _with_headers(send))


def _is_own(hostname: str, bound_to: str, names: Collection[str]) -> bool:
    """Whether a host name belongs to this server.

    A literal address is safe: rebinding needs a name that an attacker controls.
    """
    try:
        address = ip_address(hostname)
    except ValueError:
        return bool(hostname) and hostname in {"localhost", bound_to.lower(), *names}
    # 0.0.0.0 reaches this machine too, but nobody would type it.
    return not address.is_unspecified and (address.is_loopback or not _is_loopback(bound_to))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _hostname(host: str) -> str:
    """The name or address in a `Host` header, without its port; empty if there is none."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return ""
    return parts.hostname or "" if parts.netloc == host and "@" not in host else ""


def _values(scope: Scope, name: bytes) -> list[str]:
    fields: Iterable[tuple[bytes, bytes]] = scope["headers"]
    return [value.decode("latin-1") for field, value in fields if field.lower() == name]


async def _closed(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.close", "code": 1008})


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return send_with_headers
