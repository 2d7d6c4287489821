"""A transport that fetches raw copies from a web archive, for pictures that their own hosts no longer serve."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from storage.errors import UsageError
from tasks.web.addresses import parse_url
from tasks.web.responses import FetchResult

VIA = "archive"
_PLACE = "{url}"


class _Web(Protocol):
    async def get(self, url: str) -> FetchResult:
        """Fetch once."""


class ArchiveTransport:
    """Fetches the archive's copy of each URL, over the same transport and within the same limits as any other host.

    Args:
        template: the URL of a raw copy in the archive, with `{url}` in place of the link's own.

    Raises:
        UsageError: the template is not such a URL.
    """

    def __init__(self, web: _Web, template: str) -> None:
        self._web = web
        self._template = checked_template(template)

    async def get(self, url: str) -> FetchResult:
        """The archive's response; `final_url` is the URL of the copy, and `via` marks it as one."""
        copy = self._template.replace(_PLACE, url.partition("#")[0])
        return replace(await self._web.get(copy), via=VIA)


def checked_template(template: str) -> str:
    """Return `template` if it is valid.

    Raises:
        UsageError: it is not an http(s) URL, or lacks `{url}`.
    """
    if template.startswith(("http://", "https://")) and _PLACE in template:
        return template
    raise UsageError(
        "--archive-fallback needs the URL of a web archive's raw copies in FACEMILL_ARCHIVE_URL, with {url} for the "
        f"link, such as https://web.archive.org/web/2014id_/{{url}}; it is {template!r}"
    )


def archive_host(template: str) -> str:
    """The host of a valid template, in the form by which its limits are kept."""
    return (parse_url(template.replace(_PLACE, "")).raw_host or "").lower()
