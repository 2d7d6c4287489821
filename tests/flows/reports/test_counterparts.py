"""A line that stopped is shown with the line it stopped for."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from flows.reports.counterparts import counterparts

BOX, ELSEWHERE = [0.1, 0.1, 0.4, 0.4], [0.6, 0.6, 0.9, 0.9]
NEAR, FAR = bytes(15) + b"\x07", bytes(12) + b"\xff" * 4
# (person, line, stage, reason, digest, hash, box)
LINES: list[tuple[str, int, str, str | None, bytes | None, bytes | None, list[float] | None]] = [
    ("Ada", 1, "sample", None, b"a", bytes(16), BOX),
    ("Ada", 2, "dedupe", "exact_duplicate", b"a", bytes(16), BOX),
    ("Ada", 3, "dedupe", "near_duplicate", b"b", NEAR, BOX),
    ("Bo", 1, "sample", None, b"b", NEAR, BOX),
    ("Ada", 4, "dedupe", "conflict", b"c", None, ELSEWHERE),
    ("Bo", 2, "dedupe", "conflict", b"c", None, BOX),
    ("Cy", 1, "dedupe", "conflict", b"c", None, ELSEWHERE),
    ("Cy", 2, "select", "cross_split", b"x", NEAR, None),
    ("Cy", 3, "dedupe", "near_duplicate", b"y", FAR, None),
    ("Cy", 4, "select", "face_too_small", b"z", bytes(16), None),
    ("Di", 1, "select", "repeated_face", b"z", None, BOX),
    ("Di", 2, "select", "face_too_small", b"z", None, BOX),
    ("Di", 3, "dedupe", "exact_duplicate", None, None, None),
]
NAMES = ("identity", "line", "stage", "reason", "image_digest", "dhash", "box")
TABLE = pa.Table.from_pylist([dict(zip(NAMES, row, strict=True)) for row in LINES])


def counterpart(person: str, line: int) -> tuple[str, int] | None:
    row: dict[str, Any] = next(one for one in TABLE.to_pylist() if (one["identity"], one["line"]) == (person, line))
    rows = pa.Table.from_pylist([row], TABLE.schema)
    found = counterparts(row["reason"], rows, TABLE, lambda lines: lines, most_bits=12)
    at = int(found.at[0])
    return None if at < 0 else (found.lines["identity"][at].as_py(), found.lines["line"][at].as_py())


@pytest.mark.parametrize(
    ("stopped", "other"),
    [
        (("Ada", 2), ("Ada", 1)),
        (("Ada", 3), ("Ada", 1)),
        (("Di", 1), ("Di", 2)),
        (("Cy", 2), ("Bo", 1)),
    ],
)
def test_a_copy_is_beside_the_line_it_copies(stopped, other):
    assert counterpart(*stopped) == other


def test_of_several_people_in_one_picture_the_one_who_claims_the_same_face_is_shown():
    assert counterpart("Ada", 4) == ("Cy", 1)
    assert counterpart("Cy", 1) == ("Ada", 4)


def test_a_line_without_a_like_picture_or_without_a_known_one_stands_alone():
    assert counterpart("Cy", 3) is None
    assert counterpart("Di", 3) is None
    assert counterpart("Cy", 4) is None
