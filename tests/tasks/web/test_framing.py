from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.records import Note
from tasks.web.framing import MAX_FIELDS, MAX_HEAD_BYTES, MAX_OVERHEAD_BYTES, Framing
from tests.fuzzing import examples

OK = b"HTTP/1.1 200 OK\r\n"
SIZED = OK + b"Content-Length: 7\r\n\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


class Read(NamedTuple):
    """What an answer came to: everything but the words of an error, and surplus bytes, which may come later."""

    status: int | None
    body: bytes
    is_whole: bool
    is_refused: bool
    notes: frozenset[Note]


def read(*pieces: bytes) -> Read:
    """What comes of the pieces, and of the connection's end after them."""
    framing = Framing()
    body = b"".join(map(framing.feed, pieces))
    framing.end()
    notes = frozenset() if framing.error else frozenset(framing.notes - {Note.SURPLUS_BYTES})
    return Read(framing.status, body, framing.is_done, framing.error is not None, notes)


def cuts(wire: bytes) -> list[list[bytes]]:
    """The same bytes in one piece, byte by byte, and in two pieces at every place."""
    singles = [wire[at : at + 1] for at in range(len(wire))]
    return [singles, *([wire[:at], wire[at:]] for at in range(len(wire)))]


def read_in_all_cuts(wire: bytes) -> Read:
    whole = read(wire)
    for pieces in cuts(wire):
        assert read(*pieces) == whole, pieces
    return whole


