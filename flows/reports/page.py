"""Renders the templates of the reports to self-contained HTML pages that load nothing.

Their one script is `templates/find.js`, which reads only the page itself; without it a page lacks the search alone.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from flows.reports.cells import breakable, labelled
from storage.files.atomic import whole_file
from storage.text.names import visible
from tasks.images.decode import UndecodableImage, decode

# A page shows a picture at 100 px, and at most so many when it is enlarged. Each takes at most so many bytes of JPEG.
PICTURE_PX, PICTURE_BYTES = 192, 10_000
_QUALITIES = (82, 60, 40, 20, 5)


class Figure(NamedTuple):
    """A figure of a contact sheet: its pictures as data URIs, None for an unreadable one, and a caption."""

    pictures: list[str | None]
    caption: str


def write(path: Path, template: str, **values: object) -> Path:
    """Render a template to a file and return its path. A missing value is an error."""
    with whole_file(path) as temporary:
        temporary.write_text(_TEMPLATES.get_template(template).render(values), encoding="utf-8")
    return path


def macros(template: str) -> Any:
    """The macros of a template as functions that return `markupsafe.Markup`."""
    return _TEMPLATES.get_template(template).module


def figure(pictures: Iterable[bytes], caption: str) -> Figure:
    """A figure of encoded pictures."""
    return Figure([thumbnail(data) for data in pictures], caption)


def thumbnail(data: bytes) -> str | None:
    """A picture as the data URI of a JPEG within `PICTURE_PX` and `PICTURE_BYTES`; None if it cannot be decoded."""
    try:
        image = decode(data)
    except UndecodableImage:
        return None
    image.thumbnail((PICTURE_PX, PICTURE_PX))
    return f"data:image/jpeg;base64,{base64.b64encode(_small_jpeg(image)).decode()}"


def _small_jpeg(image: Image.Image) -> bytes:
    """The picture at the best quality that is small enough; noise at the lowest has half of the bytes."""
    for quality in _QUALITIES:
        file = BytesIO()
        image.save(file, "JPEG", quality=quality)
        if file.tell() <= PICTURE_BYTES:
            break
    return file.getvalue()


def anchor(title: str) -> str:
    """The id of a heading, for links."""
    return "".join(letter if letter.isalnum() else "-" for letter in title.lower())


def most_first(counts: dict[str, int]) -> list[tuple[str, int]]:
    """Counts by word, highest first, ties by word."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _shown(value: object) -> object:
    """What a template prints for a value, before it is escaped: control and bidi characters as escapes."""
    # Markup is the output of a macro, and has been through here.
    return value if hasattr(value, "__html__") else visible(str(value))


_TEMPLATES = Environment(
    loader=PackageLoader("flows.reports"),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=_shown,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters |= {
    "anchor": anchor,
    "breakable": breakable,
    "fmt": format,
    "labelled": labelled,
    "most_first": most_first,
}
