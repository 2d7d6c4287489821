"""The deployments in `prefect.yaml`, and the next times of their schedules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from importlib.resources import files
from typing import Any

import yaml

# The schedules repeat within a week.
_LONGEST = timedelta(days=8)


def deployments() -> dict[str, Any]:
    """Read `prefect.yaml`, which is part of this package."""
    content: dict[str, Any] = yaml.safe_load(files("flows.service").joinpath("prefect.yaml").read_text())
    return content


def next_runs(deployments: Iterable[Mapping[str, Any]], now: datetime) -> dict[str, datetime]:
    """The next scheduled run of each deployment that has a schedule, the earliest first.

    Args:
        deployments: as in `prefect.yaml`.
        now: in UTC, the time zone of Prefect's schedules.
    """
    times = {
        one["name"]: min(next_time(schedule["cron"], now) for schedule in one["schedules"])
        for one in deployments
        if one.get("schedules")
    }
    return dict(sorted(times.items(), key=lambda item: item[1]))


def next_time(cron: str, now: datetime) -> datetime:
    """The first minute after `now` that matches a cron expression of numbers and `*`.

    Args:
        cron: minute, hour, day of the month, month, day of the week (0 is Sunday).
    """
    fields = [None if word == "*" else int(word) for word in cron.split()]
    time = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
    while time <= now + _LONGEST:
        found = (time.minute, time.hour, time.day, time.month, time.isoweekday() % 7)
        if all(wanted in {None, value} for wanted, value in zip(fields, found, strict=True)):
            return time
        time += timedelta(minutes=1)
    raise ValueError(f"{cron!r} does not match any minute of the next {_LONGEST.days} days")
