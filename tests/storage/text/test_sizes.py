from __future__ import annotations

import pytest

from storage.text.sizes import size_words


@pytest.mark.parametrize(
    ("num_bytes", "words"), [(0, "0 KB"), (1500, "2 KB"), (10_500_000, "10.5 MB"), (3_400_000_000_000, "3,400.0 GB")]
)
def test_bytes_are_told_in_the_unit_that_suits_them(num_bytes, words):
    assert size_words(num_bytes) == words
