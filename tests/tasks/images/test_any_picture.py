"""Containers of pictures, cut up and put together wrongly: whatever comes is facts or a reason, within the bound.

Everything runs in a child process under limits of the kernel, so a hang or a crash is a finding and does not hang or
crash the tests. `make test` tries 150 files and `make fuzz` 2000; FACEMILL_FUZZ=300000 makes it an hour.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from flows.reports.page import thumbnail
from tasks.images.decode import UndecodableImage, decode_here, orientation
from tasks.images.formats import sniff
from tasks.images.sandbox import Call, CrashedError, FailedError, Limits, OverLimitError, Result
from tasks.images.validate import ImageLimits, Invalid, is_bounded, validate_here
from tests.fuzzing import examples
from tests.tasks.images.test_validate import FORMATS
from tests.tasks.odd_pictures import DAMAGED, ODD, many_scans, run_length_bitmap, tiled_tiff

SEEDS: dict[str, bytes] = {
    **{name: data for name, (_, data) in FORMATS.items()},
    **{name: odd.data for name, odd in ODD.items()},
    **DAMAGED,
    "JPEG: many scans": many_scans(90, 96, 96),
    "TIFF: many tiles": tiled_tiff(64, 20),
    "BMP: run lengths": run_length_bitmap(96, 96),
}
# By format, for parts of one file put into another.
KINDS: dict[str, list[bytes]] = {}
for seed in SEEDS.values():
    KINDS.setdefault(sniff(seed) or "", []).append(seed)
# Numbers that sizes, counts and offsets are set to.
NUMBERS = [0, 1, 2, 7, 8, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF]

# A change takes the file, another of its format, where to, how far (both as shares), and a number.
Change = Callable[[bytearray, bytes, float, float, int], None]


def joints(data: bytes | bytearray) -> list[int]:
    """Where parts of the file begin, by its format: segments, chunks, boxes; else every 16 bytes."""
    found = list(dict.fromkeys(_joints(bytes(data), sniff(bytes(data[:64])) or "")))
    return [*(at for at in found if at < len(data)), len(data)]


def _joints(data: bytes, kind: str) -> Iterator[int]:
    if kind == "JPEG":
        yield from (at for at in range(len(data) - 1) if data[at] == 0xFF and data[at + 1] not in (0, 0xFF))
        return
    frames = {"PNG": (8, "big", 0, 12), "WEBP": (12, "little", 4, 8), "AVIF": (0, "big", 0, 0)}
    if kind not in frames:
        yield from range(0, len(data), 16)
        return
    at, order, before, beside = frames[kind]
    for _ in range(500):
        yield at
        size = int.from_bytes(data[at + before : at + before + 4], order)  # type: ignore[arg-type]  # a literal of the table
        at += max(size + beside, 1)
        if at >= len(data):
            return


def span(data: bytes | bytearray, start: float, length: float) -> slice:
    places = joints(data)
    first = int(start * (len(places) - 1))
    last = min(first + 1 + int(length * 4), len(places) - 1)
    return slice(places[first], places[last])


def cut_out(data: bytearray, other: bytes, start: float, length: float, number: int) -> None:
    del data[span(data, start, length)]


def repeat(data: bytearray, other: bytes, start: float, length: float, number: int) -> None:
    part = span(data, start, length)
    data[part] = bytes(data[part]) * min(2 + number % 30, 2 + 200_000 // (1 + part.stop - part.start))


def move(data: bytearray, other: bytes, start: float, length: float, number: int) -> None:
    part = span(data, start, 0)
    moved = bytes(data[part])
    del data[part]
    place = joints(data)[int(length * (len(joints(data)) - 1))]
    data[place:place] = moved


def graft(data: bytearray, other: bytes, start: float, length: float, number: int) -> None:
    place = span(data, start, 0).start
    data[place:place] = other[span(other, length, number % 4 / 4)]


def set_number(data: bytearray, other: bytes, start: float, length: float, number: int) -> None:
    at, size = int(start * len(data)), 2 if number < 0x10000 and length < 0.5 else 4
    data[at : at + size] = number.to_bytes(size, "little" if int(length * 10) % 2 else "big")


def set_number_in_head(data: bytearray, other: bytes, start: float, length: float, number: int) -> None:
    set_number(data, other, start * min(120, len(data)) / max(len(data), 1), length, number)


def flip(data: bytearray, other: bytes, start: float, length: float, number: int) -> None:
    at = int(start * len(data))
    if at < len(data):
        data[at] ^= 1 << number % 8


def blank(data: bytearray, other: bytes, start: float, length: float, number: int) -> None:
    at, size = int(start * len(data)), int(length * 400)
    data[at : at + size] = bytes(len(data[at : at + size]))


def cut_off(data: bytearray, other: bytes, start: float, length: float, number: int) -> None:
    del data[int(start * len(data)) :]


CHANGES: list[Change] = [
    cut_out, repeat, move, graft, graft, set_number, set_number, set_number_in_head, set_number_in_head, flip, blank,
    cut_off,
]  # fmt: skip
SHARES = st.floats(0, 1, exclude_max=True)


def with_checksums(png: bytes) -> bytes:
    """The chunks' checksums made right, so that what was changed reaches the decoder."""
    data = bytearray(png)
    for at in joints(png)[:-1]:
        size = int.from_bytes(data[at : at + 4], "big")
        if at + 12 + size <= len(data):
            data[at + 8 + size : at + 12 + size] = zlib.crc32(data[at + 4 : at + 8 + size]).to_bytes(4, "big")
    return bytes(data)


