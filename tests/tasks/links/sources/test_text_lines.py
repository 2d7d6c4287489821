"""The lines of a block of text."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.links.sources.text_lines import line_ends


@settings(deadline=None)
@given(st.text('a",\n', max_size=80))
def test_any_line_has_its_end_and_its_number_of_quotes(text: str) -> None:
    data = np.frombuffer(f"{text}\n".encode(), np.uint8)
    ends, num_quotes = line_ends(data)
    lines = f"{text}\n".split("\n")[:-1]
    assert num_quotes.tolist() == [line.count('"') for line in lines]
    assert np.diff(ends, prepend=-1).tolist() == [len(line) + 1 for line in lines]
