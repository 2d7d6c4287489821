"""A lenient HTTP/1 response parser that accepts what curl and browsers accept. No sockets, no clock.

llhttp, the parser of aiohttp, rejects whole responses for a blank or a repeated header, and its verdict depends on
how the bytes were split into packets. Here the result is a function of the bytes alone: every limit counts bytes from
the start of an element, never the size of a packet. Deviations from RFC 9112 are in `Framing.notes`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from multidict import CIMultiDict, CIMultiDictProxy

from storage.records import Note

# The limit of Chromium and Firefox.
MAX_HEAD_BYTES = 262_144
MAX_FIELDS = 1000
# All bytes besides the body: heads of interim responses, chunk sizes, trailers. A picture of 32 MB in chunks of 512
# bytes has 0.4 MB.
MAX_OVERHEAD_BYTES = 524_288
_MAX_LINE_BYTES = 4096
# Larger than any limit on a body. Longer numbers are not converted, which is slow.
_ENDLESS = 10**18

_STATUS = re.compile(r"HTTP/1\.(\d)[ \t]+([1-9]\d\d)(?!\d)(.*)", re.IGNORECASE | re.DOTALL)
_STRICT_STATUS = re.compile(r"HTTP/1\.\d \d\d\d(?: .*)?", re.DOTALL)
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_NAME = re.compile(_TOKEN)
# The head that nearly all hosts send, parsed with one match: a third less time than line by line.
_PLAIN_HEAD = re.compile(rf"HTTP/1\.(\d) ([1-9]\d\d)(?: ([^\r\n\0]*))?\r\n((?:{_TOKEN}:[^\r\n\0]*\r\n)*)")
_HEAD_END = re.compile(rb"\n\r?\n")
_PLAIN_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n")
_SIZE = re.compile(rb"[ \t]*([0-9A-Fa-f]+)[ \t]*(;[^\n]*)?\r?\n")


class BadFraming(Exception):
    """The bytes are not an HTTP/1 response."""


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a final response.

    Attributes:
        fields: bytes that are not UTF-8 are lone surrogates.
        is_kept: whether the server allows reuse of the connection.
        length: of the body in bytes; None if it is chunked or lasts until the connection ends.
    """

    status: int
    phrase: str
    fields: CIMultiDictProxy[str]
    is_kept: bool
    length: int | None


