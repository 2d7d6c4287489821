"""Answers that curl and browsers take whole, over a real connection: what comes of a link, its bytes and its notes."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from dataclasses import replace
from io import BytesIO

import pyarrow as pa
import pytest
from PIL import Image

from storage.records import Candidate, Note, Outcome, Reason, Retry, url_key
from tasks.fetch.fetch_unit import Pending, attempt_one
from tasks.images.end_markers import has_end_marker
from tasks.images.validation_pool import ValidationPool
from tasks.web.framing import MAX_OVERHEAD_BYTES
from tasks.web.http import ACCEPT, open_web
from tasks.web.limits import FetchLimits
from tasks.web.response_reader import MOST_MISSING_BYTES
from tests.tasks.web.origin import QUICK, Origin, Play, asked, break_off, playing, response, serving

URL = "http://a.example/a.jpg"
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def picture(kind: str = "JPEG") -> bytes:
    file = BytesIO()
    Image.effect_noise((120, 90), 50).convert("RGB").save(file, kind)
    return file.getvalue()


PICTURE = picture()
# No test's outcome hangs on how busy the machine is.
PATIENT = replace(QUICK, connect_s=60, silence_s=60, total_s=60, grace_s=60)


async def no_pause(_: float) -> None:
    """The second try of a link comes at once."""


async def row_of(
    reply: bytes | Play, limits: FetchLimits = PATIENT
) -> tuple[Outcome, Reason | None, str | None, int | None]:
    """What the ledger says of a link with this answer: outcome, reason, note, status."""
    async with playing(reply) as origin, open_web(limits, connect_to=origin.address) as web:
        attempt, data = await attempt_one(Pending(Candidate(url_key(URL), URL, 0)), web, ValidationPool(), no_pause)
    assert (data != b"") == (attempt.outcome is Outcome.ACCEPTED)
    return attempt.outcome, attempt.reason, attempt.note, attempt.http_status


def said(length: int, *headers: str) -> bytes:
    return "\r\n".join(["HTTP/1.1 200 OK", f"Content-Length: {length}", *headers, "", ""]).encode() + PICTURE


def in_pieces(wire: bytes, *places: int) -> Play:
    """Send the bytes in pieces, each of which arrives on its own."""

    async def play(writer: asyncio.StreamWriter) -> None:
        for start, end in zip([0, *places], [*places, len(wire)], strict=True):
            writer.write(wire[start:end])
            await writer.drain()
            await asyncio.sleep(0.01)

    return play


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


# -- labels --


@pytest.mark.case(4)
@pytest.mark.parametrize(
    ("label", "body", "note"),
    [
        ("none", PICTURE, Note.ODD_ENCODING),
        ("utf-8", PICTURE, Note.ODD_ENCODING),
        ("UTF-8", PICTURE, Note.ODD_ENCODING),
        ("binary", PICTURE, Note.ODD_ENCODING),
        ("x-who-knows", PICTURE, Note.ODD_ENCODING),
        ("gzip", PICTURE, Note.ODD_ENCODING),
        ("deflate", PICTURE, Note.ODD_ENCODING),
        ("br", PICTURE, Note.ODD_ENCODING),
        ("zstd", PICTURE, Note.ODD_ENCODING),
        ("gzip, gzip", gzip.compress(PICTURE), Note.ODD_ENCODING),
        ("none, gzip", gzip.compress(PICTURE), Note.ODD_ENCODING),
        ("identity", PICTURE, None),
        ("", PICTURE, None),
        ("gzip", gzip.compress(PICTURE), None),
        ("x-gzip", gzip.compress(PICTURE), None),
        ("gzip", gzip.compress(PICTURE[:500]) + gzip.compress(PICTURE[500:]), None),
        ("gzip, gzip", gzip.compress(gzip.compress(PICTURE)), None),
        ("deflate", zlib.compress(PICTURE), None),
        ("deflate", raw_deflate(PICTURE), None),
    ],
)
async def test_a_content_encoding_is_a_label_that_may_be_wrong(label: str, body: bytes, note: Note | None) -> None:
    assert await row_of(response(body, f"Content-Encoding: {label}")) == (Outcome.ACCEPTED, None, note, 200)


@pytest.mark.case(4)
@pytest.mark.parametrize(("label", "codec"), [("br", "brotli"), ("zstd", "zstd")])
async def test_a_body_in_a_coding_that_nobody_asked_for_is_asked_for_again_later(label: str, codec: str) -> None:
    packed = pa.Codec(codec).compress(PICTURE, asbytes=True)
    found = await row_of(response(packed, f"Content-Encoding: {label}"))
    assert found == (Outcome.REJECTED, Reason.BAD_RESPONSE, None, 200)
    assert Reason.BAD_RESPONSE.retry is Retry.LATER


async def test_a_transfer_coding_is_undone_too() -> None:
    packed = gzip.compress(PICTURE)
    wire = OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(packed), packed)
    assert await row_of(wire) == (Outcome.ACCEPTED, None, None, 200)


@pytest.mark.attack(0)
async def test_a_long_list_of_encodings_is_refused() -> None:
    reply = response(gzip.compress(PICTURE), "Content-Encoding: " + ",".join(["gzip"] * 5))
    assert (await row_of(reply))[:2] == (Outcome.REJECTED, Reason.BAD_RESPONSE)


# -- framing --


@pytest.mark.case(5)
@pytest.mark.parametrize(
    ("wire", "note"),
    [
        (said(len(PICTURE), f"Content-Length: {len(PICTURE)}"), Note.ODD_LENGTH),
        (said(len(PICTURE)) + b"\0", None),
        (said(len(PICTURE)) + b"\r\n", None),
        (said(len(PICTURE), "Connection: close") + b"garbage" * 99, None),
        (said(len(PICTURE), "Connection: keep-alive") + b"\0", None),
    ],
)
async def test_what_is_wrong_around_a_body_costs_no_picture_however_it_is_cut(wire: bytes, note: Note | None) -> None:
    head = wire.index(b"\r\n\r\n") + 4
    replies: list[bytes | Play] = [
        wire,
        in_pieces(wire, 10, head),
        in_pieces(wire, head + len(PICTURE)),
        in_pieces(wire, len(wire) - 1),
    ]
    for reply in replies:
        outcome, reason, notes, status = await row_of(reply)
        assert (outcome, reason, status) == (Outcome.ACCEPTED, None, 200)
        assert set((notes or "").split()) - {Note.SURPLUS_BYTES} == ({note} if note else set())


@pytest.mark.case(5)
async def test_surplus_bytes_in_the_same_packet_are_noted() -> None:
    assert (await row_of(said(len(PICTURE)) + b"\0"))[2] == Note.SURPLUS_BYTES


async def test_a_connection_with_surplus_bytes_is_not_used_again() -> None:
    async def keep_open(writer: asyncio.StreamWriter) -> None:
        writer.write(said(len(PICTURE)) + b"\0")
        await writer.drain()
        await asyncio.sleep(60)

    async with playing(keep_open) as origin, open_web(PATIENT, connect_to=origin.address) as web:
        for _ in range(3):
            assert (await web.get(URL)).data == PICTURE
    assert origin.num_connections == 3


async def test_bytes_left_on_a_kept_connection_are_no_part_of_the_next_answer() -> None:
    """The surplus comes with the second answer: too late to hang up before it is asked for."""
    num_answers = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal num_answers
        surplus = b""
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(surplus + said(len(PICTURE)))
                await writer.drain()
                num_answers += 1
                surplus = b"garbage"
        except (OSError, asyncio.IncompleteReadError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, open_web(PATIENT, connect_to=Origin(port=port).address) as web:
        for _ in range(2):
            assert (await web.get(URL)).data == PICTURE
    assert num_answers == 3


@pytest.mark.case(6)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "AVIF"])
@pytest.mark.parametrize("num_missing", [1, MOST_MISSING_BYTES])
async def test_a_whole_picture_shorter_than_its_content_length_is_kept_with_a_mark(kind: str, num_missing: int) -> None:
    data = picture(kind)
    reply = OK + b"Content-Length: %d\r\n\r\n" % (len(data) + num_missing) + data
    assert await row_of(reply) == (Outcome.ACCEPTED, None, Note.INCOMPLETE, 200)


@pytest.mark.case(6)
@pytest.mark.parametrize(
    "reply",
    [
        in_pieces(said(len(PICTURE) + 1), 10, 100),
        break_off(said(len(PICTURE) + 1)),
        break_off(OK + b"\r\n" + PICTURE),
        CHUNKED + b"%x\r\n%b\r\n" % (len(PICTURE), PICTURE),
        CHUNKED + b"%x\r\n%b" % (len(PICTURE) + 1, PICTURE),
        CHUNKED + b"%x\r\n%b\r\ngarbage\r\n" % (len(PICTURE), PICTURE),
        response(gzip.compress(PICTURE)[:-8], "Content-Encoding: gzip"),
        OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(PICTURE) + gzip.compress(PICTURE)[:-1],
    ],
    ids=["in pieces", "reset", "reset without a length", "no last chunk", "a short chunk", "garbage for a chunk",
         "no trailer of gzip", "the length of what is packed"],
)  # fmt: skip
async def test_a_whole_picture_is_kept_however_its_answer_breaks_off(reply: bytes | Play) -> None:
    assert await row_of(reply) == (Outcome.ACCEPTED, None, Note.INCOMPLETE, 200)


@pytest.mark.case(6)
async def test_a_whole_picture_is_kept_of_a_host_that_then_falls_silent() -> None:
    async def fall_silent(writer: asyncio.StreamWriter) -> None:
        writer.write(said(len(PICTURE) + 1))
        await writer.drain()
        await asyncio.sleep(60)

    assert await row_of(fall_silent, replace(PATIENT, silence_s=2)) == (Outcome.ACCEPTED, None, Note.INCOMPLETE, 200)


@pytest.mark.case(6)
async def test_a_picture_before_a_longer_part_that_is_missing_is_cut_short() -> None:
    reply = said(len(PICTURE) + MOST_MISSING_BYTES + 1)
    assert (await row_of(reply))[:2] == (Outcome.REJECTED, Reason.CUT_SHORT)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "AVIF", "TIFF"])
@pytest.mark.parametrize("share", [0.5, 0.99])
async def test_a_picture_that_is_cut_short_stays_so(kind: str, share: float) -> None:
    data = picture(kind)
    reply = OK + b"Content-Length: %d\r\n\r\n" % len(data) + data[: int(len(data) * share)]
    assert await row_of(reply) == (Outcome.REJECTED, Reason.CUT_SHORT, None, 200)


async def test_a_picture_longer_than_its_content_length_is_broken() -> None:
    outcome, reason, note, _ = await row_of(said(len(PICTURE) - 100))
    assert (outcome, reason, note) == (Outcome.REJECTED, Reason.BROKEN_IMAGE, Note.SURPLUS_BYTES)


async def test_a_cut_picture_that_happens_to_end_in_an_end_marker_is_not_whole() -> None:
    cut = PICTURE[:1000] + b"\xff\xd9"
    assert has_end_marker(cut)
    reply = OK + b"Content-Length: 5000\r\n\r\n" + cut
    assert (await row_of(reply))[:2] == (Outcome.REJECTED, Reason.CUT_SHORT)


@pytest.mark.case(7)
@pytest.mark.parametrize("num_bytes", [9_000, 100_000, 250_000])
@pytest.mark.parametrize("name", ["Content-Security-Policy", "Set-Cookie", "X"])
async def test_a_long_header_is_taken(name: str, num_bytes: int) -> None:
    assert (await row_of(said(len(PICTURE), f"{name}: " + "y" * num_bytes)))[0] is Outcome.ACCEPTED


@pytest.mark.case(7)
async def test_a_head_beyond_what_browsers_take_is_refused() -> None:
    assert (await row_of(said(len(PICTURE), "X: " + "y" * 262_144)))[1] is Reason.BAD_RESPONSE


async def test_a_refused_answer_keeps_its_status() -> None:
    outcome, reason, _, status = await row_of(said(7, "Content-Length: 8"))
    assert (outcome, reason, status) == (Outcome.REJECTED, Reason.BAD_RESPONSE, 200)


@pytest.mark.attack(19)
@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (CHUNKED, b"1\r\nx\r\n"),
        (CHUNKED, b"1;" + b"y" * 4000 + b"\r\nx\r\n"),
        (CHUNKED + b"0\r\n", b"X: y\r\n"),
    ],
    ids=["interim answers", "chunks of one byte", "chunk extensions", "trailers"],
)
async def test_a_host_that_sends_all_but_a_picture_is_left_early(head: bytes, piece: bytes) -> None:
    num_sent = 0

    async def flood(writer: asyncio.StreamWriter) -> None:
        nonlocal num_sent
        writer.write(head)
        while True:
            writer.write(piece * 1000)
            await writer.drain()
            num_sent += len(piece) * 1000

    async with playing(flood) as origin:
        answer = await asked(origin, limits=replace(PATIENT, max_bytes=100_000_000))
    assert answer.reason is Reason.BAD_RESPONSE
    # What was under way in the buffers of both sides comes on top.
    assert num_sent < MAX_OVERHEAD_BYTES * 2 + 20_000_000


# -- what is asked for --


@pytest.mark.case(10)
async def test_accept_names_the_formats_that_are_taken_and_no_other() -> None:
    async with serving(Origin(default=response(PICTURE))) as origin:
        assert (await asked(origin, limits=PATIENT)).data == PICTURE
    assert origin.headers("Accept") == [ACCEPT]
    types = {one.strip() for one in ACCEPT.split(",")}
    assert types == {f"image/{name}" for name in ("avif", "webp", "jpeg", "png", "gif", "bmp", "tiff")}


@pytest.mark.case(10)
async def test_avif_that_is_sent_is_taken() -> None:
    assert await row_of(response(picture("AVIF"), "Content-Type: image/avif")) == (Outcome.ACCEPTED, None, None, 200)