TAKEN = {
    "as it should be": (SIZED + b"picture", set()),
    "until the end": (OK + b"\r\npicture", set()),
    "chunks": (CHUNKED + b"3\r\npic\r\n4\r\nture\r\n0\r\n\r\n", set()),
    "chunks with trailers": (CHUNKED + b"7\r\npicture\r\n0\r\nX-Sum: 1\r\nY: 2\r\n\r\n", set()),
    "chunks with extensions": (CHUNKED + b'007;a=b;c="d"\r\npicture\r\n0;last\r\n\r\n', set()),
    "chunk sizes with blanks behind": (CHUNKED + b"7  \r\npicture\r\n0\t\r\n\r\n", set()),
    "no phrase": (b"HTTP/1.1 200\r\nContent-Length: 7\r\n\r\npicture", set()),
    "an empty phrase": (b"HTTP/1.1 200 \r\nContent-Length: 7\r\n\r\npicture", set()),
    "a phrase of 8 bits": (b"HTTP/1.1 200 \xe4\xff\r\nContent-Length: 7\r\n\r\npicture", set()),
    "a value of 8 bits": (OK + b"X: \xe4\xff\r\nContent-Length: 7\r\n\r\npicture", set()),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 7\r\n\r\npicture", set()),
    "interim answers": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + SIZED + b"picture",
        set(),
    ),
    "leading zeros": (OK + b"Content-Length: 0000000000000000000000007\r\n\r\npicture", set()),
    "blanks around a length": (OK + b"Content-Length: \t 7 \t\r\n\r\npicture", set()),
    "no blank before a value": (OK + b"Content-Length:7\r\n\r\npicture", set()),
    "an empty value": (OK + b"X:\r\nContent-Length: 7\r\n\r\npicture", set()),
    "two lengths": (OK + b"Content-Length: 7\r\nX: y\r\ncontent-length: 07\r\n\r\npicture", {Note.ODD_LENGTH}),
    "a list of lengths": (OK + b"Content-Length: 7, 7\r\n\r\npicture", {Note.ODD_LENGTH}),
    "a plus sign": (OK + b"Content-Length: +7\r\n\r\npicture", {Note.ODD_LENGTH}),
    "an empty length": (OK + b"Content-Length:\r\n\r\npicture", {Note.ODD_LENGTH}),
    "a length beside chunks": (
        OK + b"Content-Length: 3\r\nTransfer-Encoding: Chunked\r\n\r\n7\r\npicture\r\n0\r\n\r\n",
        {Note.ODD_LENGTH},
    ),
    "an unknown transfer coding": (OK + b"Transfer-Encoding: identity\r\nContent-Length: 7\r\n\r\npicture", set()),
    "bare line feeds": (b"HTTP/1.1 200 OK\nContent-Length: 7\n\npicture", {Note.ODD_HEAD}),
    "line ends of both kinds": (b"HTTP/1.1 200 OK\r\nContent-Length: 7\n\r\npicture", {Note.ODD_HEAD}),
    "a carriage return in a value": (OK + b"X: a\rb\r\nContent-Length: 7\r\n\r\npicture", {Note.ODD_HEAD}),
    "a folded line": (OK + b"X: a\r\n b\r\nContent-Length: 7\r\n\r\npicture", {Note.ODD_HEAD}),
    "a folded length": (OK + b"Content-Length:\r\n\t7\r\n\r\npicture", {Note.ODD_HEAD}),
    "a folded line that is empty": (OK + b"X: a\r\n \r\nContent-Length: 7\r\n\r\npicture", {Note.ODD_HEAD}),
    "a fold without a field": (OK + b" X: a\r\nContent-Length: 7\r\n\r\npicture", {Note.ODD_HEAD}),
    "a blank before the colon": (OK + b"Content-Length : 7\r\n\r\npicture", {Note.ODD_HEAD}),
    "an odd name": (OK + b"X Y(): z\r\nContent-Length: 7\r\n\r\npicture", {Note.ODD_HEAD}),
    "a name of 8 bits": (OK + b"\xe4: z\r\nContent-Length: 7\r\n\r\npicture", {Note.ODD_HEAD}),
    "no name": (OK + b": z\r\nContent-Length: 7\r\n\r\npicture", {Note.ODD_HEAD}),
    "empty lines first": (b"\r\n\n\r\n" + SIZED + b"picture", {Note.ODD_HEAD}),
    "two blanks before the status": (b"HTTP/1.1  200 OK\r\nContent-Length: 7\r\n\r\npicture", {Note.ODD_HEAD}),
    "a protocol in lower case": (b"http/1.1 200 OK\r\nContent-Length: 7\r\n\r\npicture", {Note.ODD_HEAD}),
    "chunks with bare line feeds": (CHUNKED + b"3\npic\n4\nture\n0\n\n", {Note.ODD_CHUNKS}),
    "a chunk without a line end": (CHUNKED + b"3\r\npic4\r\nture\r\n0\r\n\r\n", {Note.ODD_CHUNKS}),
    "no empty line after the last chunk": (CHUNKED + b"7\r\npicture\r\n0\r\n", {Note.ODD_CHUNKS}),
    "surplus": (SIZED + b"picture\0", set()),
    "a surplus line": (SIZED + b"picture\r\n", set()),
    "a surplus answer": (SIZED + b"picture" + SIZED, set()),
    "surplus behind chunks": (CHUNKED + b"7\r\npicture\r\n0\r\n\r\ngarbage", set()),
}


@pytest.mark.case(5)
@pytest.mark.parametrize("name", TAKEN)
def test_what_curl_and_browsers_take_is_taken_however_it_is_cut(name: str) -> None:
    wire, notes = TAKEN[name]
    assert read_in_all_cuts(wire) == Read(200, b"picture", True, False, frozenset(notes))


REFUSED = {
    "no HTTP": b"<html>hello</html>\r\n\r\n",
    "HTTP/2": b"HTTP/2 200 OK\r\n\r\n",
    "another protocol": b"ICY 200 OK\r\n\r\n",
    "a status of five digits": b"HTTP/1.1 20000 OK\r\n\r\n",
    "a status below 100": b"HTTP/1.1 099 OK\r\n\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "no colon": OK + b"No colon\r\n\r\npicture",
    "a zero byte in the head": OK + b"X: \0\r\n\r\npicture",
    "lengths that differ": OK + b"Content-Length: 7\r\nContent-Length: 8\r\n\r\npicture",
    "a list of lengths that differ": OK + b"Content-Length: 7, 8\r\n\r\npicture",
    "a length in words": OK + b"Content-Length: many\r\n\r\npicture",
    "a negative length": OK + b"Content-Length: -7\r\n\r\npicture",
    "a length in pieces": OK + b"Content-Length: 7 7\r\n\r\npicture",
    "a length in other digits": OK + "Content-Length: ٧\r\n\r\npicture".encode(),
    "no chunk": CHUNKED + b"picture\r\n0\r\n\r\n",
    "a chunk in C": CHUNKED + b"0x7\r\npicture\r\n0\r\n\r\n",
    "a chunk of endless size": CHUNKED + b"7fffffffffffffffff\r\npicture",
    "a negative chunk": CHUNKED + b"-7\r\npicture",
}


