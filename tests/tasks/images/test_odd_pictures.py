"""Odd pictures are taken and look like their plain controls; damaged and costly ones are refused, with a reason."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Sequence
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from flows.reports.page import figure, macros, thumbnail
from storage.records import Detection, FoundFace, ImageFacts, Reason, Retry
from tasks.faces.crop_shard import Job, Listed, crop_picture
from tasks.faces.detect_shard import StoredImage, detect_all
from tasks.faces.methods import CropSettings
from tasks.images.decode import UndecodableImage, decode, decode_here
from tasks.images.sandbox import Call, Limits, OverLimitError, Result
from tasks.images.validate import ImageLimits, Invalid, is_bounded, validate, validate_here
from tests.tasks.odd_pictures import (
    COSTLY,
    DAMAGED,
    ODD,
    encoded,
    many_scans,
    padded,
    picture,
    run_length_bitmap,
    spread,
    tiled_tiff,
)


class NoFaces:
    """A detector that looks at every picture and finds nobody."""

    batch = 4

    def find(self, image: Image.Image) -> tuple[FoundFace, ...]:
        return self.find_all([image])[0]

    def find_all(self, images: Sequence[Image.Image]) -> list[tuple[FoundFace, ...]]:
        return [() for image in images if np.asarray(image).ndim == 3]


def case_of(name: str) -> pytest.ParameterSet:
    marks = {"JPEG": pytest.mark.case(2), "PNG": pytest.mark.case(3), "AVIF": pytest.mark.case(10)}
    kind = name.partition(":")[0].split()[0].rstrip(",")
    return pytest.param(name, marks=[marks[kind]] if kind in marks else [])


# -- odd but whole --


@pytest.mark.parametrize("name", [case_of(name) for name in ODD])
def test_an_odd_picture_is_taken_and_looks_like_its_control(name: str) -> None:
    odd = ODD[name]
    assert isinstance(validate(odd.data), ImageFacts), validate(odd.data)
    assert np.array_equal(np.asarray(decode(odd.data)), np.asarray(decode(odd.control)))


@pytest.mark.attack(3)
@pytest.mark.attack(9)
@pytest.mark.parametrize("name", ODD)
def test_every_stage_can_open_what_is_taken(name: str) -> None:
    data = ODD[name].data
    (detection,) = detect_all([(data, bytes(16), bytes(32))], NoFaces())
    assert (detection.reason, detection.faces) == (None, ())
    job = Job(StoredImage(bytes(16), bytes(32), 0, 0), detection, [Listed("Ada", 1, (8.0, 8.0, 56.0, 56.0))])
    (cropped,) = crop_picture(job, lambda: data, ["bbox"], CropSettings(check_boxes=False))
    assert cropped.face.reason is None
    assert thumbnail(data)


# -- damaged --


@pytest.mark.case(2)
@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_picture_is_refused_still(name: str) -> None:
    result = validate(DAMAGED[name])
    assert isinstance(result, Invalid)
    assert result.reason is Reason.BROKEN_IMAGE


@pytest.mark.case(2)
def test_zeros_at_the_end_pass_for_padding_only_where_all_is_there() -> None:
    num_taken = 0
    for seed in range(10):
        whole = encoded(spread(picture(seed), 9, seed), "JPEG", quality=85)
        assert isinstance(validate(padded(whole, bytes(60))), ImageFacts)
        num_taken += isinstance(validate(whole[:-62] + bytes(60) + whole[-2:]), ImageFacts)
    # A decoder may need as many zeros as there are, and then even the strict one finds nothing: 3 of 60.
    assert num_taken <= 2


@pytest.mark.attack(9)
@pytest.mark.parametrize("name", [*DAMAGED, "nothing"])
def test_a_page_shows_a_blank_for_what_cannot_be_decoded(name: str) -> None:
    shown = macros("parts.html").sheet("title", "", [figure([DAMAGED.get(name, b"")], "caption")])
    assert ("class=blank" in shown) != ("data:image/jpeg" in shown)


def test_reasons_of_decoding_reach_the_rows() -> None:
    assert detect_all([(COSTLY["JPEG: 101 scans"](), b"", b"")], NoFaces())[0].reason is Reason.TOO_COSTLY
    undecoded = Detection(b"", b"", 96, 96, ())
    job = Job(StoredImage(b"", b"", 0, 0), undecoded, [Listed("Ada", 1, (8.0, 8.0, 56.0, 56.0))])
    (cropped,) = crop_picture(job, COSTLY["JPEG: 101 scans"], ["bbox"], CropSettings(check_boxes=False))
    assert cropped.face.reason is Reason.TOO_COSTLY


# -- costly --


@pytest.mark.attack(4)
@pytest.mark.attack(5)
@pytest.mark.attack(8)
@pytest.mark.parametrize("name", COSTLY)
def test_a_costly_picture_is_refused_before_it_is_decoded(name: str) -> None:
    data = COSTLY[name]()
    facts, _ = Call(refuse, data).run()
    assert facts["reason"] == Reason.TOO_COSTLY
    # Measured: at most 0.8 of it to refuse one, and over 20 to decode one.
    assert facts["cpu_s"] < 5 * facts["ordinary_cpu_s"]
    with pytest.raises(UndecodableImage) as error:
        decode(data)
    assert error.value.reason is Reason.TOO_COSTLY
    assert Reason.TOO_COSTLY.retry is Retry.NEVER


def refuse(data: bytes) -> Result:
    """The reason, and the CPU seconds of the check and of writing a plain JPEG of 16 megapixels."""
    started = time.process_time()
    result = validate_here(data, ImageLimits())
    checked = time.process_time()
    encoded(Image.new("RGB", (4000, 4000)), "JPEG")
    ordinary = time.process_time()
    return {
        "cpu_s": checked - started,
        "ordinary_cpu_s": ordinary - checked,
        "reason": result.reason if isinstance(result, Invalid) else None,
    }, b""


def test_the_same_structures_within_the_bound_are_taken() -> None:
    for data in (
        many_scans(20, 200, 200),
        tiled_tiff(256, 40),
        run_length_bitmap(500, 300),
        encoded(picture(0, 5000, 4000), "JPEG", progressive=True),
    ):
        assert isinstance(validate(data), ImageFacts), validate(data)


def test_only_ordinary_jpegs_are_decoded_beside_other_work() -> None:
    assert is_bounded(b"") and is_bounded(b"<html>")
    assert is_bounded(encoded(picture(), "JPEG")) and is_bounded(encoded(picture(), "JPEG", progressive=True))
    for name, odd in ODD.items():
        assert not (is_bounded(odd.data) and not name.startswith("JPEG") and "several" not in name), name
    for name, make in COSTLY.items():
        assert not is_bounded(make()), name
    for kind in ("PNG", "GIF", "WEBP", "AVIF", "BMP", "TIFF"):
        assert not is_bounded(encoded(picture(), kind))


def test_a_header_that_hides_another_is_not_taken_for_an_ordinary_one() -> None:
    plain, large = encoded(picture(), "JPEG"), many_scans(5000, 2048, 2048)
    for hidden in (b"\xff\xd0", b"\xff\xd8", b"\xff\x01", b"\xff\xe5\0\0", b"\xff\xff"):
        # Read as a segment with a length, the marker would hide the large picture's header behind the plain one's.
        assert not is_bounded(large[:2] + hidden + plain[2:-2] + large[2:])


# -- memory --


def flat(mode: str, side_px: int) -> Image.Image:
    """A picture that packs well, with two values so that nothing is left out."""
    image = Image.new(mode, (side_px, side_px))
    image.paste(Image.new(mode, (side_px // 2, side_px), tuple([77] * len(image.getbands())) if len(mode) > 1 else 77))
    return image


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


SIDE_PX = 3000
LARGE = {
    "RGBA": lambda: encoded(flat("RGBA", SIDE_PX), "PNG", compress_level=1),
    "RGB, turned": lambda: encoded(flat("RGB", SIDE_PX), "PNG", compress_level=1, exif=turned()),
    "RGBA, turned": lambda: encoded(flat("RGBA", SIDE_PX), "PNG", compress_level=1, exif=turned()),
    "gray and alpha": lambda: encoded(flat("LA", SIDE_PX), "PNG", compress_level=1),
    "16 bits": lambda: encoded(Image.fromarray(np.full((SIDE_PX, SIDE_PX), 999, np.uint16)), "PNG", compress_level=1),
    "floats": lambda: encoded(
        Image.fromarray(np.full((SIDE_PX, SIDE_PX), 0.5, np.float32)), "TIFF", compression="tiff_adobe_deflate"
    ),
    "palette, clear": lambda: encoded(flat("P", SIDE_PX), "PNG", compress_level=1, transparency=77),
}


@pytest.mark.attack(11)
@pytest.mark.parametrize("name", LARGE)
def test_decoding_takes_no_more_than_two_copies_of_four_bytes_a_pixel(name: str) -> None:
    data = LARGE[name]()
    # And a band of a million pixels in four copies of four bytes, and the file twice.
    most = 8 * SIDE_PX**2 + 16 * (1 << 20) + 2 * len(data)
    facts, _ = Call(size_as_decoded, data, Limits(memory_bytes=most)).run()
    assert facts == {"size": [SIDE_PX, SIDE_PX]}


def size_as_decoded(data: bytes) -> Result:
    return {"size": list(decode_here(data, 10**9).size)}, b""


def test_a_picture_over_the_memory_it_may_take_is_ended_and_the_next_is_decoded() -> None:
    with pytest.raises(OverLimitError):
        Call(size_as_decoded, LARGE["RGBA"](), Limits(memory_bytes=20_000_000)).run()
    assert decode(encoded(picture(), "PNG")).size == picture().size


LEFT: list[bytearray] = []


def leave_a_hole(data: bytes) -> Result:
    """Frees 80 MB of the heap below a block that stays."""
    for _ in range(2):  # blocks of a size that was freed once come from the heap
        blocks = [bytearray(20 << 20) for _ in range(4)]
        LEFT.append(bytearray(8 << 20))
        del blocks
    return {}, data


def leave_a_circle(data: bytes) -> Result:
    """80 MB that only the collector of circles frees."""
    circle: list[object] = [bytearray(80 << 20)]
    circle.append(circle)
    return {}, data


def leave_arenas(data: bytes) -> Result:
    """Every thread that allocates has 64 MB of addresses reserved, which stay when it ends."""
    meet = threading.Barrier(4)

    def allocate() -> None:
        meet.wait()
        bytes(100_000)

    threads = [threading.Thread(target=allocate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {}, data


def size_after_collection(data: bytes) -> Result:
    gc.collect()
    return size_as_decoded(data)


@pytest.mark.parametrize("work", [leave_a_hole, leave_a_circle, leave_arenas])
def test_what_one_call_leaves_behind_gives_the_next_no_more_memory(work: Callable[[bytes], Result]) -> None:
    Call(work, b"").run()
    with pytest.raises(OverLimitError):
        Call(size_after_collection, LARGE["RGBA"](), Limits(memory_bytes=20_000_000)).run()


def test_large_pictures_come_back_from_their_process_as_they_are() -> None:
    image = picture(4, 900, 700)
    assert np.array_equal(np.asarray(decode(encoded(image, "PNG"))), np.asarray(image))
    with Image.open(BytesIO(encoded(image, "TIFF"))) as opened:
        assert np.array_equal(np.asarray(decode(encoded(image, "TIFF"))), np.asarray(opened))
