"""What a day of samples says."""

from __future__ import annotations

import pytest

from flows.service.trends import HOUR_S, Sample, backlog_trend, disk_trend, within_window

GB = 10**9


def samples(*, free: list[int | None] | None = None, due: list[int | None] | None = None) -> list[Sample]:
    """One sample every three hours."""
    pairs = zip(free or [None] * len(due or []), due or [None] * len(free or []), strict=True)
    return [Sample(3 * HOUR_S * number, *one) for number, one in enumerate(pairs)]


def test_a_disk_lasts_as_long_as_at_the_rate_of_the_samples() -> None:
    found = disk_trend(samples(free=[100 * GB, 99 * GB, 98 * GB, 97 * GB, 96 * GB]))
    assert found is not None
    assert (found.hours, found.free_bytes) == (12.0, 96 * GB)
    assert found.days == pytest.approx(12.0)  # 8 GB a day


@pytest.mark.parametrize(
    "free",
    [[], [5], [100, 0], [5, 5, 5], [1, 2, 3, 4], [None, None, None]],
    ids=["none", "one", "three hours", "full as before", "emptier", "a bucket"],
)
def test_a_disk_that_does_not_fill_or_was_just_looked_at_has_no_rate(free: list[int | None]) -> None:
    assert disk_trend(samples(free=free)) is None


def test_a_backlog_grows_from_its_least_to_its_last() -> None:
    found = backlog_trend(samples(due=[50, 10, None, 20, 70]))
    assert found is not None
    assert (found.due, found.grown, found.hours) == (70, 60, 12.0)


def test_a_backlog_that_was_larger_does_not_grow() -> None:
    assert backlog_trend(samples(due=[10, 90, 40])) is None
    assert backlog_trend(samples(due=[None])) is None


def test_samples_older_than_a_day_are_dropped() -> None:
    assert len(within_window(samples(due=[1] * 20))) == 9