@pytest.mark.attack(0)
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_answer_is_refused_however_it_is_cut(name: str) -> None:
    answer = read_in_all_cuts(REFUSED[name])
    assert (answer.is_refused, answer.is_whole) == (True, False)


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        (SIZED + b"pict", b"pict"),
        (CHUNKED + b"3\r\npic\r\n4\r\ntu", b"pictu"),
        (CHUNKED + b"3\r\npic\r\n4", b"pic"),
        (CHUNKED + b"7\r\npicture\r\n", b"picture"),
        (CHUNKED, b""),
        (OK, b""),
        (OK + b"X: y\r\n", b""),
        (b"", b""),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b""),
    ],
)
def test_an_answer_that_breaks_off_is_not_whole_and_what_came_of_it_counts(wire: bytes, body: bytes) -> None:
    answer = read_in_all_cuts(wire)
    assert (answer.body, answer.is_whole, answer.is_refused) == (body, False, False)


def test_the_status_of_a_refused_head_is_known() -> None:
    assert read(OK + b"Content-Length: 7\r\nContent-Length: 8\r\n\r\n").status == 200


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body_ends_with_its_head(status: int) -> None:
    wire = b"HTTP/1.1 %d Nothing\r\nContent-Length: 7\r\n\r\n" % status
    assert read_in_all_cuts(wire) == Read(status, b"", True, False, frozenset())


def test_the_status_of_an_interim_answer_is_not_that_of_the_final_one() -> None:
    assert read(b"HTTP/1.1 100 Continue\r\n\r\n").status is None
    assert read(b"HTTP/1.1 100 Continue\r\n\r\n" + SIZED + b"picture").status == 200


def test_surplus_bytes_in_the_same_piece_are_noted() -> None:
    framing = Framing()
    assert framing.feed(SIZED + b"picture\0") == b"picture"
    assert framing.notes == {Note.SURPLUS_BYTES}


def with_overhead(num_bytes: int) -> bytes:
    """A whole answer with so many bytes besides its body: in trailers."""
    start, end = CHUNKED + b"7\r\npicture\r\n0\r\n", b"\r\n"
    left = num_bytes - len(start) - len(end) + len(b"picture")
    lines, rest = divmod(left, 4000)
    return start + (b"X: " + b"y" * 3995 + b"\r\n") * lines + (b"X: " + b"y" * (rest - 5) + b"\r\n") + end


@pytest.mark.case(7)
@pytest.mark.parametrize("packet", [100, 1 << 20])
@pytest.mark.parametrize(
    ("at_most", "over"),
    [
        pytest.param(
            SIZED[:-2] + b"X: " + b"y" * (MAX_HEAD_BYTES - len(SIZED) - 5) + b"\r\n\r\npicture",
            SIZED[:-2] + b"X: " + b"y" * (MAX_HEAD_BYTES - len(SIZED) - 4) + b"\r\n\r\npicture",
            id="one long header",
        ),
        pytest.param(
            SIZED[:-2] + b"X: y\r\n" * (MAX_FIELDS - 1) + b"\r\npicture",
            SIZED[:-2] + b"X: y\r\n" * MAX_FIELDS + b"\r\npicture",
            id="many headers",
        ),
        pytest.param(
            CHUNKED + b"7;" + b"x" * 4092 + b"\r\npicture\r\n0\r\n\r\n",
            CHUNKED + b"7;" + b"x" * 4093 + b"\r\npicture\r\n0\r\n\r\n",
            id="a long extension",
        ),
    ],
)
def test_the_limits_on_a_head_and_on_a_line_are_exact_however_they_are_cut(
    at_most: bytes, over: bytes, packet: int
) -> None:
    for wire, is_refused in [(at_most, False), (over, True)]:
        answer = read(*(wire[at : at + packet] for at in range(0, len(wire), packet)))
        assert (answer.is_refused, answer.is_whole) == (is_refused, not is_refused)


