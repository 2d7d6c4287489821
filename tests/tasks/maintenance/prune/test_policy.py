from __future__ import annotations

from datetime import timedelta

import pytest

from storage.errors import UsageError
from tasks.maintenance.prune.policy import Policy, parse_duration

DAY = timedelta(days=1)


@pytest.mark.parametrize(("text", "duration"), [("12h", DAY / 2), ("30d", 30 * DAY), ("4w", 28 * DAY)])
def test_a_duration_is_a_number_of_hours_days_or_weeks(text, duration):
    assert parse_duration(text) == duration


@pytest.mark.parametrize("text", ["30", "d", "0d", "-1d", "1.5d", "30 d", "30m", "1000000d", "٣d"])
def test_other_durations_are_refused_in_one_line(text):
    with pytest.raises(UsageError, match="write hours, days or weeks as 12h, 30d or 4w"):
        Policy(keep_within=text)


def test_what_either_limit_keeps_stays():
    policy = Policy(keep_last=2, keep_within="30d")
    assert policy.why_kept(1, 99 * DAY) == "among the newest 2"
    assert policy.why_kept(2, 30 * DAY) == "younger than 30 days"
    assert policy.why_kept(2, 31 * DAY) is None
    assert policy.why_removed == "not among the newest 2, older than 30 days"


def test_a_number_alone_asks_for_no_age_and_an_age_alone_for_no_number():
    assert Policy(keep_last=1).why_kept(1, timedelta(0)) is None
    assert Policy(keep_within="1d").why_kept(0, 2 * DAY) is None
    assert Policy(keep_last=1).why_removed == "not among the newest 1"
    assert Policy(keep_within="1d").why_removed == "older than 1 days"


def test_an_unknown_age_keeps_where_ages_count():
    assert Policy(keep_within="1d").why_kept(5, None) == "its age is unknown"
    assert Policy(keep_last=1).why_kept(5, None) is None


def test_a_time_to_come_is_young():
    assert Policy(keep_within="1d").why_kept(5, -DAY) == "younger than 1 days"


def test_without_a_limit_everything_stays():
    assert not Policy().is_set
    assert Policy().why_kept(99, 9999 * DAY) == "no policy is set"


def test_the_newest_cannot_be_given_up():
    with pytest.raises(UsageError, match="the newest version is always kept"):
        Policy(keep_last=0)
