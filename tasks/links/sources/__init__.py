"""The sources of link lists: one file per source, one line here."""

from __future__ import annotations

from dataclasses import replace

from storage.errors import LakeError, SourceError, UsageError
from storage.files.lake import Lake
from storage.text.json_shapes import TEXT, parse_object
from storage.text.names import NAME
from storage.text.source_names import sources_of
from tasks.links.recipes.recipe import checked_recipe
from tasks.links.sources import vggface1, vggface2
from tasks.links.sources.source import Source
from tasks.links.sources.table import source_of

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


def source_named(name: str, lake: Lake | None = None) -> Source:
    """The source of this name: one of `SOURCES`, or a list with a recipe stored in the lake.

    Raises:
        UsageError: it is unknown; the message lists the known ones.
        LakeError: the stored recipe is damaged.
    """
    found = SOURCES.get(name) or (kept_source(lake, name) if lake is not None else None)
    if found is None:
        raise UsageError(f"the source {name!r} is unknown; known sources: {', '.join(SOURCES)}")
    return found


def sources_named(name: str, lake: Lake | None = None) -> list[Source]:
    """The sources of a name, which may join several (`storage.text.source_names`).

    Raises:
        UsageError, LakeError: as `source_named`.
    """
    return [source_named(one, lake) for one in sources_of(name)]


def names_people(name: str, lake: Lake) -> bool:
    """Whether all the sources of a name, which may join several, name people."""
    return all(source.names_people for source in sources_named(name, lake))


def kept_source(lake: Lake, name: str) -> Source | None:
    """A list with a recipe stored in the lake, at the location of the last run; None if there is none.

    Raises:
        LakeError: the stored recipe is damaged.
    """
    if not NAME.fits(name) or not lake.exists(lake.links(name, "recipe.json")):
        return None
    path, origin = lake.links(name, "recipe.json"), lake.links(name, "origin.json")
    try:
        recipe = checked_recipe(parse_object(lake.read(path), f"{lake.url}/{path}"), f"{lake.url}/{path}")
    except SourceError as error:
        raise LakeError(f"{error}: run `facemill check`") from error
    location = None
    if lake.exists(origin):
        location = parse_object(lake.read(origin), f"{lake.url}/{origin}", {"location?": TEXT}).get("location")
    return replace(source_of(name, recipe), location=location)
