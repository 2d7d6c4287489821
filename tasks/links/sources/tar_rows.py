"""The rows of a tar in WebDataset's format: members with the same key are one row.

A key is a member's name up to the first dot of its last part. Of `00000/17.jpg`, `00000/17.json` and `00000/17.txt` the
first is the picture, the fields of the second are columns, and the third is the column `txt`. `__key__` is the key.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from storage.errors import SourceError
from storage.records import Reason
from storage.text.names import is_text, visible
from tasks.links.recipes.recipe import Recipe
from tasks.links.sources.json_rows import check_keys, json_object, object_rows
from tasks.links.sources.rows import KEPT_TEXT, BadRow, Rows
from tasks.links.sources.tar_members import Member, read_members

PICTURES = ("jpg", "jpeg", "jpe", "jfif", "png", "gif", "webp", "bmp", "tif", "tiff", "avif")
_MAX_FIELDS_BYTES = 1_000_000
_MAX_NAME = 1000


@dataclass(slots=True)
class _Sample:
    """The members with one key; `number` is that of the row."""

    number: int
    key: str
    members: dict[str, Member] = field(default_factory=dict)


def tar_rows(path: Path, recipe: Recipe, shown: str) -> Iterator[Rows]:
    """The rows of one tar, numbered from 1 in the order of their first members.

    Args:
        shown: the tar as shown in errors.

    Raises:
        SourceError: it is not a tar, the recipe is not for tars, or a column is missing in every row.
        OSError: it cannot be read.
    """
    if recipe.image is None:
        raise SourceError(f'{shown} is a tar, and the recipe has no image: add image = "*" to the recipe')
    samples, bad = _samples(path, shown)
    rows: list[tuple[int, dict[str, Any]]] = []
    pictures: list[str] = []
    with path.open("rb") as file:
        for sample in samples:
            fields, why = _fields(file, sample, recipe)
            picture, others = _pictures(sample, str(recipe.image))
            why = why or ("" if picture else _why_no_picture(fields))
            if why or picture is None:
                bad.append((sample.number, _shown(sample.key), Reason.MALFORMED_LINE, why))
                continue
            rows.append((sample.number, fields))
            pictures.append(picture.name)
            detail = f"a second picture with the key of {picture.name}"
            bad += [(sample.number, _shown(one.name), Reason.NOT_LISTED, visible(detail)) for one in others]
    check_keys(rows, recipe, shown)
    yield object_rows(rows, recipe, bad, pa.array(pictures, pa.string()))


def first_fields(path: Path, shown: str, num: int) -> list[dict[str, Any]]:
    """The columns of about the first `num` rows of a tar, without invalid JSON. Raises as `tar_rows`."""
    with path.open("rb") as file:
        found = [_fields(file, sample, Recipe(format="tar", image="*")) for sample in _samples(path, shown, 3 * num)[0]]
    return [fields for fields, why in found[:num] if not why]


def _samples(path: Path, shown: str, most: int | None = None) -> tuple[list[_Sample], list[BadRow]]:
    """The rows by key, even if their members are far apart, and the members without a row."""
    found: dict[str, _Sample] = {}
    bad: list[BadRow] = []
    names: set[str] = set()
    for member in islice(read_members(path, shown), most):
        refused = member.refused or _why_no_name(member.name)
        if refused is None and member.name in names:
            refused = Reason.MALFORMED_LINE, "an earlier member of the tar has the same name"
        number = len(found) + len(bad) + 1
        if refused is not None:
            bad.append((number, _shown(member.name), *refused))
            continue
        names.add(member.name)
        folder, slash, base = member.name.rpartition("/")
        stem, _, ending = base.partition(".")
        sample = found.setdefault(f"{folder}{slash}{stem}", _Sample(number, f"{folder}{slash}{stem}"))
        # Names may differ only in the case of their extension: a.jpg and a.JPG.
        at = ending.lower()
        while at in sample.members:
            at += "+"
        sample.members[at] = member
    return list(found.values()), bad


def _why_no_name(name: str) -> tuple[Reason, str] | None:
    if not is_text(name):
        return Reason.BAD_URL, "the name is not UTF-8, or contains control or bidi characters"
    if len(name) > _MAX_NAME:
        return Reason.BAD_URL, f"the name has {len(name):,} characters, at most {_MAX_NAME:,}"
    if name.startswith("/") or ".." in name.split("/"):
        return Reason.BAD_URL, "the name is an absolute path, or contains .. as a part"
    if name.rpartition("/")[2].startswith("."):
        return Reason.NOT_LISTED, "a hidden file: the name begins with a dot"
    return None


def _fields(file: BinaryIO, sample: _Sample, recipe: Recipe) -> tuple[dict[str, Any], str]:
    """The columns of a row, or the reason they cannot be read."""
    fields: dict[str, Any] = {}
    asked = {one for one in recipe.used() if isinstance(one, str)}
    for ending, member in sample.members.items():
        if ending != "json" and ending not in asked:
            continue
        if member.size > _MAX_FIELDS_BYTES:
            return {}, f".{ending} has {member.size:,} bytes, at most {_MAX_FIELDS_BYTES:,}"
        file.seek(member.offset)
        data = file.read(member.size)
        if ending == "json":
            value, why = json_object(data)
            if value is None:
                return {}, f".json: {why}"
            fields |= value
        else:
            try:
                fields[ending] = data.decode().strip()
            except UnicodeDecodeError:
                return {}, f".{ending} is not UTF-8"
    return {"__key__": sample.key, **fields}, ""


def _pictures(sample: _Sample, asked: str) -> tuple[Member | None, list[Member]]:
    """The picture of a row, and other candidates: names with a single extension come first."""
    if asked == "*":
        found = [one for one in sample.members if one.rstrip("+").rpartition(".")[2] in PICTURES]
    else:
        wanted = [one.strip().lower() for one in asked.split(";")]
        found = [one for one in sample.members if one.rstrip("+") in wanted]
    found.sort(key=lambda one: "." in one)
    members = [sample.members[one] for one in found]
    return (members[0] if members else None), members[1:]


def _why_no_picture(fields: dict[str, Any]) -> str:
    errors = [str(fields[name]) for name in ("status", "error_message") if fields.get(name) not in (None, "success")]
    return visible(f"no picture with this key: {': '.join(errors)}" if errors else "no picture with this key")[
        :KEPT_TEXT
    ]


def _shown(name: str) -> str:
    return visible(name)[:KEPT_TEXT]