def walk(data: bytes) -> Result:
    """What the check and the later stages make of the bytes; any error but the declared ones ends the call."""
    checked = validate_here(data, ImageLimits())
    size: tuple[int, int] | None = None
    with suppress(UndecodableImage):
        size = decode_here(data, 100_000_000).size
    assert 1 <= orientation(data) <= 8
    if isinstance(checked, Invalid):
        return {"reason": checked.reason, "detail": checked.detail}, b""
    # A page decodes as every stage does; what is costly would go to another process.
    is_shown = thumbnail(data) is not None if is_bounded(data) else size is not None
    return {"size": [checked.width, checked.height], "seen": size, "is_shown": is_shown}, b""


@given(
    st.sampled_from(sorted(SEEDS)),
    st.lists(st.tuples(st.sampled_from(CHANGES), SHARES, SHARES, st.sampled_from(NUMBERS)), min_size=1, max_size=5),
    st.integers(0, 1000),
    st.booleans(),
)
@settings(
    max_examples=int(os.environ.get("FACEMILL_FUZZ", examples(150))),
    suppress_health_check=[HealthCheck.too_slow],
)
def test_any_picture_put_together_wrongly_is_facts_or_a_reason_within_the_bound(
    name: str, changes: list[tuple[Change, float, float, int]], other: int, with_sums: bool
) -> None:
    data = bytearray(SEEDS[name])
    kind = sniff(SEEDS[name]) or ""
    for change, start, length, number in changes:
        change(data, KINDS[kind][other % len(KINDS[kind])], start, length, number)
    if len(changes) < 5:
        # Most files are to get past the question what they are.
        data[:32] = SEEDS[name][:32]
    file = with_checksums(bytes(data)) if kind == "PNG" and with_sums else bytes(data)
    try:
        facts, _ = Call(walk, file, Limits(cpu_s=20)).run()
    except FailedError:
        raise
    except (OverLimitError, CrashedError) as error:
        # Such a file is rejected; one that is decoded beside other work must not be.
        event(f"{kind}: {type(error).__name__}")
        assert not is_bounded(file), error
        return
    event(f"{kind}: {facts.get('reason', 'accepted')}")
    if "reason" not in facts:
        # What is let in can be opened by every stage, at the size that was said, turned or not.
        assert facts["seen"] is not None and facts["is_shown"]
        assert sorted(facts["seen"]) == sorted(facts["size"])


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_format_has_files_to_start_from(kind: str) -> None:
    assert kind and len(KINDS[kind]) >= 2
