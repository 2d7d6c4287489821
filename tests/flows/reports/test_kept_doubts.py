"""The extremes of a column of measures."""

from __future__ import annotations

import numpy as np

from flows.reports.kept_doubts import extremes


def test_the_lowest_values_come_first_and_unknown_ones_not_at_all():
    assert extremes(np.array([3.0, np.nan, 1.0, 2.0]), 2).tolist() == [2, 3]


def test_values_that_are_all_equal_have_no_extremes():
    assert extremes(np.array([1.0, 1.0]), 2).tolist() == []
    assert extremes(np.array([]), 2).tolist() == []
