"""The encoding of a list that somebody wrote: Notepad and PowerShell save UTF-16, and some programs UTF-32.

Everything is turned into UTF-8 before it is parsed. Bytes that are wrong in the list's own encoding stay wrong: they
become the byte 0xff, which no UTF-8 holds, so that the one line they stand in is rejected and its neighbours are not.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from storage.errors import UsageError

# UTF-32 first: its little-endian mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF8, "utf-8"),
)
# Which bytes of every four are NUL in ASCII text of each encoding.
_PATTERNS = {
    (False, True, True, True): "utf-32-le",
    (True, True, True, False): "utf-32-be",
    (False, True, False, True): "utf-16-le",
    (True, False, True, False): "utf-16-be",
}
_SAMPLE_BYTES = 4096
_MARK_AT_LINE_START = re.compile(rb"(?m)^\xef\xbb\xbf")
_LINE_END = re.compile(rb"\r*\n|\r")


def encoding_of(data: bytes) -> str:
    """The name of a list's encoding, by its byte order mark, or else by where its NUL bytes lie.

    Text without a mark is told from its ASCII letters, digits and blanks, of which lists of links and of names are
    full: a place of every four counts as NUL if more than half of the first 4096 bytes at it are.
    """
    for mark, name in _MARKS:
        if data.startswith(mark):
            return name
    sample = data[:_SAMPLE_BYTES]
    if len(sample) < 4 or b"\0" not in sample:
        return "utf-8"
    places = [sample[start::4] for start in range(4)]
    return _PATTERNS.get(tuple(2 * place.count(0) > len(place) for place in places), "utf-8")  # type: ignore[arg-type]


def as_utf8(data: bytes) -> bytes:
    """A list's bytes as UTF-8 without byte order marks, also where files with a mark were joined into one."""
    name = encoding_of(data)
    if name != "utf-8":
        try:
            data = data.decode(name).encode()
        except UnicodeDecodeError:
            text = data.decode(name, errors="replace")
            data = text.replace("\ufffd", "\udcff").encode("utf-8", errors="surrogateescape")
    return _MARK_AT_LINE_START.sub(b"", data) if codecs.BOM_UTF8 in data else data


def lines_of(data: bytes) -> list[bytes]:
    """The lines of a list in UTF-8. They end in LF, CRLF or CR; line ends and blanks at the end count as nothing."""
    data = data.rstrip()
    if not data:
        return []
    return _LINE_END.split(data) if b"\r" in data else data.split(b"\n")


def read_text(path: Path) -> str:
    """The text of a small file that a user wrote; its lines end in LF.

    Raises:
        UsageError: the file cannot be read, or is in none of these encodings.
    """
    try:
        text = as_utf8(path.read_bytes()).decode()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path} is not UTF-8, UTF-16 or UTF-32, perhaps Latin-1 (ISO 8859-1, Windows-1252): save it as UTF-8"
        ) from error
    if "\0" in text:
        raise UsageError(f"{path} contains NUL bytes, so it is not text: save it as UTF-8")
    return re.sub(r"\r*\n|\r", "\n", text)
