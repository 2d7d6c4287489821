"""Interpret the cells of a list by column: URLs, paths, names, boxes, digests and numbers.

Each function returns the values of a column, and a `Refused` of its invalid rows.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from storage.records import DIGEST_KINDS, Reason
from storage.text.names import UNSAFE, is_text
from tasks.links.recipes.recipe import BoxIs
from tasks.links.sources.checked_url import MAX_URL, BadLineError, checked_url

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
# The reason for each refused row, by its position.
Refused = dict[int, tuple[Reason, str]]

ORDERS: tuple[BoxIs, ...] = ("xyxy", "xywh", "xxyy", "cxcywh")
# As for VGGFace1: on the sum of the numbers of a box.
_MAX_NUMBER = 1e6
# A smaller relative box is under a pixel of a picture of 10,000 pixels; a box beyond the second limit is in pixels.
_LEAST_RELATIVE, _FARTHEST_RELATIVE = 1e-4, 2.0
_MAX_NAME = 200
# RE2 does not support surrogates, and text in Arrow has none.
_UNSAFE = UNSAFE.replace("\ud800-\udfff", "")
# The URLs that `checked_url` accepts, for RE2, except for ports of five digits, which are tested one by one.
_PLAIN_URL = (
    rf"^(?i:https?)://(?:\[[0-9A-Fa-f:.]+\]|[^\s\pZ{_UNSAFE}/?#@:\[\]\\]+)(?::[0-9]{{0,4}})?(?:[/?#][^ {_UNSAFE}]*)?$"
)
# Odd bytes: whether they are valid depends on their place in the URL, which `_PLAIN_URL` tests.
_IS_ODD = np.array([byte <= 32 or byte >= 127 or chr(byte) in ":@[]\\" for byte in range(256)])
# Text is scanned in parts that stay in a cache of the processor.
_PART_BYTES = 1 << 18
_KEYS_AT_ONCE = 1000
_BAD_PATH = rf"^/|^$|\\|(^|/)\.\.?(/|$)|//|/$|[{_UNSAFE}]"
_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*):")
_SCHEMES = {
    "data": "data: contains the picture itself, not its address",
    "file": "file: is a path on another machine",
    "blob": "blob: is valid only in the browser that created it",
    "ftp": "ftp: is not supported",
    "javascript": "javascript: is program code",
    **dict.fromkeys(
        ("s3", "gs", "gcs", "az", "abfs"),
        "an address in a bucket: copy the pictures to a folder, or give signed https URLs",
    ),
}
_NUMBER = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,2})?"
_PLAIN_BOX = rf"^{_NUMBER},{_NUMBER},{_NUMBER},{_NUMBER}$"
_BOX = re.compile(rf"[\[({{\s]*({_NUMBER}(?:[\s,;:]+{_NUMBER})*)?[\])}}\s]*")
_WHOLE, _MAX_WHOLE = r"^[0-9]{1,9}$", 999_999_999
_HEX_LENGTHS = {2 * num for num in DIGEST_KINDS}
_BASE64_LENGTHS = {(num + 2) // 3 * 4 for num in DIGEST_KINDS}


def trimmed(cells: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Cells as text without surrounding blanks; missing cells are empty."""
    array = cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    if pa.types.is_floating(array.type) and not pc.any(pc.not_equal(pc.round(array), array)).as_py():
        array = array.cast(pa.int64())  # whole numbers with gaps, as pandas writes them
    text = pc.fill_null(array.cast(pa.string()), "") if array.null_count else array.cast(pa.string())
    return pc.utf8_trim_whitespace(text) if _may_have_blanks_around(text) else text


def _buffers(text: pa.Array) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    """The offset of each cell in the bytes of all (and the end of the last one), and those bytes."""
    offsets = np.frombuffer(text.buffers()[1], np.int32)[text.offset : text.offset + len(text) + 1]
    data = text.buffers()[2]
    return offsets, np.frombuffer(data, np.uint8) if data else np.zeros(0, np.uint8)


def _may_have_blanks_around(text: pa.Array) -> bool:
    """Whether a cell begins or ends with an ASCII blank or a non-ASCII byte."""
    if not len(text):
        return False
    offsets, data = _buffers(text)
    starts, ends = offsets[:-1], offsets[1:]
    is_full = ends > starts
    if not is_full.all():
        starts, ends = starts[is_full], ends[is_full]
    # Bytes below 33 wrap around: one comparison tests both ends of the range 33 to 126.
    return bool((data[starts] - np.uint8(33) > 93).any() or (data[ends - 1] - np.uint8(33) > 93).any())