@pytest.mark.attack(19)
@pytest.mark.parametrize("packet", [7777, 1 << 20, 1 << 22])
@pytest.mark.parametrize("extra", [0, 1])
def test_the_bytes_besides_the_body_are_bounded_however_they_are_cut(packet: int, extra: int) -> None:
    wire = with_overhead(MAX_OVERHEAD_BYTES + extra)
    answer = read(*(wire[at : at + packet] for at in range(0, len(wire), packet)))
    assert (answer.body, answer.is_refused) == (b"picture", bool(extra))


@pytest.mark.attack(19)
@pytest.mark.parametrize(
    "piece",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"\r\n",
        CHUNKED + b"1\r\nx\r\n" * 100,
        CHUNKED + b"1;" + b"y" * 4000 + b"\r\nx\r\n",
        CHUNKED + b"0\r\n" + b"X: y\r\n" * 1000,
    ],
    ids=["interim answers", "empty lines", "chunks of one byte", "chunk extensions", "trailers"],
)
def test_a_flood_besides_the_body_ends_within_its_limit(piece: bytes) -> None:
    framing, num_fed = Framing(), 0
    repeated = piece.removeprefix(CHUNKED)
    framing.feed(piece)
    while not framing.error:
        framing.feed(repeated * 50)
        num_fed += len(repeated) * 50
        assert num_fed < 2 * MAX_OVERHEAD_BYTES
    assert not framing.is_done


PARTS = st.sampled_from([
    OK, b"HTTP/1.0 200\r\n", b"HTTP/1.1 302 Found\r\n", b"HTTP/1.1 204 No\r\n", b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 ", b"Content-Length: 3\r\n", b"Content-Length: ", b"Content-Length : 3\n", b"content-length: 3, 3\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"X: \xff\r\n", b" folded\r\n", b": empty\r\n",
    b"\r\n", b"\n", b"\r",
    b"5\r\nhello\r\n", b"5\nhello\n", b"A;x=y\r\n", b"0\r\n\r\n", b"0\r\n", b"ffffffffffffffffff\r\n",
    b"\x00", b"\xff\xfe", b" ", b"\t", b":", b"3", b"picture",
])  # fmt: skip


@given(st.data())
@settings(max_examples=examples(200), database=None)
def test_any_bytes_come_to_the_same_however_they_are_cut(data: st.DataObject) -> None:
    heads = st.sampled_from([b"", OK, SIZED, CHUNKED, CHUNKED + b"5\r\nhello\r\n"])
    wire = data.draw(heads) + b"".join(data.draw(st.lists(PARTS | st.binary(max_size=6), max_size=12)))
    places = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    pieces = [wire[start:end] for start, end in zip([0, *places], [*places, len(wire)], strict=True)]

    whole = read(wire)

    assert read(*pieces) == whole
    assert read(*(wire[at : at + 1] for at in range(len(wire)))) == whole
    assert not (whole.is_whole and whole.is_refused)
    assert len(whole.body) <= len(wire)


@given(st.sampled_from(sorted(TAKEN)), st.data())
@settings(max_examples=examples(200), database=None)
def test_any_change_to_a_good_answer_comes_to_the_same_however_it_is_cut(name: str, data: st.DataObject) -> None:
    wire = bytearray(TAKEN[name][0])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(wire)))
        wire[at : at + data.draw(st.integers(0, 3))] = data.draw(PARTS | st.binary(max_size=3))
    places = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    pieces = [bytes(wire[start:end]) for start, end in zip([0, *places], [*places, len(wire)], strict=True)]

    assert read(*pieces) == read(bytes(wire)) == read(*(bytes(wire[at : at + 1]) for at in range(len(wire))))
