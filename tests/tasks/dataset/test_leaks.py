from __future__ import annotations

import pyarrow as pa
import pytest

from storage.errors import LeakError
from tasks.dataset.leaks import count_leaks, refuse_leaks

NONE = {"identities": 0, "clusters": 0, "image_digests": 0, "crop_digests": 0, "ties": 0}


def index(*rows: tuple[str, str, bytes, bytes, bytes]) -> pa.Table:
    """An index of (identity, split, cluster, picture, crop)."""
    names = ("identity", "split", "cluster", "image_digest", "crop_digest")
    return pa.table({name: pa.array(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)})


WHOLE = [
    ("Ada", "train", b"c1", b"p1", b"f1"),
    ("Ada", "train", b"c2", b"p2", b"f2"),
    ("Bo", "test", b"c3", b"p3", b"f3"),
]


def test_a_clean_split_leaks_nothing():
    assert count_leaks(index(*WHOLE)) == NONE
    refuse_leaks(NONE, "faces")


@pytest.mark.parametrize(
    ("row", "leak"),
    [
        (("Ada", "val", b"c4", b"p4", b"f4"), "identities"),
        (("Cy", "val", b"c2", b"p4", b"f4"), "clusters"),
        (("Cy", "val", b"c4", b"p3", b"f4"), "image_digests"),
        (("Cy", "val", b"c4", b"p4", b"f1"), "crop_digests"),
    ],
)
def test_what_stands_on_two_sides_is_counted_and_refused(row, leak):
    leaks = count_leaks(index(*WHOLE, row))

    assert leaks == {**NONE, leak: 1}
    with pytest.raises(LeakError, match=f"faces was not published: 1 {leak} are in more than one split"):
        refuse_leaks(leaks, "faces")


def test_two_names_of_one_person_on_two_sides_are_a_leak():
    assert count_leaks(index(*WHOLE), [("Ada", "Bo"), ("Ada", "Nobody")]) == {**NONE, "ties": 1}


def test_a_picture_on_three_sides_is_one_leak():
    rows = [
        (name, split, b"c", name.encode(), name.encode())
        for name, split in zip("ABC", ("train", "val", "test"), strict=True)
    ]

    assert count_leaks(index(*rows)) == {**NONE, "clusters": 1}