class Framing:
    """One response, fed as it arrives.

    Attributes:
        head: the head, once complete.
        status: of the final head, even if that head is rejected.
        notes: deviations that were accepted.
        is_done: the response is complete.
        error: the reason it is rejected; the bytes before it remain valid.
    """

    def __init__(self) -> None:
        self.head: Head | None = None
        self.status: int | None = None
        self.notes: set[Note] = set()
        self.is_done = False
        self.error: BadFraming | None = None
        self._step: Callable[[bytes, int], int] = self._in_head
        self._held = bytearray()
        self._left = 0
        self._overhead = 0
        self._pieces: list[bytes] = []

    def feed(self, data: bytes) -> bytes:
        """Feed received bytes.

        Returns:
            The bytes of the body among them.
        """
        position = 0
        try:
            while position < len(data) and not self.is_done and not self.error:
                position = self._step(data, position)
        except BadFraming as error:
            self.error = error
        if self.is_done and position < len(data):
            self.notes.add(Note.SURPLUS_BYTES)
        pieces, self._pieces = self._pieces, []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def end(self) -> bool:
        """The connection ended; returns whether the response is complete."""
        if self.error or self.is_done:
            return self.is_done
        if self._step == self._in_trailer:  # all chunks were received
            self.notes.add(Note.ODD_CHUNKS)
        self.is_done = self._step in (self._until_end, self._in_trailer)
        return self.is_done

    # -- steps: each consumes its part of the data and returns the next offset --

    def _in_head(self, data: bytes, start: int) -> int:
        if not self._held:
            start = self._after_blank_lines(data, start)
            # Most packets with a head also contain the start of a picture, which is not copied here.
            if end := _HEAD_END.search(data, start, start + MAX_HEAD_BYTES):
                self._count(end.end() - start)
                self._take_head(data[start : end.start() + 1])
                return end.end()
        held, known = self._held, len(self._held)
        held += data[start:]
        end = _HEAD_END.search(held, max(known - 2, 0))
        if (end.end() if end else len(held)) > MAX_HEAD_BYTES:
            raise BadFraming(f"a head of more than {MAX_HEAD_BYTES} bytes")
        if not end:
            if not b"HTTP/1.".startswith(held[:7].upper()):
                raise BadFraming(f"no HTTP/1 status line: {bytes(held[:20])!r}")
            self._count(len(held) - known)
            return len(data)
        self._count(end.end() - known)
        self._held = bytearray()
        self._take_head(bytes(held[: end.start() + 1]))
        return start + end.end() - known

    def _after_blank_lines(self, data: bytes, start: int) -> int:
        while start < len(data) and data[start] in b"\r\n":
            self._count(1)
            self.notes.add(Note.ODD_HEAD)
            start += 1
        return start

    def _take_head(self, raw: bytes) -> None:
        status, phrase, minor, fields = self._read_head(raw)
        if status < 200 and status != 101:  # an interim response: the final one follows
            self.status = None
            return
        is_chunked, length = "chunked" in words_of(fields, "Transfer-Encoding"), self._length(fields)
        if is_chunked and length is not None:
            self.notes.add(Note.ODD_LENGTH)
            length = None
        if status in (101, 204, 304):
            is_chunked, length = False, 0
        connection = words_of(fields, "Connection")
        is_kept = "close" not in connection and (minor > 0 or "keep-alive" in connection)
        is_kept = is_kept and status != 101 and (is_chunked or length is not None)
        self.head = Head(status, phrase, CIMultiDictProxy(fields), is_kept, length)
        self._left = length or 0
        self._step = self._in_size if is_chunked else self._until_end if length is None else self._in_body
        self.is_done = length == 0

    def _in_body(self, data: bytes, start: int) -> int:
        start = self._take(data, start)
        self.is_done = not self._left
        return start

    def _until_end(self, data: bytes, start: int) -> int:
        self._pieces.append(data[start:])
        return len(data)

    def _in_size(self, data: bytes, start: int) -> int:
        """The line with the size of a chunk and its extensions."""
        if not self._held:
            start = self._whole_chunks(data, start)
            if start == len(data):
                return start
        line, start = self._line(data, start)
        if line:
            size = _SIZE.fullmatch(line)
            if not size:
                raise BadFraming(f"invalid chunk size: {line[:20]!r}")
            self._take_size(size)
        return start

    def _whole_chunks(self, data: bytes, start: int) -> int:
        """Take the complete chunks of the usual form. A loop, since some hosts send one byte a chunk."""
        while size := _PLAIN_SIZE.match(data, start):
            first = size.end()
            last = first + int(size[1], 16)
            if first == last or data[last : last + 2] != b"\r\n":
                break
            self._count(first - start)
            self._pieces.append(data[first:last])
            self._count(2)
            start = last + 2
        return start

    def _take_size(self, size: re.Match[bytes]) -> None:
        digits = size[1].lstrip(b"0")
        if len(digits) > 15:
            raise BadFraming(f"a chunk of 0x{digits[:20].decode()} bytes")
        if size[0][-2:-1] != b"\r" or size[0][:1] in b" \t":
            self.notes.add(Note.ODD_CHUNKS)
        self._left = int(digits or b"0", 16)
        self._step = self._in_chunk if self._left else self._in_trailer

    def _in_chunk(self, data: bytes, start: int) -> int:
        start = self._take(data, start)
        if not self._left:
            self._step = self._after_chunk
        return start

    def _after_chunk(self, data: bytes, start: int) -> int:
        """The line end after a chunk; if it is missing, the next size follows directly."""
        if not self._held and data.startswith(b"\r\n", start):
            self._count(2)
            self._step = self._in_size
            return start + 2
        byte = data[start : start + 1]
        if byte == b"\r" and not self._held:
            self._held += byte
            self._count(1)
            return start + 1
        is_line_end = byte == b"\n"
        if not self._held or not is_line_end:
            self.notes.add(Note.ODD_CHUNKS)
        self._held.clear()
        self._count(is_line_end)
        self._step = self._in_size
        return start + is_line_end

    def _in_trailer(self, data: bytes, start: int) -> int:
        line, start = self._line(data, start)
        self.is_done = line in (b"\r\n", b"\n")
        if line == b"\n":
            self.notes.add(Note.ODD_CHUNKS)
        return start

    # -- shared by the steps --

    def _take(self, data: bytes, start: int) -> int:
        """Take the remaining bytes of this part of the body."""
        end = min(start + self._left, len(data))
        self._pieces.append(data if start == 0 and end == len(data) else data[start:end])
        self._left -= end - start
        return end

    def _line(self, data: bytes, start: int) -> tuple[bytes, int]:
        """A line, once complete, and the offset after it."""
        found = data.find(b"\n", start)
        end = found + 1 or len(data)
        self._held += data[start:end]
        self._count(end - start)
        if len(self._held) > _MAX_LINE_BYTES:
            raise BadFraming(f"a line of more than {_MAX_LINE_BYTES} bytes between chunks")
        if found < 0:
            return b"", end
        line = bytes(self._held)
        self._held.clear()
        return line, end

    def _count(self, num_bytes: int) -> None:
        self._overhead += num_bytes
        if self._overhead > MAX_OVERHEAD_BYTES:
            raise BadFraming(f"more than {MAX_OVERHEAD_BYTES} bytes of overhead")

    def _read_head(self, raw: bytes) -> tuple[int, str, int, CIMultiDict[str]]:
        """The status, its phrase, the minor version and the fields of a head without its last, empty line."""
        text = raw.decode("utf-8", "surrogateescape")
        plain = _PLAIN_HEAD.fullmatch(text)
        if not plain or text.count("\n") > MAX_FIELDS + 1:
            return self._read_odd_head(text)
        self.status = int(plain[2])
        pairs = (line.partition(":") for line in plain[4].split("\r\n")[:-1])
        fields = CIMultiDict([(name, value.strip(" \t")) for name, _, value in pairs])
        return self.status, (plain[3] or "").strip(), int(plain[1]), fields

    def _read_odd_head(self, text: str) -> tuple[int, str, int, CIMultiDict[str]]:
        """Read any head, line by line."""
        lines = text.removesuffix("\n").removesuffix("\r").split("\r\n")
        if not text.count("\n") == text.count("\r\n") == text.count("\r"):
            self.notes.add(Note.ODD_HEAD)
            lines = [line.replace("\r", " ") for line in re.split(r"\r?\n", text.removesuffix("\n").removesuffix("\r"))]
        found = _STATUS.fullmatch(lines[0])
        if not found:
            raise BadFraming(f"no HTTP/1 status line: {lines[0][:20]!a}")
        if not _STRICT_STATUS.fullmatch(lines[0]):
            self.notes.add(Note.ODD_HEAD)
        self.status = int(found[2])
        if "\0" in text[len(lines[0]) :]:
            raise BadFraming("a zero byte in a header")
        if len(lines) > MAX_FIELDS + 1:
            raise BadFraming(f"a head of more than {MAX_FIELDS} fields")
        return self.status, found[3].strip(), int(found[1]), self._fields(lines[1:])

    def _fields(self, lines: list[str]) -> CIMultiDict[str]:
        fields: list[tuple[str, str]] = []
        for line in lines:
            if line[:1] in (" ", "\t"):  # continues the previous field (RFC 9112, 5.2)
                self.notes.add(Note.ODD_HEAD)
                if fields:
                    name, value = fields[-1]
                    fields[-1] = name, f"{value} {line.strip()}".strip()
                continue
            name, colon, value = line.partition(":")
            if not colon:
                raise BadFraming(f"a header without a colon: {line[:20]!a}")
            if not _NAME.fullmatch(name):
                self.notes.add(Note.ODD_HEAD)
                name = name.rstrip()
            if name:
                fields.append((name, value.strip(" \t")))
        return CIMultiDict(fields)

    def _length(self, fields: CIMultiDict[str]) -> int | None:
        """The length on which all values of Content-Length agree; None if there is none."""
        words = words_of(fields, "Content-Length")
        if not words:
            return None
        if len(words) == 1 and len(words[0]) < 18 and words[0].isascii() and words[0].isdecimal():
            return int(words[0])
        if len(words) > 1 or not (words[0].isascii() and words[0].isdecimal()):
            self.notes.add(Note.ODD_LENGTH)
        lengths = set()
        for word in filter(None, words):
            digits = word.removeprefix("+")
            if not (digits.isascii() and digits.isdecimal()):
                raise BadFraming(f"Content-Length {word[:20]!a}")
            digits = digits.lstrip("0")
            lengths.add(int(digits or "0") if len(digits) < 18 else _ENDLESS)
        if len(lengths) > 1:
            raise BadFraming(f"Content-Length of {len(lengths)} different values")
        return lengths.pop() if lengths else None


def words_of(fields: CIMultiDict[str] | CIMultiDictProxy[str], name: str) -> list[str]:
    """The members of a header that is a list, in lower case (RFC 9110, 5.6.1)."""
    values = fields.getall(name, ())
    return [word.strip().lower() for value in values for word in value.split(",")] if values else []
