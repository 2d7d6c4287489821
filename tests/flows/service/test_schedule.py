"""The next times of the service's schedules."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from flows.service.schedule import deployments, next_runs, next_time

NOW = datetime(2026, 11, 28, 2, 17, 30, tzinfo=UTC)  # a Saturday


@pytest.mark.parametrize(
    ("cron", "time"),
    [
        ("* * * * *", (28, 2, 18)),
        ("17 2 * * *", (29, 2, 17)),
        ("18 2 * * *", (28, 2, 18)),
        ("23 * * * *", (28, 2, 23)),
        ("41 5 * * 0", (29, 5, 41)),
        ("0 0 1 12 *", (1, 0, 0)),
    ],
)
def test_the_next_time_is_the_first_minute_that_matches(cron: str, time: tuple[int, int, int]) -> None:
    found = next_time(cron, NOW)
    assert (found.day, found.hour, found.minute) == time
    assert found > NOW


def test_a_time_that_does_not_come_within_a_week_is_an_error() -> None:
    with pytest.raises(ValueError, match="does not match any minute"):
        next_time("0 0 30 2 *", NOW)


def test_every_schedule_of_the_service_has_a_next_time_and_the_earliest_comes_first() -> None:
    found = next_runs(deployments()["deployments"], NOW)
    assert {"pipeline", "retry", "check"} <= found.keys()
    assert list(found.values()) == sorted(found.values())
    assert found["pipeline"] == datetime(2026, 11, 29, 2, 17, tzinfo=UTC)