def urls(cells: pa.Array) -> tuple[pa.Array, Refused]:
    """Valid URLs; blanks inside them are percent-encoded."""
    text = trimmed(cells)
    odd = np.flatnonzero(~_are_plain(text))
    if len(odd):
        # Arrow's lengths are in code points, as Python's are.
        some = text.take(pa.array(odd))
        good = pc.and_(pc.match_substring_regex(some, _PLAIN_URL), pc.less_equal(pc.utf8_length(some), MAX_URL))
        odd = odd[~_flags(good)]
    if not len(odd):
        return text, {}
    refused: Refused = {}
    fresh: list[str] = []
    for at, one in zip(odd.tolist(), text.take(pa.array(odd)).to_pylist(), strict=True):
        url, why = _one_url(one)
        fresh.append(url)
        if why:
            refused[at] = why
    mask = np.zeros(len(text), bool)
    mask[odd] = True
    return pc.replace_with_mask(text, pa.array(mask), pa.array(fresh, pa.string())), refused


def _are_plain(text: pa.Array) -> Flags:
    """A mask of URLs that need no check by `_PLAIN_URL`: a host without a port, and ordinary ASCII characters.

    Takes a fifth of the time of the expression, and less if no URL of the column has an odd byte after its scheme.
    """
    offsets, data = _buffers(text)
    if not len(text):
        return np.zeros(0, bool)
    lengths = np.diff(offsets)
    start = _flags(pc.if_else(pc.starts_with(text, "https://"), 8, pc.if_else(pc.starts_with(text, "http://"), 7, 0)))
    if start.all() and _num_colons(data[offsets[0] : offsets[-1]]) == len(text):
        # Each scheme has one colon, so no URL has a second odd byte.
        num_odd = np.ones(len(text), np.int64)
    else:
        places = np.flatnonzero(_IS_ODD[data[offsets[0] : offsets[-1]]]) + offsets[0]
        num_odd = np.bincount(np.searchsorted(offsets, places, "right") - 1, minlength=len(text))
    has_host = (start > 0) & (lengths > start) & (lengths <= MAX_URL)
    first = data[np.where(has_host, offsets[:-1] + start, offsets[0])] if len(data) else np.zeros(len(text), np.uint8)
    # The one odd byte is the colon of the scheme.
    flags: Flags = has_host & (num_odd == 1) & ~np.isin(first, np.frombuffer(b"/?#", np.uint8))
    return flags


def _num_colons(data: npt.NDArray[np.uint8]) -> int | None:
    """The number of colons in text; None if it has another odd byte."""
    num = 0
    for at in range(0, len(data), _PART_BYTES):
        part = data[at : at + _PART_BYTES]
        is_ordinary = part.min() > 32 and part.max() < 127
        # "[", "\\" and "]" follow each other.
        if not is_ordinary or (part - np.uint8(ord("[")) < 3).any() or (part == ord("@")).any():
            return None
        num += int(np.count_nonzero(part == ord(":")))
    return num


def _one_url(text: str) -> tuple[str, tuple[Reason, str] | None]:
    if not text:
        return "", (Reason.BAD_URL, "the URL is missing")
    scheme = _SCHEME.match(text)
    if scheme and scheme[1].lower() not in {"http", "https"} and "." not in scheme[1]:
        words = _SCHEMES.get(scheme[1].lower(), f"{scheme[1][:40]}: is not supported, expected http or https")
        return "", (Reason.BAD_URL, f"not the URL of a picture: {words}")
    url = text.replace(" ", "%20")
    try:
        return checked_url(url.encode("utf-8", "surrogatepass")), None
    except BadLineError as bad:
        return "", (bad.reason, bad.detail)


def url_keys(text: pa.Array) -> pa.Array:
    """`records.url_key` of each."""
    # As bytes, which `url_key` hashes: text takes twice the time.
    raw = text.cast(pa.binary())
    # A copy of a new hash costs less than a new hash: its parameters are read once.
    copy = blake2b(digest_size=16).copy
    parts: list[bytes] = []
    # A thousand at a time: Python returns the memory of many small objects to the system, and fetches it again.
    for at in range(0, len(raw), _KEYS_AT_ONCE):
        digests: list[bytes] = []
        for one in raw.slice(at, _KEYS_AT_ONCE).to_pylist():
            state = copy()
            state.update(one)
            digests.append(state.digest())
        parts.append(b"".join(digests))
    return pa.Array.from_buffers(pa.binary(16), len(raw), [None, pa.py_buffer(b"".join(parts))])


