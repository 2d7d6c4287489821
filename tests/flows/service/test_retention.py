"""What the service's server is told to keep, as the server reads it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from prefect.settings import get_current_settings

from flows.service.retention import retention


@pytest.mark.parametrize(("age", "kept"), [(None, 7), (timedelta(days=30), 7), (timedelta(days=2), 2)])
def test_events_are_kept_for_a_week_or_as_long_as_the_policy_says(
    monkeypatch: pytest.MonkeyPatch, age: timedelta | None, kept: int
) -> None:
    for name, value in retention({}, age).items():
        monkeypatch.setenv(name, value)
    server = type(get_current_settings())().server
    assert server.events.retention_period == timedelta(days=kept)
    assert server.services.db_vacuum.enabled_vacuum_types == {"events", "orphans"}
    assert list(server.services.db_vacuum.event_retention_overrides.values()) == [timedelta(days=1)]


def test_what_the_environment_says_prevails() -> None:
    given = {"PREFECT_SERVER_EVENTS_RETENTION_PERIOD": "P90D"}
    assert retention(given, timedelta(days=2)).items() >= given.items()
