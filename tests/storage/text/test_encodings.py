from __future__ import annotations

import codecs
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.errors import UsageError
from storage.text.encodings import as_utf8, encoding_of, lines_of, read_text
from tests.fuzzing import examples

TEXT = "00000001 http://a.example/x.jpg 1.00\r\n00000002 http://b.example/é.jpg 2.00\r\n"
MARKS = {
    "utf-8": codecs.BOM_UTF8,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
}


@pytest.mark.case(15)
@pytest.mark.parametrize("encoding", MARKS)
@pytest.mark.parametrize("has_mark", [True, False])
def test_a_list_in_any_unicode_encoding_becomes_utf8_without_a_mark(encoding: str, has_mark: bool) -> None:
    data = (MARKS[encoding] if has_mark else b"") + TEXT.encode(encoding)

    assert encoding_of(data) == encoding
    assert as_utf8(data) == TEXT.encode()


@pytest.mark.parametrize("data", [b"", b"a", b"a\0b", b"\0" * 5000, b"ab\0cd", TEXT.encode("latin-1")])
def test_other_bytes_are_taken_as_they_are(data: bytes) -> None:
    assert encoding_of(data) == "utf-8"
    assert as_utf8(data) == data


def test_a_character_that_was_cut_off_is_no_utf8_and_leaves_its_neighbours() -> None:
    cut = as_utf8(codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le")[:-1])

    assert lines_of(cut)[0] == b"00000001 http://a.example/x.jpg 1.00"
    assert cut.endswith(b"\xff")


def test_lists_with_marks_that_were_joined_into_one_lose_them_all() -> None:
    one = codecs.BOM_UTF8 + b"1 a\n"
    assert lines_of(as_utf8(one + one)) == [b"1 a", b"1 a"]


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b" \r\n\x0c\n", []),
        (b"a\nb", [b"a", b"b"]),
        (b"a\r\nb\r\n", [b"a", b"b"]),
        (b"a\rb\r", [b"a", b"b"]),
        (b"a\r\r\nb", [b"a", b"b"]),
        (b"a\r\n\r\nb", [b"a", b"", b"b"]),
    ],
)
def test_lines_end_in_lf_crlf_or_cr(data: bytes, lines: list[bytes]) -> None:
    assert lines_of(data) == lines


@given(st.binary(max_size=200), st.sampled_from([b"", *MARKS.values()]))
@settings(max_examples=examples(200), deadline=None)
def test_any_bytes_are_taken(data: bytes, mark: bytes) -> None:
    assert codecs.BOM_UTF8 not in lines_of(as_utf8(mark + data))[:1]


@pytest.mark.parametrize(
    ("data", "told"), [("é\n".encode("latin-1"), "Latin-1"), (b"ab\0cd", "NUL"), (None, "No such file")]
)
def test_a_file_that_is_no_text_is_one_line_that_names_it(tmp_path: Path, data: bytes | None, told: str) -> None:
    path = tmp_path / "names.txt"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(UsageError, match=told) as raised:
        read_text(path)
    assert str(path) in str(raised.value) and "\n" not in str(raised.value)
