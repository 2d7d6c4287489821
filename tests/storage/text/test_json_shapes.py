"""JSON from elsewhere: what could not be written or shown again is refused, in one short line."""

from __future__ import annotations

import json
from typing import Any

import pytest

from storage.errors import LakeError
from storage.text.json_shapes import COUNT, Shape, parse_object, require


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth - 1):
        value = {"in": value}
    return value


@pytest.mark.attack(17)
@pytest.mark.parametrize("value", [{"a": "\ud800"}, {"\ud800": 1}, {"a": [{"b": ["x", "\udfff"]}]}])
def test_text_that_no_utf_8_can_hold_is_refused_wherever_it_stands(value: dict[str, Any]) -> None:
    with pytest.raises(LakeError, match="surrogates not allowed"):
        parse_object(json.dumps(value).encode(), "file")


@pytest.mark.attack(17)
def test_what_is_nested_too_deeply_is_refused_whatever_the_depth() -> None:
    assert parse_object(json.dumps(nested(50)).encode(), "file") == nested(50)
    for data in (json.dumps(nested(51)).encode(), b'{"a":' + b"[" * 900 + b"]" * 900 + b"}", b"[" * 100_000):
        with pytest.raises(LakeError, match="file is not JSON"):
            parse_object(data, "file")


@pytest.mark.attack(17)
def test_a_key_from_the_file_neither_breaks_the_line_of_the_error_nor_makes_it_long() -> None:
    with pytest.raises(LakeError) as error:
        require({"counts": {"two\nlines\x9b" + "x" * 5000: -1}}, {"counts": {"*": COUNT}}, "file")
    assert str(error.value).startswith("file: counts.two\\nlines\\x9bxxx")
    assert len(str(error.value)) < 250


def test_a_list_that_must_hold_something_is_refused_empty() -> None:
    shape: Shape = {"stages": [COUNT, ...]}
    require({"stages": [1]}, shape, "file")
    with pytest.raises(LakeError, match=r"file: stages is \[\] and must be a list that is not empty"):
        require({"stages": []}, shape, "file")
