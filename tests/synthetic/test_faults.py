from collections import Counter

import numpy as np
import pytest

from synthetic.fault_recipes import RECIPES
from synthetic.faults import BOMBS, DEAD, FORBIDDEN, LIVING, NOT_FOUND, deal, fault_counts

ALL = {fault.name for fault in DEAD + FORBIDDEN + LIVING} | {*BOMBS, NOT_FOUND, "plain"}
DEAD_NAMES = {fault.name for fault in DEAD} | {*BOMBS, NOT_FOUND}


def test_every_fault_has_a_recipe_and_every_recipe_a_fault():
    assert set(RECIPES) == ALL


@pytest.mark.parametrize("num_links", [1, 7, 59, 60, 72, 100, 1200, 40_000])
def test_the_faults_of_a_world_add_up_to_its_links(num_links):
    counts = fault_counts(num_links)
    assert sum(counts.values()) == num_links
    assert all(count >= 0 for count in counts.values())


@pytest.mark.parametrize("num_links", [72, 360, 40_000])
def test_44_of_100_links_are_dead(num_links):
    counts = fault_counts(num_links)
    assert sum(counts.get(name, 0) for name in DEAD_NAMES) / num_links == pytest.approx(0.44, abs=0.02)


def test_a_small_world_holds_one_of_every_fault():
    counts = fault_counts(100)
    assert all(counts[name] >= 1 for name in ALL)


def test_hanging_and_dripping_links_are_few_in_a_large_world():
    counts = fault_counts(40_000)
    assert (counts["hang"] + counts["drip"]) / 40_000 <= 0.015


def test_every_identity_is_dealt_as_many_links():
    hands = deal(7, 13, np.random.default_rng(1))
    assert [len(hand) for hand in hands] == [13] * 7
    assert Counter(name for hand in hands for name in hand) == +Counter(fault_counts(91))


def test_nobody_borrows_before_the_first_or_stands_beside_the_last():
    for seed in range(10):
        hands = deal(6, 20, np.random.default_rng(seed))
        assert "borrowed" not in hands[0] and "group_photo" not in hands[-1]


def test_placeholders_are_dealt_to_different_people():
    hands = deal(6, 12, np.random.default_rng(1))
    assert sum("placeholder" in hand for hand in hands) == 5
