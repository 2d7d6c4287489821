"""What validation lets in, contact sheets and embedding can open; what they cannot open ends no run."""

from __future__ import annotations

import re
from base64 import b64decode
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from flows.inference.embedder import WHY
from flows.inference.photos import AlignedFace, align_photo
from flows.telemetry.artifacts import contact_sheet, dataset_page, member_sheet
from storage.files.lake import Lake
from storage.records import Reason
from tests.tasks.dataset.test_publish_version import make
from tests.tasks.odd_pictures import COSTLY, DAMAGED, ODD, encoded, picture


def tiles(markdown: str) -> list[bool]:
    """Of the 24 places of a contact sheet, which hold a picture and are not blank."""
    found = re.search(r"base64,([^)]+)\)", markdown)
    assert found
    with Image.open(BytesIO(b64decode(found[1]))) as image:
        sheet = image.convert("RGB")
    width, height = sheet.width // 8, sheet.height // 3
    places = [(left, top) for top in range(0, sheet.height, height) for left in range(0, sheet.width, width)]
    return [
        sheet.crop((left, top, left + width, top + height)).getextrema() != ((255, 255),) * 3 for left, top in places
    ]


@pytest.mark.attack(3)
def test_a_contact_sheet_shows_every_odd_picture_that_is_taken() -> None:
    shown: list[bool] = []
    pictures = [odd.data for odd in ODD.values()]
    for start in range(0, len(pictures), 24):
        shown += tiles(contact_sheet(pictures[start : start + 24]))
    assert shown[: len(pictures)] == [True] * len(pictures)


@pytest.mark.attack(3)
def test_a_contact_sheet_leaves_a_blank_for_what_cannot_be_decoded() -> None:
    unreadable = [b"", b"<html>", DAMAGED["PNG: no pixels"], *(make() for make in COSTLY.values())]
    assert tiles(contact_sheet([*unreadable, encoded(picture(), "PNG")]))[: len(unreadable) + 1] == [
        *([False] * len(unreadable)),
        True,
    ]


def test_a_contact_sheet_leaves_a_blank_for_what_has_gone_from_the_lake(tmp_path: Path) -> None:
    assert not any(tiles(member_sheet(Lake(tmp_path), [("images/synthetic/0000-0000-abcdef.tar", 512, 99)])))


def test_the_page_of_a_version_shows_faces_of_shards_that_versions_share(tmp_path: Path) -> None:
    version = make(tmp_path / "lake").publish().dataset
    assert version.shares_files
    assert all(tiles(dataset_page(version)))


@pytest.mark.attack(3)
@pytest.mark.parametrize("name", list(ODD)[::10])
def test_a_photo_to_embed_may_be_odd(name: str) -> None:
    face = align_photo(ODD[name].data, 64)
    assert face is Reason.NO_FACE or isinstance(face, AlignedFace)


@pytest.mark.attack(4)
@pytest.mark.attack(5)
@pytest.mark.attack(8)
@pytest.mark.parametrize("name", COSTLY)
def test_a_photo_to_embed_that_would_cost_too_much_is_refused_with_words(name: str) -> None:
    reason = align_photo(COSTLY[name](), 64)
    assert reason is Reason.TOO_COSTLY
    assert WHY[reason]
