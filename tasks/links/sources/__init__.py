"""Where lists of pictures come from: one file a source, one line here."""

from __future__ import annotations

from storage.errors import UsageError
from tasks.links.sources import vggface1, vggface2
from tasks.links.sources.source import Source

_VGGFACE1 = Source(
    name="vggface1",
    has_boxes=True,
    transport="http",
    location="https://www.robots.ox.ac.uk/~vgg/data/vgg_face/vgg_face_dataset.tar.gz",
    terms="The link lists are CC BY-NC 4.0, for non-commercial research. The images they point to belong to "
    "others, and the faces in them are biometric data of real people.",
    fingerprint=vggface1.fingerprint,
    read=vggface1.read,
    parse_file=vggface1.parse_file,
)

_VGGFACE2 = Source(
    name="vggface2",
    has_boxes=False,
    transport="folder",
    location=None,
    terms="For research only, under the terms of your copy. The images belong to others, and the faces "
    "in them are biometric data of real people.",
    fingerprint=vggface2.fingerprint,
    read=vggface2.read,
    parse_file=None,
)

_SYNTHETIC = Source(
    name="synthetic",
    has_boxes=True,
    transport="http",
    location=None,
    terms="Invented people, drawn by a program: no terms.",
    fingerprint=vggface1.fingerprint,
    read=vggface1.read,
    parse_file=vggface1.parse_file,
)

SOURCES: dict[str, Source] = {
    "vggface1": _VGGFACE1,
    "vggface2": _VGGFACE2,
    "synthetic": _SYNTHETIC,
}


def source_named(name: str) -> Source:
    """The source of that name.

    Raises:
        UsageError: there is none; the message names those that there are.
    """
    if name not in SOURCES:
        raise UsageError(f"there is no source {name!r}; there are: {', '.join(SOURCES)}")
    return SOURCES[name]
