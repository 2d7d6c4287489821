"""Where link lines come from: the location that is asked for, and the one that the lake keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from yarl import URL

from storage.errors import SourceError
from storage.files.lake import Lake
from storage.text.json_shapes import COUNT, TEXT, Shape, require
from tasks.links.sources.source import Source

# The counts of a collection in `origin.json`.
COUNTS = ("digest", "num_files", "num_lines", "num_accepted", "num_rejected")
_ORIGIN: Shape = {
    "digest": TEXT,
    "location?": TEXT,
    "content?": TEXT,
    "etags?": {"*": {"*": TEXT}},
    **{f"{name}?": COUNT for name in COUNTS if name != "digest"},
}


def read_origin(lake: Lake, source: str) -> dict[str, Any]:
    """The origin of a source's lines: location and counts.

    Raises:
        LakeError: the file is damaged.
    """
    path = lake.links(source, "origin.json")
    origin = lake.read_json(path)
    require(origin, _ORIGIN, f"{lake.url}/{path}")
    return origin


def is_url(location: str) -> bool:
    """Whether a location is fetched over HTTP."""
    return location.lower().startswith(("http://", "https://"))


def location_of(source: Source, location: str | None) -> str:
    """The location of the links of a source: an absolute path, or a URL.

    Raises:
        SourceError: the source has no published location, or cannot be read from this one.
    """
    where = location or source.location
    if not where:
        raise SourceError(f"the source {source.name} has no default location: give its folder with --links")
    if not is_url(where):
        if "://" in where:
            raise SourceError(f"{where} is neither http(s) nor a path on this machine: download it first")
        return str(Path(where).resolve())
    if source.parse_file is None and (source.recipe is None or source.transport == "folder"):
        raise SourceError(f"the source {source.name} is read from a folder on this machine, not from {where}")
    try:
        url = URL(where)
    except ValueError as error:
        raise SourceError(f"the URL of the link files cannot be read ({error}): correct it") from None
    if not url.host or url.user is not None or url.password is not None:
        raise SourceError(
            f"the URL of the link files must have a host, without user name and password; its host is {url.host!r}"
        )
    return where
