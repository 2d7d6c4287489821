from __future__ import annotations

import warnings
from contextlib import suppress
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from tasks.images.decode import UndecodableImage, decode

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
ORIENTATION = 0x0112


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def with_red_corner(width: int = 40, height: int = 20) -> Image.Image:
    """Blue, with a red square at the top left."""
    image = Image.new("RGB", (width, height), BLUE)
    image.paste(RED, (0, 0, 8, 8))
    return image


def rotated(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


def close(pixel: Any, colour: tuple[int, int, int], tolerance: int = 12) -> bool:
    return bool(np.abs(np.subtract(pixel, colour)).max() <= tolerance)


# EXIF 6: the stored top left belongs at the top right; 8: at the bottom left; 3: at the bottom right.
@pytest.mark.parametrize(
    ("orientation", "x", "y"), [(1, 0, 0), (6, -1, 0), (8, 0, -1), (3, -1, -1), (2, -1, 0), (5, 0, 0)]
)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_a_rotated_picture_is_seen_upright(kind: str, orientation: int, x: int, y: int) -> None:
    quality = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    image = decode(encoded(with_red_corner(), kind, exif=rotated(orientation), **quality))
    assert image.size == ((20, 40) if orientation >= 5 else (40, 20))
    assert close(image.getpixel((x % image.width, y % image.height)), RED)


def test_no_metadata_survives() -> None:
    data = encoded(with_red_corner(), "JPEG", exif=rotated(6), comment=b"who", icc_profile=b"broken")
    assert decode(data).info == {}


def test_transparent_pixels_lie_on_white() -> None:
    image = with_red_corner().convert("RGBA")
    image.paste((0, 0, 0, 0), (20, 0, 40, 20))
    seen = decode(encoded(image, "PNG"))
    assert seen.mode == "RGB"
    assert seen.getpixel((0, 0)) == RED
    assert seen.getpixel((30, 10)) == WHITE


def test_half_transparent_pixels_are_half_white() -> None:
    assert close(decode(encoded(Image.new("RGBA", (8, 8), (0, 0, 0, 128)), "PNG")).getpixel((4, 4)), (127, 127, 127))


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_the_transparent_entry_of_a_palette_is_white(kind: str) -> None:
    image = with_red_corner().quantize(2)
    data = encoded(image, kind, transparency=image.getpixel((0, 0)))
    assert decode(data).getpixel((0, 0)) == WHITE
    assert close(decode(data).getpixel((30, 10)), BLUE)


def test_a_transparent_gray_picture_lies_on_white() -> None:
    assert decode(encoded(Image.new("LA", (9, 9), (0, 0)), "PNG")).getpixel((0, 0)) == WHITE


def test_the_first_frame_of_an_animation_counts() -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, GREEN, BLUE)]
    for kind in ("GIF", "PNG"):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
        assert decode(data).getpixel((5, 5)) == RED
    animated = encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    assert close(decode(animated).getpixel((5, 5)), RED)


def test_16_bits_become_8_without_clipping() -> None:
    ramp = np.linspace(0, 65535, 64).astype(np.uint16)
    seen = np.asarray(decode(encoded(Image.fromarray(np.tile(ramp, (16, 1))), "PNG")))
    assert seen.shape == (16, 64, 3)
    assert np.abs(seen[0, :, 0] - ramp / 257).max() <= 0.5


def test_wide_integers_and_floats_are_spread_over_8_bits() -> None:
    for values in (np.arange(256).reshape(16, 16).astype(np.int32) * 1000, np.linspace(-1, 1, 256, dtype=np.float32)):
        seen = np.asarray(decode(encoded(Image.fromarray(values.reshape(16, 16)), "TIFF")))
        assert (seen.min(), seen.max()) == (0, 255)


def test_a_flat_float_picture_is_decoded() -> None:
    assert decode(encoded(Image.fromarray(np.full((8, 8), 7, np.float32)), "TIFF")).mode == "RGB"


@pytest.mark.parametrize("mode", ["1", "L"])
def test_gray_and_bilevel_pictures_become_rgb(mode: str) -> None:
    image = decode(encoded(Image.new(mode, (12, 12), 255 if mode == "L" else 1), "PNG"))
    assert (image.mode, image.getpixel((3, 3))) == ("RGB", WHITE)


def test_cmyk_has_its_colours_also_inverted_as_adobe_writes_it() -> None:
    data = encoded(with_red_corner(40, 40).convert("CMYK"), "JPEG", quality=95)
    assert b"Adobe" in data[:200]
    assert close(decode(data).getpixel((2, 2)), RED, 24)
    assert close(decode(data).getpixel((30, 30)), BLUE, 24)
    tiff = encoded(with_red_corner().convert("CMYK"), "TIFF")
    assert decode(tiff).getpixel((0, 0)) == RED


def test_a_colour_profile_is_brought_to_srgb() -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    xyz = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = Image.new("RGB", (8, 8), (40, 100, 160))
    assert decode(encoded(image, "PNG", icc_profile=srgb)).getpixel((0, 0)) == (40, 100, 160)
    assert decode(encoded(image, "PNG", icc_profile=wide_gamut(srgb))).getpixel((0, 0)) != (40, 100, 160)
    for unfit in (lab, xyz[:50], b"no profile"):
        assert decode(encoded(image, "PNG", icc_profile=unfit)).getpixel((0, 0)) == (40, 100, 160)


def wide_gamut(srgb: bytes) -> bytes:
    """The sRGB profile with its red and green primaries exchanged and another name."""
    swapped = srgb.replace(b"rXYZ", b"tmp_").replace(b"gXYZ", b"rXYZ").replace(b"tmp_", b"gXYZ")
    return swapped.replace("sRGB".encode("utf-16-be"), "Wide".encode("utf-16-be")).replace(b"sRGB", b"Wide")


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (1, 300), (300, 1)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_the_smallest_pictures_decode(kind: str, size: tuple[int, int]) -> None:
    assert decode(encoded(Image.new("RGB", size), kind)).size == size


def test_damaged_files_are_undecodable() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    for data in (b"", b"<html>", encoded(noise, "JPEG")[:2000], encoded(noise, "PNG")[:2000], b"%!PS-Adobe-3.0 EPSF"):
        with pytest.raises(UndecodableImage):
            decode(data)


def test_the_pixel_cap_is_applied_to_the_header() -> None:
    data = encoded(Image.new("1", (300, 200)), "PNG")
    assert decode(data, max_pixels=60_000).size == (300, 200)
    with pytest.raises(UndecodableImage, match="300x200 is over 59999 pixels"):
        decode(data, max_pixels=59_999)
    huge = encoded(Image.new("1", (20_000, 10_000)), "PNG")
    with pytest.raises(UndecodableImage):
        decode(huge)


@pytest.mark.slow
def test_a_large_picture_is_decoded_even_where_warnings_are_errors() -> None:
    data = encoded(Image.new("1", (10_000, 9_500)), "PNG")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode(data).size == (10_000, 9_500)


def test_random_damage_never_raises_anything_else() -> None:
    rng = np.random.default_rng(7)
    image = with_red_corner(64, 64)
    whole = [encoded(image, kind) for kind in ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")]
    for trial in range(600):
        data = bytearray(whole[trial % len(whole)])
        for place in rng.integers(0, min(len(data), 200), 6):
            data[place] = rng.integers(0, 256)
        with suppress(UndecodableImage):
            assert decode(bytes(data)).mode == "RGB"
