from __future__ import annotations

from io import BytesIO

import pytest
from PIL import Image

from tasks.images.formats import FORMATS, sniff


def avif(brands: bytes) -> bytes:
    """A file of AVIF whose box of brands holds these: the major one, four bytes of version, the compatible ones."""
    file = BytesIO()
    Image.new("RGB", (64, 64), "red").save(file, "AVIF")
    data = file.getvalue()
    box = int.from_bytes(data[:4], "big")
    return (8 + len(brands)).to_bytes(4, "big") + b"ftyp" + brands + data[box:]


@pytest.mark.case(10)
@pytest.mark.parametrize("kind", FORMATS)
def test_each_format_that_is_taken_is_told_by_its_first_bytes(kind: str) -> None:
    file = BytesIO()
    Image.new("RGB", (64, 64), "red").save(file, kind)
    assert sniff(file.getvalue()[:64]) == kind


@pytest.mark.parametrize("brands", [b"avif\0\0\0\0", b"avis\0\0\0\0msf1", b"mif1\0\0\0\0mif1miafavif"])
def test_avif_is_told_by_any_of_its_brands(brands: bytes) -> None:
    assert sniff(avif(brands)) == "AVIF"


@pytest.mark.parametrize(
    "brands", [b"heic\0\0\0\0mif1heic", b"isom\0\0\0\0iso2avc1", b"mif1\0\0\0\0mif1heic", b"", b"a"]
)
def test_other_files_of_the_same_container_are_no_pictures(brands: bytes) -> None:
    assert sniff(avif(brands)) is None


def test_every_media_type_is_one_of_pillows() -> None:
    Image.init()
    assert {kind: Image.MIME[kind] for kind in FORMATS} == FORMATS
