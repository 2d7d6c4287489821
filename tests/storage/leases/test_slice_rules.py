"""Who takes and who gives up which slices of the hosts, decided without clock and files."""

from __future__ import annotations

from functools import reduce
from operator import or_

import pytest

from storage.leases.slice_rules import ALL, NUM_SLICES, Claim, Decision, bits, decide

LOW, HIGH = (1 << NUM_SLICES // 2) - 1, ALL & ~((1 << NUM_SLICES // 2) - 1)


def step(claims: dict[str, Claim]) -> dict[str, Claim]:
    """All runs give up what others need, and then take what is free."""
    for name, mine in claims.items():
        found = of(claims, name)
        claims[name] = mine._replace(holds=mine.holds & ~found.surplus & ~found.spare)
    for name, mine in claims.items():
        claims[name] = mine._replace(holds=mine.holds | of(claims, name).takes)
    return claims


def of(claims: dict[str, Claim], name: str) -> Decision:
    return decide(claims[name], [one for other, one in claims.items() if other != name], worth=100)


def shares(claims: dict[str, Claim]) -> list[int]:
    found = [one.holds for one in claims.values()]
    assert reduce(or_, found) == ALL
    assert sum(one.bit_count() for one in found) == NUM_SLICES, "a slice is held twice"
    return [one.bit_count() for one in found]


def test_a_run_alone_takes_every_slice_also_those_in_which_it_has_no_link():
    assert decide(Claim("a", wants=0b1011), []) == Decision(takes=ALL)
    assert decide(Claim("a", holds=ALL, wants=0b1011, left=10), []) == Decision()


@pytest.mark.parametrize("num", [2, 3, 7])
def test_runs_that_join_one_with_much_work_get_equal_shares(num):
    claims = {name: Claim(name, wants=ALL) for name in "abcdefg"[:num]}
    claims["a"] = Claim("a", ALL, ALL, 1000)
    found = shares(step(step(claims)))
    assert max(found) - min(found) <= 1
    before = dict(claims)
    assert step(claims) == before, "shares that are equal stay as they are"


def test_a_run_that_joins_one_with_little_work_leaves_it_alone():
    claims = {"a": Claim("a", ALL, ALL, 99), "b": Claim("b", wants=ALL)}
    assert shares(step(claims)) == [NUM_SLICES, 0]


def test_of_runs_that_all_start_with_nothing_the_first_by_name_takes_all():
    claims = {name: Claim(name, wants=ALL) for name in "bca"}
    assert shares(step(claims)) == [0, 0, NUM_SLICES]


def test_a_run_without_links_in_its_slices_gets_half_of_those_of_a_busy_one():
    claims = {"a": Claim("a", LOW, LOW, 1000), "b": Claim("b", HIGH, LOW, 0)}
    assert shares(step(claims)) == [NUM_SLICES * 1 // 4, NUM_SLICES * 3 // 4]


def test_one_slice_with_all_the_work_stays_where_it_is():
    claims = {"a": Claim("a", ALL, 1, 1000), "b": Claim("b", wants=1)}
    assert of(claims, "a") == Decision()


def test_runs_of_two_lists_get_equal_shares_and_what_only_one_of_them_wants_it_gets():
    claims = {"a": Claim("a", ALL, LOW, 1000), "b": Claim("b", 0, ALL, 1000)}
    step(step(claims))
    assert claims["b"].holds & HIGH == HIGH
    assert shares(claims) == [NUM_SLICES // 2, NUM_SLICES // 2]


def test_a_run_that_can_do_nothing_else_gets_what_is_of_no_use_to_a_busy_one():
    claims = {"a": Claim("a", ALL, 1, 1000), "b": Claim("b", 0, HIGH, 0)}
    assert of(claims, "a").surplus == HIGH


def test_a_run_that_waits_only_for_the_end_of_another_gets_the_slices_that_this_has_done():
    claims = {"a": Claim("a", ALL, LOW, 50), "b": Claim("b", 0, ALL, 0)}
    assert of(claims, "a") == Decision(spare=HIGH)


def test_of_runs_that_wait_for_each_others_slices_the_first_gets_all():
    claims = {"a": Claim("a", LOW, 3 << 127, 0), "b": Claim("b", HIGH, 3 << 127, 0)}
    step(claims)
    assert (claims["a"].holds & 3 << 127).bit_count() == 2


def test_a_run_that_waits_gives_a_busy_one_what_that_wants():
    claims = {"a": Claim("a", LOW, 3 << 127, 0), "b": Claim("b", HIGH, 3 << 127, 10)}
    step(claims)
    assert (claims["b"].holds & 3 << 127).bit_count() == 2


def test_the_slices_of_a_set_come_one_by_one():
    assert list(bits(0b10110)) == [0b10, 0b100, 0b10000]