def paths(parts: Sequence[tuple[str, pa.Array | None]], folder: str, num: int) -> tuple[pa.Array, Refused]:
    """Paths composed of text and columns, below `folder` (empty, or ending in a slash)."""
    pieces: list[pa.Array] = []
    missing = np.zeros(num, bool)
    for text, cells in parts:
        pieces.append(pa.array([text], pa.string()).take(pa.array(np.zeros(num, np.int64))))
        if cells is not None:
            pieces.append(trimmed(cells))
            missing |= _flags(pc.equal(pieces[-1], ""))
    joined = pc.replace_substring_regex(pc.binary_join_element_wise(*pieces, ""), r"^(\./)+", "")
    refused: Refused = dict.fromkeys(np.flatnonzero(missing).tolist(), (Reason.BAD_URL, "the path is missing"))
    for at in np.flatnonzero(_flags(pc.match_substring_regex(joined, _BAD_PATH)) & ~missing).tolist():
        why = "the path leads out of the folder, has an empty part, or contains a backslash, control or bidi characters"
        refused[at] = (Reason.BAD_URL, why)
    return (pc.binary_join_element_wise(folder, joined, "") if folder else joined), refused


def folders(path: pa.Array) -> pa.Array:
    """The name of each path's folder; empty if there is none."""
    found = pc.struct_field(pc.extract_regex(path, r"(?:^|/)(?P<folder>[^/]+)/[^/]*$"), "folder")
    return pc.fill_null(found, "")


def people(cells: pa.Array) -> tuple[pa.DictionaryArray, Refused]:
    """Names of people: composed, without surrounding blanks, and with `_` for blanks within."""
    encoded = trimmed(cells).dictionary_encode()
    names = encoded.dictionary.to_pylist()
    plain = [_one_name(name) for name in names]
    forms = sorted(set(plain))
    place = {form: at for at, form in enumerate(forms)}
    codes = np.array([place[form] for form in plain], np.int32)[encoded.indices.to_numpy()]
    wrong = {code: why for code, form in enumerate(forms) if (why := _why_no_name(form))}
    refused: Refused = {}
    if wrong:
        for at in np.flatnonzero(np.isin(codes, list(wrong))).tolist():
            refused[at] = (Reason.MALFORMED_LINE, wrong[int(codes[at])])
    return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(forms, pa.string())), refused


def _one_name(name: str) -> str:
    return re.sub(r"\s+", "_", unicodedata.normalize("NFC", name).strip()) if is_text(name) else name


def _why_no_name(name: str) -> str:
    """The reason a name is invalid; empty if it is valid."""
    if not name:
        return "the name is missing"
    if not is_text(name):
        return "the name contains control or bidi characters"
    if len(name) > _MAX_NAME:
        return f"the name has {len(name)} characters, at most {_MAX_NAME}"
    return "the name contains a slash, or is . or .." if "/" in name or "\\" in name or name in {".", ".."} else ""


def numbers_of_lines(cells: pa.Array) -> tuple[npt.NDArray[np.int64], Refused]:
    """Whole numbers of up to nine digits."""
    text = trimmed(cells)
    try:
        whole: npt.NDArray[np.int64] = text.cast(pa.int64()).to_numpy()
    except pa.ArrowInvalid:
        whole = np.array([-1])
    if len(whole) == len(text) and ((whole >= 0) & (whole <= _MAX_WHOLE)).all():
        return whole, {}
    good = pc.match_substring_regex(text, _WHOLE)
    refused = dict.fromkeys(
        np.flatnonzero(~_flags(good)).tolist(), (Reason.MALFORMED_LINE, "the number of the line is not 1 to 9 digits")
    )
    numbers: npt.NDArray[np.int64] = pc.if_else(good, text, "0").cast(pa.int64()).to_numpy()
    return numbers, refused


# -- boxes --


def four_numbers(columns: Sequence[pa.Array]) -> tuple[Floats, Flags, Refused]:
    """Boxes of one column or of four: float64[n, 4], a mask of listed ones, and the refused rows."""
    found, is_there, refused = _numbers(columns, 4)
    # By column: NumPy is slow along an axis of four.
    left, top, right, bottom = np.abs(found).T
    far = is_there & ~(left + top + right + bottom <= _MAX_NUMBER)
    for at in np.flatnonzero(far).tolist():
        refused[at] = (Reason.MALFORMED_LINE, "the numbers of the box are not finite, or their sum is over 1,000,000")
    return found, np.asarray(is_there & ~far), refused


