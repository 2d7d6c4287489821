"""Parsing of JSON files and validation against a shape before use.

A shape is a `Form` or a `Kind` for a value, `[shape]` for a list, `[shape, ...]` for one that is not empty, or a
dictionary of shapes. In a dictionary a key that ends in `?` may be missing or null, `*` matches any other key, and
unknown keys are ignored: a newer facemill may write more.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from storage.errors import LakeError
from storage.text.names import Form, bad_value, visible


@dataclass(frozen=True)
class Kind:
    """A type of value other than a name.

    Attributes:
        fits: whether a value is one.
        words: its description, for error messages.
    """

    fits: Callable[[Any], bool]
    words: str


Shape = Form | Kind | dict[str, Any] | list[Any]

_HUGE = 1e300
# Our own files nest 6 deep.
_DEEPEST = 50
TEXT = Kind(lambda value: isinstance(value, str), "text")
FLAG = Kind(lambda value: isinstance(value, bool), "true or false")
COUNT = Kind(lambda value: type(value) is int and 0 <= value < 2**63, "a whole number, not negative")
FLAG = Kind(lambda value: isinstance(value, bool), "true or false")
# Figures of few pairs may be NaN; what is computed with must be finite.
FIGURE = Kind(lambda value: type(value) in {int, float} and not abs(value) >= _HUGE, "a number")
NUMBER = Kind(lambda value: type(value) in {int, float} and abs(value) < _HUGE, "a finite number")
INTERVAL = Kind(
    lambda value: isinstance(value, list) and len(value) == 2 and all(map(FIGURE.fits, value)), "two numbers"
)


def parse_object(data: bytes, where: str, shape: Shape | None = None) -> dict[str, Any]:
    """The JSON object in `data`, of that shape.

    Args:
        where: the file, for errors.

    Raises:
        LakeError: it is no JSON, no object, or not of that shape; or it could not be written or shown again.
    """
    try:
        value = json.loads(data)
        _require_writable(value)
    except (ValueError, RecursionError) as error:
        words = visible(str(error)) or type(error).__name__
        raise LakeError(f"{where} is not JSON ({words}): run `facemill check`") from error
    if not isinstance(value, dict):
        raise LakeError(f"{where} holds a JSON {type(value).__name__}, not an object: run `facemill check`")
    if shape is not None:
        require(value, shape, where)
    return value


def _require_writable(value: Any) -> None:
    """Check that a JSON value can be written again: `"\\ud800"` is valid JSON, but UTF-8 cannot encode it.

    Raises:
        ValueError: it cannot, or is nested so deeply that a reader further down the stack could not take it.
    """
    level = [value]
    for _ in range(_DEEPEST):
        for one in level:
            if isinstance(one, str):
                one.encode()
        level = [inner for one in level if isinstance(one, dict | list) for inner in _held(one)]
        if not level:
            return
    raise ValueError(f"nested more than {_DEEPEST} deep")


def _held(value: dict[str, Any] | list[Any]) -> list[Any]:
    return [*value, *value.values()] if isinstance(value, dict) else value


def require(value: Any, shape: Shape, where: str) -> None:
    """Validate a value against a shape.

    Raises:
        LakeError: it does not match; the message names the first mismatch.
    """
    for path, found, words in _misfits(value, shape, ""):
        raise bad_value(where, path or "it", found, words)


def _misfits(value: Any, shape: Shape, path: str) -> Iterator[tuple[str, Any, str]]:
    """(path, value, what it must be) of every mismatch."""
    if isinstance(shape, Form | Kind):
        if not shape.fits(value):
            yield path, value, shape.words
    elif isinstance(shape, list):
        if not isinstance(value, list):
            yield path, value, "a list"
        elif shape[1:] == [...] and not value:
            yield path, value, "a list that is not empty"
        else:
            for at, one in enumerate(value):
                yield from _misfits(one, shape[0], f"{path}[{at}]")
    elif not isinstance(value, dict):
        yield path, value, "an object"
    else:
        yield from _misfits_inside(value, shape, path)


def _misfits_inside(value: dict[str, Any], shape: dict[str, Any], path: str) -> Iterator[tuple[str, Any, str]]:
    before = f"{path}." if path else ""
    for key, inner in shape.items():
        name = key.removesuffix("?")
        if key == "*":
            for other, found in value.items():
                yield from _misfits(found, inner, f"{before}{other}")
        elif name in value and not (value[name] is None and key.endswith("?")):
            yield from _misfits(value[name], inner, f"{before}{name}")
        elif name == key:
            yield f"{before}{name}", None, "there"
