"""Pictures that are odd but whole, damaged ones, and ones made to cost much, each built here out of a drawn picture."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from storage.records import Reason

SIDE_PX = 96


def picture(seed: int = 0, width: int = SIDE_PX, height: int = SIDE_PX) -> Image.Image:
    """Soft random shapes, other ones for each seed."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def spread(image: Image.Image, px: int, seed: int = 0) -> Image.Image:
    """Each pixel replaced by one at most `px` away. Pillow's `effect_spread` draws from the C library's generator."""
    pixels, rng = np.asarray(image), np.random.default_rng(seed)
    height, width = pixels.shape[:2]
    rows, columns = (axis + rng.integers(-px, px + 1, axis.shape) for axis in np.indices((height, width)))
    return Image.fromarray(pixels[rows.clip(0, height - 1), columns.clip(0, width - 1)])


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@dataclass(frozen=True)
class Odd:
    """An odd picture that viewers show whole, and a plain one with the same pixels."""

    data: bytes
    control: bytes


# -- JPEG --


def segment(code: int, body: bytes) -> bytes:
    return bytes([0xFF, code]) + struct.pack(">H", len(body) + 2) + body


def after_start(jpeg: bytes, inserted: bytes, *, without_jfif: bool = False) -> bytes:
    """`inserted` as the first segment, before JFIF's or in its place."""
    rest = jpeg[4 + int.from_bytes(jpeg[4:6], "big") :] if without_jfif else jpeg[2:]
    return jpeg[:2] + inserted + rest


def with_scan_end(jpeg: bytes, last: int) -> bytes:
    """The first scan's band ends at this coefficient."""
    at = jpeg.index(b"\xff\xda")
    place = at + 1 + int.from_bytes(jpeg[at + 2 : at + 4], "big") - 1
    return jpeg[:place] + bytes([last]) + jpeg[place + 1 :]


def padded(jpeg: bytes, padding: bytes) -> bytes:
    """With these bytes before the end marker."""
    return jpeg[:-2] + padding + jpeg[-2:]


def padded_between_scans(jpeg: bytes) -> bytes:
    second = jpeg.index(b"\xff\xda", jpeg.index(b"\xff\xda") + 2)
    tables = jpeg.rindex(b"\xff\xc4", 0, second)
    return jpeg[:tables] + bytes(6) + jpeg[tables:]