def sizes(columns: Sequence[pa.Array], *, is_height_first: bool) -> tuple[Floats, Refused]:
    """Width and height, float64[n, 2], from one column with both or from two; NaN if not listed."""
    found, is_there, refused = _numbers(columns, 2)
    for at in np.flatnonzero(is_there & ~((found >= 1) & (found <= _MAX_NUMBER)).all(axis=1)).tolist():
        refused[at] = (Reason.MALFORMED_LINE, "the listed size of the picture is not 1 to 1,000,000 pixels")
    found[~is_there] = np.nan
    return (found[:, ::-1] if is_height_first else found), refused


def _numbers(columns: Sequence[pa.Array], num: int) -> tuple[Floats, Flags, Refused]:
    if len(columns) == 1:
        return _numbers_in_cells(columns[0], num)
    parts = [_one_number(column) for column in columns]
    found = np.stack([numbers for numbers, _ in parts], axis=1)
    is_empty = np.stack([empty for _, empty in parts], axis=1).all(axis=1)
    bad = np.isnan(found).any(axis=1) & ~is_empty
    refused: Refused = dict.fromkeys(np.flatnonzero(bad).tolist(), (Reason.MALFORMED_LINE, f"not {num} numbers"))
    return np.nan_to_num(found), np.asarray(~is_empty & ~bad), refused


def _one_number(column: pa.Array) -> tuple[Floats, Flags]:
    """A column of numbers, NaN if invalid, and a mask of empty cells."""
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        # Through 0, since a null may become anything; NaN in a table of pandas is a missing number.
        found: Floats = pc.fill_null(column.cast(pa.float64()), np.nan).to_numpy(zero_copy_only=False).copy()
        return found, np.isnan(found)
    text = trimmed(column)
    good = pc.match_substring_regex(text, f"^{_NUMBER}$")
    values: Floats = pc.if_else(good, text, "nan").cast(pa.float64()).to_numpy(zero_copy_only=False)
    return values, _flags(pc.equal(text, ""))


def _numbers_in_cells(column: pa.Array, num: int) -> tuple[Floats, Flags, Refused]:
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type) or pa.types.is_fixed_size_list(column.type):
        return _numbers_in_lists(column.to_pylist(), num)
    text = trimmed(column)
    if num == 4 and (all_plain := _all_plain_boxes(text)) is not None:
        return all_plain, np.ones(len(text), bool), {}
    found = np.zeros((len(text), num))
    is_there = ~_flags(pc.equal(text, ""))
    plain = _flags(pc.match_substring_regex(text, _PLAIN_BOX)) if num == 4 else np.zeros(len(text), bool)
    if plain.any():
        chosen = text.filter(pa.array(plain))
        found[plain] = pc.list_flatten(pc.split_pattern(chosen, ",")).cast(pa.float64()).to_numpy().reshape(-1, num)
    odd = np.flatnonzero(is_there & ~plain)
    refused: Refused = {}
    for at, cell in zip(odd.tolist(), text.take(pa.array(odd)).to_pylist(), strict=True):
        values = numbers_in(cell)
        if values is not None and len(values) == num:
            found[at] = values
        elif values is not None and not values:
            is_there[at] = False
        else:
            refused[at] = _no_numbers(values, num)
    return found, is_there & ~np.isin(np.arange(len(text)), list(refused)), refused


def _all_plain_boxes(text: pa.Array) -> Floats | None:
    """Boxes of four numbers separated by commas; None unless all are."""
    cells = pc.split_pattern(text, ",")
    if not len(text) or not pc.all(pc.equal(pc.list_value_length(cells), 4)).as_py():
        return None
    try:
        numbers: Floats = pc.list_flatten(cells).cast(pa.float64()).to_numpy().reshape(-1, 4)
    except pa.ArrowInvalid:
        return None
    return numbers


def numbers_in(cell: str) -> list[float] | None:
    """The numbers of a cell, with or without brackets; None if it has anything else."""
    match = _BOX.fullmatch(cell.replace("], [", " , ").replace("],[", ","))
    if match is None:
        return None
    return [float(one) for one in re.split(r"[\s,;:]+", match[1])] if match[1] else []


def _numbers_in_lists(values: list[Any], num: int) -> tuple[Floats, Flags, Refused]:
    found, is_there, refused = np.zeros((len(values), num)), np.zeros(len(values), bool), Refused()
    for at, value in enumerate(values):
        flat = _flat(value)
        if not flat:
            continue
        if len(flat) != num or any(one is None for one in flat):
            refused[at] = _no_numbers(flat, num)
        else:
            found[at], is_there[at] = flat, True
    return found, is_there, refused


