"""Which links a run can request with the slices of hosts that it holds."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from storage.leases.slice_rules import ALL, NUM_SLICES
from tasks.fetch.links_by_slice import LinksBySlice, slices_of
from tasks.web.slice_of_host import slice_of

A, B, C = (1 << slice_of(f"{name}.example") for name in "abc")
URLS = ["http://a.example/1", "http://b.example/1", "http://A.example:80/2", "https://c.example/1"]


def links(urls: list[str] = URLS, host: str = "") -> LinksBySlice:
    keys = [f"{number:032d}".encode() for number in range(len(urls))]
    return LinksBySlice(pa.table({"key": keys, "url": urls, "unit": [0, 0, 1, 1]}), host)


def ready(of: LinksBySlice, held: int) -> dict[int, list[int]]:
    return {unit: rows.tolist() for unit, rows in of.ready(held, held).items()}


def test_links_are_ready_by_unit_where_their_host_is_held():
    found = links()
    assert found.wants == A | B | C
    assert ready(found, ALL) == {0: [0, 1], 1: [2, 3]}
    assert ready(found, A) == {0: [0], 1: [2]}
    assert ready(found, 0) == {}
    assert (found.num_ready(A), found.num_ready(ALL), found.num_left) == (2, 4, 4)


def test_a_link_whose_redirect_leads_elsewhere_waits_for_both_hosts():
    found = links()
    found.cross(0, "b.example")
    assert ready(found, A) == {1: [2]}
    assert ready(found, A | B) == {0: [0, 1], 1: [2]}
    assert found.num_ready(A) == 1
    found.cross(3, "x.example")
    assert found.wants & ~(A | B | C)


def test_a_link_that_is_done_wants_nothing():
    found = links()
    found.cross(0, "x.example")
    rows = found.table(np.array([0, 1]))
    found.asked(1)
    assert found.wants & B == 0
    found.finish(rows, rows[:0])
    found.recount()
    assert (found.wants, found.num_left, ready(found, ALL)) == (A | C, 2, {1: [2, 3]})


def test_links_that_another_run_has_fetched_are_no_longer_wanted():
    found = links()
    rows = found.table(np.array([2, 3]))
    found.finish(rows, rows[1:])
    assert found.wants == A | B | C
    found.finish(rows[1:], rows[:0])
    assert (found.wants, found.num_ready(ALL), found.num_left) == (A | B, 2, 2)


def test_a_link_that_is_asked_twice_counts_once():
    found = links()
    found.asked(0)
    found.asked(0)
    assert found.wants & A
    assert found.num_ready(A) == 1


def test_a_link_that_was_asked_and_not_committed_is_left():
    found = links()
    rows = found.table(np.array([0, 1]))
    found.asked(0)
    found.asked(1)
    found.finish(rows, rows[1:])
    found.recount()
    assert ready(found, ALL) == {0: [1], 1: [2, 3]}


def test_all_links_need_the_archive_if_they_are_requested_there():
    found = links(host="archive.example")
    assert found.wants == 1 << slice_of("archive.example")


def test_hosts_are_spread_over_all_slices_by_their_name_alone():
    urls = pa.chunked_array([[f"http://user@{number}.EXAMPLE:8080/x" for number in range(5000)]])
    found = np.bincount(slices_of(urls), minlength=NUM_SLICES)
    # The mean is 19.5; by the Poisson distribution fewer than 2 or more than 48 occur once in 10,000 such lists.
    assert 2 <= found.min() <= found.max() <= 48
    assert slices_of(urls)[7] == slice_of("7.example")
