from io import BytesIO

import numpy as np
import pytest
import simplejpeg
from PIL import Image, ImageOps

from synthetic import image_bodies as bodies
from synthetic.identity import sample_identity
from synthetic.portrait import draw


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    return draw(sample_identity(np.random.default_rng(1)), np.random.default_rng(2)).image


def opened(data: bytes) -> Image.Image:
    return Image.open(BytesIO(data))


def strictly_decoded(data: bytes) -> np.ndarray:
    return simplejpeg.decode_jpeg(data, colorspace="GRAY", strict=True)


def test_a_zeroed_jpeg_is_refused_by_a_strict_decoder_though_pillow_reads_it():
    for n in range(10):
        image = draw(sample_identity(np.random.default_rng(n)), np.random.default_rng([3, n])).image
        data = bodies.encoded(image, "JPEG", 95)
        broken = bodies.zeroed(data)
        assert strictly_decoded(data).size
        assert len(broken) == len(data)
        assert opened(broken).convert("RGB").size == image.size
        with pytest.raises(ValueError):
            strictly_decoded(broken)


def test_half_a_jpeg_is_refused_by_a_strict_decoder(picture):
    with pytest.raises(ValueError):
        strictly_decoded(bodies.half(bodies.encoded(picture, "JPEG", 88)))


def test_the_giant_png_is_small_in_bytes_and_24000_px_wide():
    data = bodies.giant_png()
    assert len(data) < 200_000
    Image.MAX_IMAGE_PIXELS, limit = None, Image.MAX_IMAGE_PIXELS
    try:
        assert opened(data).size == (24_000, 24_000)
    finally:
        Image.MAX_IMAGE_PIXELS = limit


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_an_exif_rotated_jpeg_shows_the_picture_upright_once_turned(picture, orientation):
    data, stored = bodies.exif_rotated(picture, orientation, 88)
    assert opened(data).size == stored.size
    upright = ImageOps.exif_transpose(opened(data)).convert("L")
    assert upright.size == picture.size
    assert np.abs(np.asarray(upright, int) - np.asarray(picture.convert("L"), int)).mean() < 8


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF"])
def test_a_picture_comes_in_the_format_asked_for(picture, form):
    image = opened(bodies.encoded(picture, form, 85))
    assert (image.format, image.size) == (form, picture.size)


def test_equal_bodies_are_one_file(tmp_path):
    store = bodies.BodyStore(tmp_path / "bodies")
    assert store.put(b"one", "jpg") == store.put(b"one", "jpg") != store.put(b"two", "jpg")
    assert len(list((tmp_path / "bodies").iterdir())) == 2