def _flat(value: Any) -> list[Any]:
    return (
        [one for inner in value for one in _flat(inner)]
        if isinstance(value, list)
        else [value]
        if value is not None
        else []
    )


def _no_numbers(values: Sequence[Any] | None, num: int) -> tuple[Reason, str]:
    if values is not None and num == 4 and len(values) > 4 and len(values) % 4 == 0:
        return Reason.MALFORMED_LINE, f"{len(values) // 4} boxes in one row: list one row per face"
    return Reason.MALFORMED_LINE, f"{len(values)} numbers, expected {num}" if values else f"not {num} numbers"


def as_corners(numbers: Floats, order: BoxIs) -> Floats:
    """Left, top, right, bottom: float64[n, 4]."""
    a, b, c, d = numbers.T
    corners = {
        "xyxy": (a, b, c, d),
        "xywh": (a, b, a + c, b + d),
        "xxyy": (a, c, b, d),
        "cxcywh": (a - c / 2, b - d / 2, a + c / 2, b + d / 2),
    }[order]
    return np.stack(corners, axis=1)


def is_empty(numbers: Floats, order: BoxIs, *, is_relative: bool) -> Flags:
    """A mask of boxes with a side under a pixel, or under 1/10,000 of the picture."""
    a, b, c, d = numbers.T
    width, height = (c - a, d - b) if order == "xyxy" else (b - a, d - c) if order == "xxyy" else (c, d)
    least = _LEAST_RELATIVE if is_relative else 1.0
    return np.asarray((width < least) | (height < least))


def is_outside(corners: Floats, size: Floats) -> Flags:
    """A mask of boxes that extend beyond a picture of this size."""
    # Of a relative box: the last digits of its numbers.
    slack = size * 1e-6
    return np.asarray(((corners[:, :2] < -slack) | (corners[:, 2:] > size + slack)).any(axis=1))


def is_beyond(corners: Floats) -> Flags:
    """A mask of boxes whose numbers are not shares of a picture."""
    return np.asarray((np.abs(corners) > _FARTHEST_RELATIVE).any(axis=1))


# -- digests --


def digests(cells: pa.Array) -> tuple[pa.Array, Refused]:
    """Listed digests as bytes, null for empty cells; cells that are neither hex nor base64 are refused."""
    if pa.types.is_binary(cells.type) or pa.types.is_fixed_size_binary(cells.type):
        raw = cells.to_pylist()
        wrong = [at for at, one in enumerate(raw) if one is not None and len(one) not in DIGEST_KINDS]
        kept = [None if at in set(wrong) else one for at, one in enumerate(raw)]
        return pa.array(kept, pa.binary()), {at: _no_digest(f"{len(raw[at])} bytes") for at in wrong}
    text = trimmed(cells)
    found = _all_hex(text, len(text[0].as_py()) if len(text) else 0)
    if found is not None:
        return found, {}
    each = [digest_of(one) for one in text.to_pylist()]
    refused: Refused = {}
    for at, one in enumerate(text.to_pylist()):
        if one and each[at] is None:
            refused[at] = _no_digest(f"{len(one)} characters" if len(one) > 40 else repr(one))
    return pa.array(each, pa.binary()), refused


def _all_hex(text: pa.Array, length: int) -> pa.Array | None:
    """Digests of one length in hex, as bytes; None unless all are."""
    if length not in _HEX_LENGTHS or not pc.all(pc.equal(pc.binary_length(text), length)).as_py():
        return None
    offsets, data = _buffers(text)
    try:
        found = binascii.unhexlify(data[offsets[0] : offsets[-1]].data)
    except binascii.Error:
        return None
    places = np.arange(len(text) + 1, dtype=np.int32) * (length // 2)
    return pa.Array.from_buffers(pa.binary(), len(text), [None, pa.py_buffer(places), pa.py_buffer(found)])


def digest_of(text: str) -> bytes | None:
    """The bytes of a digest in hex or base64; None if it is neither."""
    try:
        if len(text) in _HEX_LENGTHS and re.fullmatch(r"[0-9A-Fa-f]+", text):
            return bytes.fromhex(text)
        if len(text) in _BASE64_LENGTHS:
            found = base64.b64decode(text, validate=True)
            return found if len(found) in DIGEST_KINDS else None
    except (ValueError, binascii.Error):
        pass
    return None


def _no_digest(found: str) -> tuple[Reason, str]:
    return Reason.MALFORMED_LINE, f"the digest is {found}, expected an MD5, SHA-1, SHA-256 or SHA-512 in hex or base64"


def _flags(values: pa.Array) -> Flags:
    flags: Flags = values.to_numpy(zero_copy_only=False)
    return flags
