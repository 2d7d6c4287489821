from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from storage.records import Split
from tasks.dataset.split import SplitRules, split_identities
from tests.tasks.builders import shuffled


def people(num: int, first: int = 0) -> list[str]:
    return [f"Person_{who:04d}" for who in range(first, first + num)]


def sizes(splits: dict[str, Split]) -> list[int]:
    counts = Counter(splits.values())
    return [counts[split] for split in (Split.TRAIN, Split.VAL, Split.TEST)]


def test_each_person_stands_in_one_split():
    splits = split_identities(people(100))

    assert set(splits) == set(people(100))
    assert set(splits.values()) == set(Split)


def test_the_shares_are_about_as_asked():
    train, val, test = sizes(split_identities(people(4000)))
    assert (train, val, test) == pytest.approx((3000, 400, 600), abs=80)

    train, val, test = sizes(split_identities(people(4000), SplitRules(test_share=0.5, val_share=0.25)))
    assert (train, val, test) == pytest.approx((1000, 1000, 2000), abs=120)


def test_a_person_stays_put_as_the_data_grows():
    few, many = split_identities(people(200)), split_identities(people(1000))

    assert few.items() <= many.items()


def test_the_split_hangs_on_neither_order_nor_repetition():
    ties = [(f"Person_{who:04d}", f"Person_{who * 7 % 40:04d}") for who in range(40)]
    first = split_identities(people(50), ties=ties)
    turned = [(other, one) for one, other in shuffled(ties, 1)]

    assert split_identities(shuffled(people(50), 1) * 2, ties=turned) == first


def test_names_of_one_person_go_together_through_any_chain():
    chain = list(pairwise(people(41)))

    assert len({split_identities(people(300), ties=shuffled(chain, 1))[name] for name in people(41)}) == 1


def test_names_of_one_person_go_where_the_first_of_them_by_hash_goes():
    splits = split_identities(people(300))
    in_test, in_train = (next(name for name in splits if splits[name] is split) for split in (Split.TEST, Split.TRAIN))

    assert split_identities(people(300), ties=[(in_train, in_test)]) == {**splits, in_train: Split.TEST}


def test_ties_hold_through_names_that_are_not_there():
    splits = split_identities(people(300))
    in_train, in_val, in_test = (next(name for name in splits if splits[name] is split) for split in Split)
    tied = split_identities(people(300), ties=[(in_train, "Absent"), ("Absent", in_val), (in_test, "Absent")])

    assert len({tied[name] for name in (in_train, in_val, in_test)}) == 1
    assert set(tied) == set(splits)


@pytest.mark.parametrize("first", range(0, 1000, 50))
@pytest.mark.parametrize("num", [6, 7, 12])
def test_a_small_dataset_still_has_people_to_train_validate_and_test(first, num):
    assert min(sizes(split_identities(people(num, first)))) >= 2


@pytest.mark.parametrize("first", range(0, 1000, 50))
@pytest.mark.parametrize("num_tied", [2, 4, 5])
def test_filling_up_never_takes_the_last_people_from_another_split(first, num_tied):
    names = people(8, first)
    ties = list(pairwise(names[:num_tied]))
    filled, by_share = (split_identities(names, SplitRules(least_identities=least), ties) for least in (2, 0))

    assert all(after >= min(2, before) for after, before in zip(sizes(filled), sizes(by_share), strict=True))
    assert len({filled[name] for name in names[:num_tied]}) == 1


def test_too_few_people_for_three_splits_are_left_where_their_names_put_them():
    for num in range(1, 6):
        assert split_identities(people(num)) == split_identities(people(num), SplitRules(least_identities=0))
    assert split_identities([]) == {}
