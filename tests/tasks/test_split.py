from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.records import Split
from tasks.split import SplitRules, _place, split_identities
from tests.tasks.builders import shuffled


def alone(num: int) -> list[tuple[str, bytes]]:
    """So many people with two pictures each, none shared."""
    return [(f"Person_{who:04d}", f"{who}-{picture}".encode()) for who in range(num) for picture in range(2)]


def sizes(splits: dict[str, Split]) -> list[int]:
    counts = Counter(splits.values())
    return [counts[split] for split in (Split.TRAIN, Split.VAL, Split.TEST)]


def test_each_person_stands_in_one_split():
    splits = split_identities(alone(100))

    assert set(splits) == {name for name, _ in alone(100)}
    assert set(splits.values()) == set(Split)


def test_the_shares_are_about_as_asked():
    train, val, test = sizes(split_identities(alone(4000)))
    assert (train, val, test) == pytest.approx((3000, 400, 600), abs=80)

    train, val, test = sizes(split_identities(alone(4000), SplitRules(test_share=0.5, val_share=0.25)))
    assert (train, val, test) == pytest.approx((1000, 1000, 2000), abs=120)


def test_a_person_stays_put_as_the_data_grows():
    few, many = split_identities(alone(200)), split_identities(alone(1000))

    assert few.items() <= many.items()


def test_the_split_hangs_on_neither_order_nor_repetition():
    claims = [*alone(50), ("Person_0001", b"shared"), ("Person_0002", b"shared"), ("Person_0003", b"shared")]
    first = split_identities(claims)

    assert split_identities(shuffled(claims, 1)) == first
    assert split_identities(claims + claims) == first


def test_people_who_share_a_picture_go_together_through_any_chain():
    chain = [(f"Person_{who:04d}", f"link {link}".encode()) for link in range(40) for who in (link, link + 1)]
    splits = split_identities([*alone(300), *shuffled(chain, 1)])

    assert len({splits[f"Person_{who:04d}"] for who in range(41)}) == 1


def test_people_who_share_a_picture_go_where_the_first_of_them_by_hash_goes():
    splits = split_identities(alone(300))
    in_test, in_train = (next(name for name in splits if splits[name] is split) for split in (Split.TEST, Split.TRAIN))
    tied = split_identities([*alone(300), (in_train, b"shared"), (in_test, b"shared")])

    assert tied == {**splits, in_train: Split.TEST}


def test_two_names_of_one_person_go_together_also_through_a_name_that_has_nothing():
    splits = split_identities(alone(300))
    in_train, in_val, in_test = (next(name for name in splits if splits[name] is split) for split in Split)
    # One who has no sample, and comes after the others by hash, so that it draws them nowhere.
    absent = next(f"Absent_{number}" for number in range(100) if _place(f"Absent_{number}") > 0.9)
    tied = split_identities(alone(300), ties=[(in_train, absent), (absent, in_val), (in_test, absent)])

    assert {tied[name] for name in (in_train, in_val, in_test)} == {Split.TEST}
    assert set(tied) == set(splits)
    assert {name: split for name, split in tied.items() if split is not splits[name]}.keys() == {in_train, in_val}


def test_ties_hang_on_no_order():
    ties = [(f"Person_{who:04d}", f"Person_{who * 7 % 60:04d}") for who in range(60)]
    turned = [(other, one) for one, other in shuffled(ties, 1)]

    assert split_identities(alone(100), ties=turned) == split_identities(alone(100), ties=ties)


def test_people_without_new_ties_stay_put_as_pictures_and_people_are_added():
    few = [*alone(150), ("Person_0001", b"shared"), ("Person_0002", b"shared")]
    many = [*alone(900), *few, *[(f"Person_{who:04d}", b"more") for who in range(300, 310)]]

    assert split_identities(few).items() <= split_identities(many).items()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ABCDEFGHIJKLMNOPQRST"), st.integers(0, 40)), min_size=1, max_size=60))
def test_no_picture_stands_on_both_sides(claims):
    splits = split_identities([(name, str(picture).encode()) for name, picture in claims])

    for picture in {picture for _, picture in claims}:
        assert len({splits[name] for name, its in claims if its == picture}) == 1


@pytest.mark.parametrize("first", range(0, 1000, 50))
@pytest.mark.parametrize("num", [6, 7, 12])
def test_a_small_dataset_still_has_people_to_train_validate_and_test(first, num):
    assert min(sizes(split_identities(alone(1000)[2 * first : 2 * (first + num)]))) >= 2


@pytest.mark.parametrize("first", range(0, 1000, 50))
@pytest.mark.parametrize("num_tied", [2, 4, 5])
def test_filling_up_never_takes_the_last_people_from_another_split(first, num_tied):
    people = [f"Person_{who:04d}" for who in range(first, first + 8)]
    claims = [(name, name.encode()) for name in people] + [(name, b"shared") for name in people[:num_tied]]
    filled, by_share = split_identities(claims), split_identities(claims, SplitRules(least_identities=0))

    assert all(after >= min(2, before) for after, before in zip(sizes(filled), sizes(by_share), strict=True))
    assert len({filled[name] for name in people[:num_tied]}) == 1


def test_too_few_people_for_three_splits_are_left_where_their_names_put_them():
    for num in range(1, 6):
        assert split_identities(alone(num)) == split_identities(alone(num), SplitRules(least_identities=0))
    assert split_identities([]) == {}
