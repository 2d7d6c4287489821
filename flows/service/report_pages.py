"""The HTML reports of a lake as pages of the service, under `flows.reports.link.REPORTS`.

A browser sends no password when it follows a link: Prefect's pages keep it in their storage, and send it with each
request of their own. So a cookie admits to the reports, and to nothing else. The page that a browser without it gets
asks for it with the password in that storage.

A report contains text from link files. It is a document of no origin (`sandbox`): its scripts cannot read the
password, send a request, or load anything. `unsafe-inline` and not the hashes of scripts, since those would have to
come from the file itself, and older files have other scripts.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
import re
import stat
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from flows.reports.link import REPORTS

SESSION = f"{REPORTS}session"
_COOKIE = "facemill-reports"
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,250}\.html")
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox allow-scripts"
)
_SCRIPT = f"""
const token = localStorage.getItem("prefect-password");
const refuse = () => {{ document.querySelector("p").hidden = false; }};
const enter = async () => {{
  const given = await fetch("{SESSION}", {{method: "POST", headers: {{Authorization: "Basic " + token}}}});
  const seen = given.ok && await fetch(location.pathname, {{method: "HEAD"}});
  if (!seen || seen.status === 403) throw new Error("no session");
  location.replace(location.pathname + "?" + location.hash);
}};
token ? enter().catch(refuse) : refuse();
"""
_PAGE = f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>facemill: report</title>
<p hidden>Reports are shown to who is logged in. Open the link that <code>facemill serve</code> prints, or
<a href="/login">enter the password</a>; then load this page again.</p><script>{_SCRIPT}</script></html>"""
_DIGEST = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
_PAGE_POLICY = (
    f"default-src 'none'; connect-src 'self'; script-src 'sha256-{_DIGEST}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_NOT_FOUND = (
    "There is no such report in the work folder of the lake that this service was started with. `facemill report "
    "NAME@VERSION` writes one there; runs on other machines and on other lakes write theirs elsewhere.\n"
)


class ReportPages:
    """ASGI application of the reports: `<file>.html` for a cookie or the password, and the session that sets it.

    Args:
        folder: folder of the reports; only its own regular files are served.
        password: password of Prefect's API, `name:password`.
    """

    def __init__(self, folder: Path, password: str) -> None:
        self._folder = folder
        self._token = base64.b64encode(password.encode()).decode()
        # The cookie reveals nothing about the password, and ends with it.
        self._cookie = hmac.new(password.encode(), b"reports", hashlib.sha256).hexdigest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request whose path begins with `REPORTS`."""
        response = await self._response(Request(scope, receive))
        # A report that is removed, as by a takedown, is to be gone from the browser too.
        response.headers["cache-control"] = "no-store"
        await response(scope, receive, send)

    async def _response(self, request: Request) -> Response:
        path = request.scope["path"]
        if path == SESSION and request.method == "POST":
            return self._session(request)
        if request.method not in {"GET", "HEAD"}:
            return PlainTextResponse("a report can only be read\n", 405, {"allow": "GET, HEAD"})
        if not (self._has_password(request) or self._has_cookie(request)):
            return HTMLResponse(_PAGE, 403, {"content-security-policy": _PAGE_POLICY})
        name = path.removeprefix(REPORTS)
        if not name:
            return HTMLResponse(_list(self._folder), headers={"content-security-policy": _POLICY})
        page = await asyncio.to_thread(_read, self._folder, name) if _FILE.fullmatch(name) else None
        if page is None:
            return PlainTextResponse(_NOT_FOUND, 404)
        return HTMLResponse(page, headers={"content-security-policy": _POLICY})

    def _session(self, request: Request) -> Response:
        if not self._has_password(request):
            return PlainTextResponse("this is not the password\n", 401)
        response = Response(status_code=204)
        is_tls = request.scope["scheme"] == "https"
        response.set_cookie(_COOKIE, self._cookie, path=REPORTS, secure=is_tls, httponly=True, samesite="strict")
        return response

    def _has_password(self, request: Request) -> bool:
        given = request.headers.get("authorization", "").removeprefix("Basic ")
        return hmac.compare_digest(given.encode(), self._token.encode())

    def _has_cookie(self, request: Request) -> bool:
        cookies = SimpleCookie()
        try:
            cookies.load(request.headers.get("cookie", ""))
        except CookieError:
            return False
        return _COOKIE in cookies and hmac.compare_digest(cookies[_COOKIE].value.encode(), self._cookie.encode())


def _list(folder: Path) -> str:
    """A page of links to all reports, the newest first."""
    found = [(-written, path.name) for path in folder.glob("*.html") if (written := _written(path)) is not None]
    links = "".join(
        f'<li><a href="{REPORTS}{quote(name)}">{name.removesuffix(".html")}</a></li>' for _, name in sorted(found)
    )
    style = "<style>:root{color-scheme:light dark}body{font:16px/1.6 system-ui,sans-serif;margin:2rem}</style>"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>facemill: reports</title>{style}'
        f"<h1>Reports</h1>{f'<ul>{links}</ul>' if links else '<p>None has been written yet.</p>'}</html>"
    )


def _written(path: Path) -> float | None:
    """When a report was last written; None if it is no report, or was pruned meanwhile."""
    with suppress(FileNotFoundError):
        facts = path.stat()
        if _FILE.fullmatch(path.name) and stat.S_ISREG(facts.st_mode):
            return facts.st_mtime
    return None


def _read(folder: Path, name: str) -> bytes | None:
    """The content of a regular file of the folder itself; None if there is none, or if the folder is a link."""
    try:
        within = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        # Nonblocking: opening a pipe would wait for its writer.
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=within)
    except OSError:
        return None
    finally:
        os.close(within)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        return None
    with os.fdopen(file, "rb") as opened:
        return opened.read()