def odd_jpegs() -> Iterator[tuple[str, Odd]]:
    base = encoded(picture(), "JPEG", quality=90)
    progressive = encoded(picture(), "JPEG", quality=90, progressive=True)
    restarts = encoded(picture(), "JPEG", quality=90, restart_marker_rows=1)
    cmyk = encoded(picture().convert("CMYK"), "JPEG", quality=90)
    jfif_end = 4 + int.from_bytes(base[4:6], "big")
    for num in (1, 2, 3, 7, 8, 64, 258, 4096):
        yield f"{num} zero bytes before the end marker", Odd(padded(base, bytes(num)), base)
    yield from {
        "the scan's band ends at 0": Odd(with_scan_end(base, 0), base),
        "the scan's band ends at 0, then zeros": Odd(padded(with_scan_end(base, 0), bytes(8)), base),
        "the scan's band ends at 0, restarts": Odd(with_scan_end(restarts, 0), restarts),
        "progressive, 8 zero bytes at the end": Odd(padded(progressive, bytes(8)), progressive),
        "progressive, zero bytes between scans": Odd(padded_between_scans(progressive), progressive),
        "zero bytes at the end, restarts": Odd(padded(restarts, bytes(258)), restarts),
        "CMYK, zero bytes at the end": Odd(padded(cmyk, bytes(258)), cmyk),
        "fill bytes before the end marker": Odd(padded(base, b"\xff\xff\xff"), base),
        "zero bytes between segments": Odd(base[:jfif_end] + bytes(4) + base[jfif_end:], base),
        "letters between segments": Odd(base[:jfif_end] + b"junk" + base[jfif_end:], base),
        "JFIF of version 2": Odd(base[:11] + b"\x02" + base[12:], base),
        "JFIF of 5 bytes": Odd(after_start(base, segment(0xE0, b"JFIF\0"), without_jfif=True), base),
        "JFIF of 7 bytes": Odd(after_start(base, segment(0xE0, b"JFIF\0\x01\x01"), without_jfif=True), base),
        "JFIF of 4 bytes": Odd(after_start(base, segment(0xE0, b"JFIF"), without_jfif=True), base),
        "no JFIF": Odd(after_start(base, b"", without_jfif=True), base),
        "Adobe of 5 bytes": Odd(after_start(base, segment(0xEE, b"Adobe")), base),
        "Adobe of 6 bytes": Odd(after_start(base, segment(0xEE, b"Adobe\0")), base),
        "Adobe's unknown transform": Odd(
            after_start(base, segment(0xEE, b"Adobe\0\x64\0\0\0\0\x07"), without_jfif=True), base
        ),
        "a colour profile of no bytes": Odd(after_start(base, segment(0xE2, b"ICC_PROFILE\0")), base),
        "a colour profile of one byte": Odd(after_start(base, segment(0xE2, b"ICC_PROFILE\0\x01")), base),
        "part 2 of 5 of a colour profile": Odd(after_start(base, segment(0xE2, b"ICC_PROFILE\0\x02\x05abc")), base),
        "part 0 of 0 of a colour profile": Odd(after_start(base, segment(0xE2, b"ICC_PROFILE\0\0\0abc")), base),
        "two first parts of a profile": Odd(after_start(base, 2 * segment(0xE2, b"ICC_PROFILE\0\x01\x02abc")), base),
        "a damaged colour profile": Odd(after_start(base, segment(0xE2, b"ICC_PROFILE\0\x01\x01abc")), base),
        "an index of pictures, cut": Odd(after_start(base, segment(0xE2, b"MPF\0II*\0\x08\0\0\0\x01\0")), base),
        "EXIF of no bytes": Odd(after_start(base, segment(0xE1, b"Exif\0\0")), base),
        "EXIF cut short": Odd(after_start(base, segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0\x09\0")), base),
        "EXIF of letters": Odd(after_start(base, segment(0xE1, b"Exif\0\0xxxxxxx"), without_jfif=True), base),
        "XMP of letters": Odd(after_start(base, segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0xx")), base),
        "a Photoshop block cut short": Odd(after_start(base, segment(0xED, b"Photoshop 3.0\x008BIM\x03\xed")), base),
        "a segment of length 0": Odd(after_start(base, b"\xff\xe5\0\0"), base),
        "a marker without a length": Odd(after_start(base, b"\xff\x01"), base),
        "a comment of 64 KB": Odd(after_start(base, segment(0xFE, bytes(65_000))), base),
        "no end marker": Odd(base[:-2], base),
        "half an end marker": Odd(base[:-1], base),
        "progressive, no end marker": Odd(progressive[:-2], progressive),
        "a page after the end": Odd(base + b"<html>tail</html>", base),
        "a film after the end": Odd(base + b"\xff\xda\0\x08" * 300, base),
        "a second picture after the end": Odd(base + encoded(picture(1), "JPEG"), base),
        "several pictures with an index": Odd(
            encoded(picture(), "MPO", save_all=True, append_images=[picture(1)], quality=90), base
        ),
        "gray, zero bytes at the end": Odd(
            padded(encoded(picture().convert("L"), "JPEG"), bytes(20)), encoded(picture().convert("L"), "JPEG")
        ),
    }.items()


# -- PNG --


def chunk(kind: bytes, body: bytes, *, broken: bool = False) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body) ^ broken)


def with_chunk(png: bytes, added: bytes, *, after_pixels: bool = False) -> bytes:
    """With one more chunk after the header, or before the end."""
    at = len(png) - 12 if after_pixels else 33
    return png[:at] + added + png[at:]


def in_small_chunks(png: bytes, size: int) -> bytes:
    """With its pixels in chunks of so many bytes, and empty ones between."""
    at = png.index(b"IDAT") - 4
    length = int.from_bytes(png[at : at + 4], "big")
    pixels = png[at + 8 : at + 8 + length]
    cut = b"".join(
        chunk(b"IDAT", pixels[start : start + size]) + chunk(b"IDAT", b"") for start in range(0, length, size)
    )
    return png[:at] + cut + png[at + 12 + length :]


def unpacks_to(num_bytes: int) -> bytes:
    return zlib.compress(bytes(num_bytes))


def odd_pngs() -> Iterator[tuple[str, Odd]]:
    png = encoded(picture(), "PNG")
    gray = encoded(picture().convert("L"), "PNG")
    palette = encoded(picture().quantize(16), "PNG")
    bomb = unpacks_to(3_000_000)
    chunks = {
        "zTXt that unpacks to 3 MB": chunk(b"zTXt", b"Comment\0\0" + bomb),
        "iTXt that unpacks to 3 MB": chunk(b"iTXt", b"Comment\0\x01\0\0\0" + bomb),
        "a profile that unpacks to 3 MB": chunk(b"iCCP", b"sRGB\0\0" + bomb),
        "many zTXt of 1 MB": chunk(b"zTXt", b"Comment\0\0" + unpacks_to(1_000_000)) * 70,
        "zTXt packed in an unknown way": chunk(b"zTXt", b"Comment\0\x07abc"),
        "zTXt that is not packed": chunk(b"zTXt", b"Comment\0\0abc"),
        "EXIF as text, damaged": chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n  9\nxyz")),
        "a profile packed in an unknown way": chunk(b"iCCP", b"sRGB\0\x07abc"),
        "a profile of no bytes": chunk(b"iCCP", b""),
        "a profile without a name": chunk(b"iCCP", b"sRGB"),
        "text with a broken checksum": chunk(b"tEXt", b"Comment\0hello", broken=True),
        "gamma with a broken checksum": chunk(b"gAMA", b"\0\0\xb1\x8f", broken=True),
        "a gamma of one byte": chunk(b"gAMA", b"\0"),
        "a resolution of two bytes": chunk(b"pHYs", b"\0\0"),
        "a rendering intent of no bytes": chunk(b"sRGB", b""),
        "chromaticities of one byte": chunk(b"cHRM", b"\0"),
        "EXIF of letters": chunk(b"eXIf", b"damaged EXIF"),
        "EXIF of no bytes": chunk(b"eXIf", b""),
        "frames of an animation, out of order": chunk(b"acTL", b"\0\0\0\x02\0\0\0\0") + chunk(b"fcTL", bytes(26)),
        "an animation of no frames": chunk(b"acTL", bytes(8)),
        "a colour that is clear, of one byte": chunk(b"tRNS", b"\0"),
        "a private chunk": chunk(b"prIv", bytes(5000)),
    }
    for name, added in chunks.items():
        yield name, Odd(with_chunk(png, added), png)
        if b"cTL" not in added:
            yield f"{name}, after the pixels", Odd(with_chunk(png, added, after_pixels=True), png)
    yield "gray, a clear colour of six bytes", Odd(with_chunk(gray, chunk(b"tRNS", bytes(6))), gray)
    yield "pixels in chunks of 100 bytes", Odd(in_small_chunks(png, 100), png)
    yield "pixels in chunks of one byte", Odd(in_small_chunks(palette, 1), palette)
    yield "no end", Odd(png[:-12], png)
    yield "a page after the end", Odd(png + b"<html>tail</html>", png)
    yield (
        "text, and a time after the pixels",
        Odd(with_chunk(encoded(picture(), "PNG", pnginfo=_text()), chunk(b"tIME", bytes(7)), after_pixels=True), png),
    )


def _text() -> PngInfo:
    info = PngInfo()
    info.add_text("Comment", "hello", zip=True)
    info.add_itxt("Comment", "hällo")
    return info


# -- the others --


def odd_others() -> Iterator[tuple[str, Odd]]:
    image = picture()
    gif = encoded(image, "GIF")
    webp = encoded(image, "WEBP", lossless=True)
    bmp = encoded(image, "BMP")
    tiff = encoded(image, "TIFF")
    avif = encoded(image, "AVIF", quality=90)
    animated = encoded(image, "AVIF", quality=90, save_all=True, append_images=[picture(1)])
    comment = b"\x21\xfe" + b"\x04abcd" * 400 + b"\0"
    yield from {
        "GIF, a page after the end": Odd(gif + b"<html>tail</html>", gif),
        "GIF, no end": Odd(gif.removesuffix(b";"), gif),
        "GIF, comments": Odd(gif[:-1] + comment + b";", gif),
        "GIF animated": Odd(encoded(image, "GIF", save_all=True, append_images=[picture(1)]), gif),
        "WebP, EXIF of letters": Odd(encoded(image, "WEBP", lossless=True, exif=b"Exif\0\0damaged"), webp),
        "WebP, a damaged profile": Odd(encoded(image, "WEBP", lossless=True, icc_profile=b"damaged"), webp),
        "WebP, XMP of letters": Odd(encoded(image, "WEBP", lossless=True, xmp=b"damaged"), webp),
        "WebP, a page after the end": Odd(webp + b"<html>tail</html>", webp),
        "BMP, bytes after the end": Odd(bmp + bytes(100), bmp),
        "BMP, rows from the top": Odd(_top_down(bmp), bmp),
        "BMP, no size of the pixels": Odd(bmp[:34] + bytes(4) + bmp[38:], bmp),
        "TIFF, EXIF and profile damaged": Odd(encoded(image, "TIFF", icc_profile=b"damaged"), tiff),
        "TIFF, packed by LZW": Odd(encoded(image, "TIFF", compression="tiff_lzw"), tiff),
        "TIFF, packed by deflate": Odd(encoded(image, "TIFF", compression="tiff_adobe_deflate"), tiff),
        "TIFF, tiles of 256 px": Odd(tiled_tiff(256, 1), encoded(Image.new("L", (64, 64)), "TIFF")),
        "TIFF, big": Odd(encoded(image, "TIFF", big_tiff=True), tiff),
        "AVIF, a page after the end": Odd(avif + b"<html>tail</html>", avif),
        "AVIF animated": Odd(animated, animated),
    }.items()


def _top_down(bmp: bytes) -> bytes:
    start, rows = int.from_bytes(bmp[10:14], "little"), SIDE_PX * 3
    upside_down = [bmp[at : at + rows] for at in range(start, start + rows * SIDE_PX, rows)]
    return bmp[:22] + struct.pack("<i", -SIDE_PX) + bmp[26:start] + b"".join(reversed(upside_down))


# -- damaged --


def damaged() -> Iterator[tuple[str, bytes]]:
    base = encoded(spread(picture(), 9), "JPEG", quality=90)
    progressive = encoded(spread(picture(), 9), "JPEG", quality=90, progressive=True)
    restarts = encoded(spread(picture(), 9), "JPEG", quality=90, restart_marker_rows=1)
    png = encoded(spread(picture(), 9), "PNG")
    avif = encoded(spread(picture(), 9), "AVIF", quality=95)
    palette = encoded(picture().quantize(16), "PNG")
    pixels_at = palette.index(b"IDAT") - 4
    half = len(base) // 2
    last_scan = progressive.rindex(b"\xff\xda")
    yield from {
        "JPEG: cut, then an end marker": base[:half] + b"\xff\xd9",
        "JPEG: cut, then zeros and an end marker": base[:half] + bytes(half - 2) + b"\xff\xd9",
        "JPEG: cut, then 3 zeros and an end marker": base[:half] + bytes(3) + b"\xff\xd9",
        "JPEG: its last 400 bytes are zeros": base[:-402] + bytes(400) + b"\xff\xd9",
        "JPEG: zeros inside": base[:half] + bytes(600) + base[half + 600 :],
        "JPEG: a band of 0, cut": with_scan_end(base[:half] + b"\xff\xd9", 0),
        "JPEG: a band of 0, zeros inside": with_scan_end(base[:half] + bytes(600) + base[half + 600 :], 0),
        "JPEG: a short JFIF, cut": after_start(base[:half], segment(0xE0, b"JFIF"), without_jfif=True),
        "JPEG: lacks its last 3 bytes": base[:-3],
        "JPEG: lacks its last 30 bytes": base[:-30],
        "JPEG: letters before the end marker": padded(base, b"twenty letters of it"),
        "JPEG: progressive, cut": progressive[: len(progressive) // 2],
        "JPEG: progressive, lacks its last scan and end": progressive[:last_scan],
        "JPEG: lacks one restart": restarts.replace(b"\xff\xd1", b"", 1),
        "JPEG: lacks one restart's data": restarts[: restarts.index(b"\xff\xd1")]
        + restarts[restarts.index(b"\xff\xd2") :],
        "JPEG: a marker that nobody knows": after_start(base, segment(0x02, b"ab")),
        "PNG: cut": png[: len(png) // 2],
        "PNG: cut, then its end": png[: len(png) // 2] + png[-12:],
        "PNG: pixels zeroed": png[:200] + bytes(2000) + png[2200:],
        "PNG: a header with a broken checksum": png[:29] + bytes(4) + png[33:],
        "PNG: a kind of chunk that is none": png[:33] + b"\0\0\0\x05\0\0\0\0hello\0\0\0\0" + png[33:],
        "PNG: no pixels": png[:33] + png[-12:],
        "PNG: no palette": palette[:33] + palette[pixels_at:],
        "AVIF: cut": avif[: len(avif) // 2],
        "GIF: cut": encoded(spread(picture(), 9), "GIF")[:2000],
        "WebP: cut": encoded(spread(picture(), 9), "WEBP", lossless=True)[:2000],
    }.items()


DAMAGED = dict(damaged())


# -- costly --


def many_scans(num: int, width: int, height: int) -> bytes:
    """A progressive JPEG of one gray value whose first band of AC coefficients is sent `num` times; 20 bytes each."""
    blocks = -(-width // 8) * -(-height // 8)
    tables = segment(0xDB, b"\0" + b"\x01" * 64)
    tables += segment(0xC2, struct.pack(">BHHB", 8, height, width, 1) + b"\x01\x11\0")
    # One DC code of one bit: a difference of 0. Codes of AC: runs of blocks without coefficients, of up to 2 ** 14.
    tables += segment(0xC4, b"\0" + b"\x01" + bytes(15) + b"\0")
    tables += segment(0xC4, b"\x10" + b"\x00\x00\x00\x0f" + bytes(12) + bytes(run << 4 for run in range(15)))
    flat = segment(0xDA, b"\x01\x01\x00\x00\x00\x00") + _bits("0" * blocks)
    band = segment(0xDA, b"\x01\x01\x00\x01\x05\x00") + _bits(_runs(blocks))
    return b"\xff\xd8" + tables + flat + band * num + b"\xff\xd9"


def _runs(num_blocks: int) -> str:
    """Codes for so many blocks without coefficients, in runs that are powers of two and their rests."""
    bits = ""
    while num_blocks:
        size = min(num_blocks.bit_length() - 1, 14)
        rest = min(num_blocks, (2 << size) - 1) - (1 << size)
        bits += f"{size:04b}" + (f"{rest:0{size}b}" if size else "")
        num_blocks -= (1 << size) + rest
    return bits


def _bits(bits: str) -> bytes:
    bits += "1" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")


def tiled_tiff(tile_px: int, num_tiles: int, side_px: int = 64) -> bytes:
    """A gray TIFF of this side whose tiles are all the same packed bytes."""
    packed = zlib.compress(bytes(tile_px * tile_px), 9)
    entries = {
        256: (side_px,), 257: (side_px,), 258: (8,), 259: (8,), 262: (1,), 277: (1,), 322: (tile_px,), 323: (tile_px,),
        324: (8,) * num_tiles, 325: (len(packed),) * num_tiles,
    }  # fmt: skip
    start = 8 + len(packed) + len(packed) % 2
    extra_at, extra, rows = start + 2 + 12 * len(entries) + 4, b"", b""
    for tag, values in entries.items():
        body = struct.pack(f"<{len(values)}I", *values)
        if len(values) > 1:
            body, extra = struct.pack("<I", extra_at + len(extra)), extra + body
        rows += struct.pack("<HHI", tag, 4, len(values)) + body
    head = b"II*\0" + struct.pack("<I", start) + packed + bytes(len(packed) % 2)
    return head + struct.pack("<H", len(entries)) + rows + bytes(4) + extra


def run_length_bitmap(width: int, height: int) -> bytes:
    """A BMP in run lengths, all of one colour."""
    row = b"\xff\x01" * (width // 255) + (bytes([width % 255, 1]) if width % 255 else b"") + b"\0\0"
    pixels = row * height + b"\0\x01"
    palette = bytes(256 * 4)
    start = 14 + 40 + len(palette)
    head = b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start)
    return head + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(pixels), 0, 0, 256, 0) + palette + pixels


def many_chunks(num: int) -> bytes:
    return with_chunk(encoded(picture(), "PNG"), chunk(b"tEXt", b"") * num)


ODD: dict[str, Odd] = {
    **{f"JPEG: {name}": odd for name, odd in odd_jpegs()},
    **{f"PNG: {name}": odd for name, odd in odd_pngs()},
    **dict(odd_others()),
}


# Each is over the bound, in the smallest form that the cheap refusals are to see.
COSTLY: dict[str, Callable[[], bytes]] = {
    "JPEG: 101 scans": lambda: many_scans(101, 96, 96),
    "JPEG: 5000 scans of 2048 px": lambda: many_scans(5000, 2048, 2048),
    "JPEG: 90 scans of 7000 px": lambda: many_scans(90, 7000, 7000),
    "TIFF: one tile of 8192 px": lambda: tiled_tiff(8192, 1),
    "TIFF: 20,000 tiles of 256 px": lambda: tiled_tiff(256, 20_000),
    "BMP: 8000 px in run lengths": lambda: run_length_bitmap(8000, 8000),
    "PNG: 300,000 chunks": lambda: many_chunks(300_000),
}


def reasons() -> dict[str, tuple[bytes, Reason]]:
    """What must be refused, and why."""
    broken = {name: (data, Reason.BROKEN_IMAGE) for name, data in DAMAGED.items()}
    return broken | {name: (make(), Reason.TOO_COSTLY) for name, make in COSTLY.items()}
