from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from tasks.fetch.forecast import DOCUMENTED, busiest_host, forecast, links_by_host, own_rate
from tests.tasks.builders import attempt, attempts

START = datetime(2026, 11, 27, tzinfo=UTC)


def links(num: int, num_hosts: int) -> Counter[str]:
    urls = pa.array([f"http://h{number % num_hosts}.example/{number}" for number in range(num)], pa.string())
    return links_by_host([pa.chunked_array([urls[::2]]), pa.chunked_array([urls[1::2]])])


def test_the_earlier_experiment_took_six_hours_for_its_links() -> None:
    found = forecast(links(40_000, 700))
    assert (found.links, found.hosts) == (40_000, 700)
    assert found.hours[1] == pytest.approx(0.6)
    assert found.hours[0] < 0.1
    assert found.num_bytes == pytest.approx(40_000 * 0.56 * 58_000)
    assert str(found).startswith("40,000 links on 700 hosts, about 1.3 GB in 2 min to 36 min, ")


def test_nothing_to_ask_for_is_nothing() -> None:
    assert forecast(links(0, 1)).hours == (0, 0)


def test_a_lake_s_own_history_leaves_pauses_out() -> None:
    # Two bursts of 400 links at four a second, ten hours apart.
    rows = [
        attempt(
            f"http://a.example/{number}",
            fetched_at=START + timedelta(seconds=number / 4 + 36_000 * (number >= 400)),
            received_bytes=1000,
        )
        for number in range(800)
    ]
    rate = own_rate(attempts(*rows))
    assert rate is not None
    assert rate.slowest_per_s == rate.fastest_per_s == pytest.approx(4, rel=0.01)
    assert rate.bytes_per_link == 1000
    assert "1 min, estimated from 800 links" in str(forecast(links(8, 2), rate))


def test_a_short_history_says_nothing() -> None:
    assert own_rate(attempts(attempt("http://a.example/1"))) is None
    assert own_rate(attempts()) is None
    assert DOCUMENTED.slowest_per_s < DOCUMENTED.fastest_per_s


def test_the_busiest_host_is_the_one_with_the_most_links_and_a_folder_has_none() -> None:
    assert busiest_host(links(7, 3)) == ("h0.example", 3)
    assert busiest_host(links(6, 3)) == ("h2.example", 2)
    assert busiest_host(links_by_host([pa.chunked_array([["Ada/1.jpg", "Ada/2.jpg"]])])) is None
    assert busiest_host(links_by_host([])) is None
