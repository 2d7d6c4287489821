"""What is gone from its own host may lie in a web archive: the transport that asks one for its raw copy."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from storage.errors import UsageError
from tasks.web.responses import FetchResult

VIA = "archive"
_PLACE = "{url}"


class _Web(Protocol):
    async def get(self, url: str) -> FetchResult:
        """Ask once."""


class ArchiveTransport:
    """Asks an archive for each URL's copy, over the same transport and within the same limits as any other host.

    Args:
        template: the archive's URL of a raw copy, with `{url}` for the link's own.

    Raises:
        UsageError: the template is not such a URL.
    """

    def __init__(self, web: _Web, template: str) -> None:
        self._web = web
        self._template = checked_template(template)

    async def get(self, url: str) -> FetchResult:
        """The archive's answer; `final_url` tells the copy, `via` that it is one."""
        copy = self._template.replace(_PLACE, url.partition("#")[0])
        return replace(await self._web.get(copy), via=VIA)


def checked_template(template: str) -> str:
    """`template` itself, if it can be that of an archive.

    Raises:
        UsageError: it is no http(s) URL, or has no place for the link.
    """
    if template.startswith(("http://", "https://")) and _PLACE in template:
        return template
    raise UsageError(
        "--archive-fallback needs the URL of a web archive's raw copies in FACEMILL_ARCHIVE_URL, with {url} for the "
        f"link, such as https://web.archive.org/web/2014id_/{{url}}; it is {template!r}"
    )
