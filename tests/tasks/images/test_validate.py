from __future__ import annotations

import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from storage.records import ImageFacts, Reason, bytes_digest
from tasks.images.formats import sniff
from tasks.images.validate import ImageLimits, Invalid, difference_hash, validate
from tests.fuzzing import examples
from tests.tasks.odd_pictures import encoded, spread


def picture(seed: int = 0, width: int = 320, height: int = 240) -> Image.Image:
    """Soft random shapes, other ones for each seed."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def sixteen_bit() -> Image.Image:
    gray = np.asarray(picture().convert("L"), dtype=np.uint16)
    return Image.fromarray(gray * 200)


def rotated_by_exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def animated(kind: str) -> bytes:
    return encoded(picture(), kind, save_all=True, append_images=[picture(1), picture(2)])


FORMATS = {
    "JPEG baseline": ("JPEG", encoded(picture(), "JPEG")),
    "JPEG progressive": ("JPEG", encoded(picture(), "JPEG", progressive=True)),
    "JPEG gray": ("JPEG", encoded(picture().convert("L"), "JPEG")),
    "JPEG CMYK": ("JPEG", encoded(picture().convert("CMYK"), "JPEG")),
    "JPEG 4:4:4": ("JPEG", encoded(picture(), "JPEG", subsampling=0, quality=98)),
    "JPEG with restart marks": ("JPEG", encoded(picture(), "JPEG", restart_marker_rows=1)),
    "JPEG rotated by EXIF": ("JPEG", encoded(picture(), "JPEG", exif=rotated_by_exif())),
    "PNG": ("PNG", encoded(picture(), "PNG")),
    "PNG palette": ("PNG", encoded(picture().quantize(64), "PNG")),
    "PNG palette, one clear": ("PNG", encoded(picture().quantize(64), "PNG", transparency=3)),
    "PNG alpha": ("PNG", encoded(picture().convert("RGBA"), "PNG")),
    "PNG gray and alpha": ("PNG", encoded(picture().convert("LA"), "PNG")),
    "PNG 16 bits": ("PNG", encoded(sixteen_bit(), "PNG")),
    "PNG 1 bit": ("PNG", encoded(picture().convert("1"), "PNG")),
    "PNG animated": ("PNG", animated("PNG")),
    "GIF": ("GIF", encoded(picture(), "GIF")),
    "GIF animated": ("GIF", animated("GIF")),
    "WebP": ("WEBP", encoded(picture(), "WEBP")),
    "WebP lossless, alpha": ("WEBP", encoded(picture().convert("RGBA"), "WEBP", lossless=True)),
    "WebP animated": ("WEBP", animated("WEBP")),
    "BMP": ("BMP", encoded(picture(), "BMP")),
    "BMP palette": ("BMP", encoded(picture().quantize(64), "BMP")),
    "TIFF": ("TIFF", encoded(picture(), "TIFF")),
    "TIFF LZW": ("TIFF", encoded(picture(), "TIFF", compression="tiff_lzw")),
    "TIFF JPEG": ("TIFF", encoded(picture(), "TIFF", compression="jpeg")),
    "TIFF float": ("TIFF", encoded(picture().convert("F"), "TIFF")),
    "AVIF": ("AVIF", encoded(picture(), "AVIF")),
    "AVIF alpha": ("AVIF", encoded(picture().convert("RGBA"), "AVIF")),
    "AVIF animated": ("AVIF", animated("AVIF")),
    "TIFF CMYK": ("TIFF", encoded(picture().convert("CMYK"), "TIFF")),
}


def accepted(data: bytes, limits: ImageLimits = ImageLimits()) -> ImageFacts:
    facts = validate(data, limits)
    assert isinstance(facts, ImageFacts), facts
    return facts


def reason(data: bytes, limits: ImageLimits = ImageLimits()) -> Reason | None:
    result = validate(data, limits)
    return result.reason if isinstance(result, Invalid) else None


def num_bits_apart(one: bytes, other: bytes) -> int:
    return sum((a ^ b).bit_count() for a, b in zip(one, other, strict=True))


# -- what is taken --


@pytest.mark.parametrize("name", FORMATS)
def test_every_usual_kind_of_picture_is_taken_and_described(name: str) -> None:
    kind, data = FORMATS[name]
    facts = accepted(data)
    assert (facts.format, facts.width, facts.height) == (kind, 320, 240)
    assert (facts.digest, facts.num_bytes, len(facts.dhash)) == (bytes_digest(data), len(data), 16)


@pytest.mark.parametrize("name", [name for name in FORMATS if "1 bit" not in name])
def test_the_same_picture_has_the_same_hash_in_every_format(name: str) -> None:
    reference = accepted(FORMATS["PNG"][1]).dhash
    assert num_bits_apart(accepted(FORMATS[name][1]).dhash, reference) <= 6


def test_sides_and_pixels_at_the_limits_are_taken() -> None:
    limits = ImageLimits(min_side_px=64, max_pixels=64 * 100)
    for kind in ["JPEG", "PNG"]:
        accepted(encoded(picture(0, 64, 100), kind), limits)
        assert reason(encoded(picture(0, 63, 100), kind), limits) is Reason.TOO_SMALL
        assert reason(encoded(picture(0, 64, 101), kind), limits) is Reason.TOO_MANY_PIXELS


def test_odd_shapes_are_taken() -> None:
    for width, height in [(65, 3001), (3001, 65), (64, 64), (999, 701)]:
        accepted(encoded(picture(0, width, height), "JPEG"))


def test_bytes_after_the_end_of_a_picture_are_of_no_account() -> None:
    assert accepted(FORMATS["JPEG baseline"][1] + b"<html>tail</html>").width == 320


# -- what is not --


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", Reason.EMPTY),
        (b"<!DOCTYPE html><html><body>Not found</body></html>", Reason.NOT_AN_IMAGE),
        (b"<svg xmlns='http://www.w3.org/2000/svg' width='100' height='100'/>", Reason.NOT_AN_IMAGE),
        (b"<?xml version='1.0'?><svg/>", Reason.NOT_AN_IMAGE),
        (b"image not available", Reason.NOT_AN_IMAGE),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n", Reason.NOT_AN_IMAGE),
        (b"\0" * 5000, Reason.NOT_AN_IMAGE),
        (b"\x89PNG", Reason.NOT_AN_IMAGE),
        (b"RIFF\0\0\0\0WAVE", Reason.NOT_AN_IMAGE),
        (b"\0\0\0 ftypheic\0\0\0\0mif1heic", Reason.NOT_AN_IMAGE),
        (b"P6\n100 100\n255\n" + bytes(30_000), Reason.NOT_AN_IMAGE),
        (b"\xff\xd8\xff", Reason.BROKEN_IMAGE),
        (b"GIF89a", Reason.BROKEN_IMAGE),
        (b"BM", Reason.BROKEN_IMAGE),
        (b"BM I am not a picture, but a letter to B.M.", Reason.BROKEN_IMAGE),
        (b"RIFF\0\0\0\0WEBP", Reason.BROKEN_IMAGE),
        (b"II*\0", Reason.BROKEN_IMAGE),
        (b"\0\0\0 ftypavif", Reason.BROKEN_IMAGE),
    ],
)
def test_what_is_no_picture_gets_its_reason(data: bytes, expected: Reason) -> None:
    assert reason(data) is expected


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", [name for name in FORMATS if "animated" not in name])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.95])
def test_a_picture_that_stops_short_is_broken(name: str, share: float) -> None:
    data = FORMATS[name][1]
    assert reason(data[: int(len(data) * share)]) is Reason.BROKEN_IMAGE


@pytest.mark.parametrize("num_missing", [3, 20, 200])
def test_a_jpeg_that_lacks_its_last_bytes_is_broken(num_missing: int) -> None:
    for seed in range(5):
        data = encoded(spread(picture(seed), 4, seed), "JPEG")
        assert reason(data[:-num_missing]) is Reason.BROKEN_IMAGE


# Zeros are sound codes to some scans of a progressive JPEG: of 60 such pictures 57 were found out (measured).
@pytest.mark.parametrize(("progressive", "num_found"), [(False, 8), (True, 6)])
def test_a_jpeg_with_4_kb_of_zeros_inside_is_broken(progressive: bool, num_found: int) -> None:
    reasons = []
    for seed in range(8):
        data = encoded(spread(picture(seed, 800, 600), 20, seed), "JPEG", progressive=progressive)
        at = len(data) * (seed + 2) // 12
        reasons.append(reason(data[:at] + bytes(4096) + data[at + 4096 :]))
    assert reasons.count(Reason.BROKEN_IMAGE) >= num_found


def png_of_zeros(width: int, height: int) -> bytes:
    """A sound PNG of one colour, made without ever holding its pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(1)
    row = bytes(1 + width // 8)
    pixels = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(("width", "height"), [(24_000, 24_000), (16_000, 8_000), (8_008, 8_000), (100_000_000, 2)])
def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(
    width: int, height: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: pytest.fail("it was decoded"))
    data = png_of_zeros(width, height)
    tracemalloc.start()
    result = reason(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert result is Reason.TOO_MANY_PIXELS
    assert peak < 1_000_000


# -- the hash --


@pytest.mark.parametrize("seed", range(8))
def test_copies_smaller_and_compressed_again_have_nearly_the_same_hash(seed: int) -> None:
    original = picture(seed, 800, 600)
    reference = accepted(encoded(original, "JPEG", quality=95)).dhash
    for width, quality in [(800, 30), (400, 75), (160, 75), (100, 85)]:
        smaller = original.resize((width, width * 3 // 4), Image.Resampling.LANCZOS)
        copy = accepted(encoded(smaller, "JPEG", quality=quality)).dhash
        assert num_bits_apart(copy, reference) <= 6


def test_different_pictures_have_hashes_far_apart() -> None:
    hashes = [accepted(encoded(picture(seed), "JPEG")).dhash for seed in range(20)]
    apart = [num_bits_apart(one, other) for n, one in enumerate(hashes) for other in hashes[:n]]
    assert min(apart) > 24


def test_a_mirrored_picture_is_another_one() -> None:
    image = picture(3)
    mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert num_bits_apart(difference_hash(image.convert("L")), difference_hash(mirrored.convert("L"))) > 24


def test_a_plain_picture_has_the_hash_of_zeros() -> None:
    assert accepted(encoded(Image.new("RGB", (100, 100), "gray"), "PNG")).dhash == bytes(16)


# -- whatever comes --


@given(st.binary(max_size=200))
def test_any_bytes_are_facts_or_a_reason(data: bytes) -> None:
    assert isinstance(validate(data), ImageFacts | Invalid)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")
@given(st.sampled_from(sorted(FORMATS)), st.data())
@settings(max_examples=examples(300))
def test_any_damaged_picture_is_facts_or_a_reason(name: str, data: st.DataObject) -> None:
    damaged = bytearray(FORMATS[name][1])
    # Headers are short and decide most, so they are hit more often than the pixels.
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, 100) | st.integers(0, len(damaged) - 1))
        piece = data.draw(st.binary(min_size=1, max_size=8))
        damaged[at : at + len(piece)] = piece
    assert isinstance(validate(bytes(damaged)), ImageFacts | Invalid)


def test_sniffing_goes_by_the_first_bytes_alone() -> None:
    for kind, data in FORMATS.values():
        assert sniff(data[:48]) == kind
