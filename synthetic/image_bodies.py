"""Response bodies of the origin: encoded pictures, and damaged ones."""

from __future__ import annotations

import hashlib
import zlib
from io import BytesIO
from pathlib import Path

import simplejpeg
from PIL import Image, ImageDraw, ImageFont

# Four kilobytes of zeros inside the picture: Pillow decodes them without a warning, a strict libjpeg does not.
_ZEROED_BYTES = 4096
_GIANT_PX = 24_000
# Orientation tag -> rotation of the stored pixels, which the tag reverts.
_TURNED = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}

HTML_PAGE = (
    b"<!DOCTYPE html><html><head><title>Not here</title></head><body><h1>This page has moved on</h1></body></html>\n"
)


class BodyStore:
    """The folder `bodies/`. Files are named by the SHA-256 of their content, so equal bodies share one file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, data: bytes, ending: str) -> str:
        """Store `data` and return its file name."""
        name = f"{hashlib.sha256(data).hexdigest()[:24]}.{ending}"
        path = self._folder / name
        if not path.exists():
            path.write_bytes(data)
        return name

    def picture(self, name: str) -> Image.Image:
        """Decode the picture in a file."""
        with Image.open(self._folder / name) as image:
            return image.convert("RGB")


def encoded(image: Image.Image, form: str, quality: int) -> bytes:
    """Encode `image` as `JPEG`, `PNG`, `WEBP` or `GIF`; `quality` is ignored for PNG and GIF."""
    file = BytesIO()
    if form == "GIF":
        image.quantize(256).save(file, form)
    elif form == "PNG":
        image.save(file, form, compress_level=3)
    else:
        image.save(file, form, quality=quality)
    return file.getvalue()


def exif_rotated(image: Image.Image, orientation: int, quality: int) -> tuple[bytes, Image.Image]:
    """A JPEG stored rotated with an EXIF orientation tag (3, 6 or 8), and its stored pixels."""
    stored = image.transpose(_TURNED[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = BytesIO()
    stored.save(file, "JPEG", quality=quality, exif=exif)
    return file.getvalue(), stored


def zeroed(jpeg: bytes) -> bytes:
    """The JPEG with 4 KB of zeros inside its entropy-coded data, so that a strict decoder rejects it.

    Zeros are valid codes: in 6 of 80 pictures they decode to as many blocks as they replace, without an error; then
    another position is used. The JPEG should be longer than 12 KB.
    """
    starts = range(len(jpeg) // 2 - _ZEROED_BYTES // 2, len(jpeg) // 8, -199)
    broken = (jpeg[:start] + bytes(_ZEROED_BYTES) + jpeg[start + _ZEROED_BYTES :] for start in starts)
    return next(data for data in broken if not _decodes_strictly(data))


def _decodes_strictly(jpeg: bytes) -> bool:
    try:
        simplejpeg.decode_jpeg(jpeg, colorspace="GRAY", strict=True)
    except ValueError:
        return False
    return True


def half(data: bytes) -> bytes:
    """The first half of `data`."""
    return data[: len(data) // 2]


def giant_png() -> bytes:
    """A white 1-bit PNG of 24,000 x 24,000 pixels: 70 KB, 576 million pixels."""
    row = b"\x00" + b"\xff" * (_GIANT_PX // 8)
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(row * 100) for _ in range(_GIANT_PX // 100)) + packer.flush()
    header = _GIANT_PX.to_bytes(4) * 2 + bytes([1, 0, 0, 0, 0])
    chunks = ((b"IHDR", header), (b"IDAT", packed), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4) for kind, data in chunks
    )


def placeholder() -> Image.Image:
    """A placeholder picture, as served by hosts for deleted pictures."""
    image = Image.new("RGB", (320, 240), (226, 228, 232))
    draw = ImageDraw.Draw(image)
    draw.rectangle((12, 12, 307, 227), outline=(170, 174, 182), width=3)
    draw.rectangle((118, 58, 202, 118), outline=(140, 144, 152), width=6)
    draw.ellipse((143, 71, 177, 105), outline=(140, 144, 152), width=6)
    font = ImageFont.load_default(22)
    draw.text((160, 150), "image not", fill=(110, 114, 122), font=font, anchor="ma")
    draw.text((160, 178), "available", fill=(110, 114, 122), font=font, anchor="ma")
    return image
