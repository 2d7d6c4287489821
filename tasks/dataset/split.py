"""Split people into train, val and test by a hash of the name; a person keeps their split as the data grows.

Two names declared to be one person share a split. People who share pictures need not: group photos alone tie 483 of
1000 people of VGGFace1 into one group (`python -m bench.versions`), which no split could divide. Cross-split
duplicates are left out instead, by `cross_split`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from storage.errors import UsageError
from storage.records import Split
from storage.stamps.setting_field import setting


@dataclass(frozen=True, slots=True)
class SplitRules:
    """Shares of the people, and how many of them each split holds at least where there are enough."""

    test_share: float = setting(0.15, "share of the people in test", ge=0, le=1)
    val_share: float = setting(0.10, "share of the people in val", ge=0, le=1)
    # Fewer people give no impostor pairs worth the name; small datasets fill up by the same hash order.
    least_identities: int = setting(2, "least number of people in each split, where there are enough", ge=2)


def split_identities(
    people: Iterable[str],
    rules: SplitRules = SplitRules(),
    ties: Iterable[tuple[str, str]] = (),
    listed: Mapping[str, Collection[str]] | None = None,
) -> dict[str, Split]:
    """The split of each person.

    Args:
        people: their names, in any order, as often as they come.
        ties: pairs of names that are one person. They hold through names that are not among `people`.
        listed: the names of each person in the lists. The split follows from them, so that a person with the same name
            in all lists is in the same split as in a dataset of one of the lists.
    """
    places = _places(people, ties, listed or {})
    splits = {name: _by_share(place, rules) for name, place in places.items()}
    if len(splits) >= 3 * rules.least_identities:
        for wanted in (Split.TEST, Split.VAL, Split.TRAIN):
            _fill(splits, places, wanted, rules.least_identities)
    return splits


def check_enough_people(num: int, rules: SplitRules = SplitRules()) -> None:
    """Check in advance that there are enough people to train a model and evaluate it on others.

    Raises:
        UsageError: they are too few to fill every split.
    """
    least = 3 * rules.least_identities
    if num < least:
        raise UsageError(
            f"a pipeline ends with training, which needs at least {least} people, {rules.least_identities} per split, "
            f"and {num} were requested: request more, or run ingest, crop and publish only"
        )


def _fill(splits: dict[str, Split], places: dict[str, float], wanted: Split, least: int) -> None:
    """Move people to `wanted` until it has enough: first from train, in the order of their places."""
    for name in sorted(places, key=lambda name: (splits[name] is not Split.TRAIN, places[name], name)):
        sizes = Counter(splits.values())
        if sizes[wanted] >= least:
            return
        # A group moves as a whole, and only if the split it leaves keeps enough.
        group = [other for other in places if places[other] == places[name]]
        if splits[name] is not wanted and sizes[splits[name]] - len(group) >= least:
            splits.update(dict.fromkeys(group, wanted))


def _by_share(place: float, rules: SplitRules) -> Split:
    if place < rules.test_share:
        return Split.TEST
    return Split.VAL if place < rules.test_share + rules.val_share else Split.TRAIN


def _places(
    people: Iterable[str], ties: Iterable[tuple[str, str]], listed: Mapping[str, Collection[str]]
) -> dict[str, float]:
    """Each name's place in [0, 1): that of the lowest-placed name of the same person."""
    leader: dict[str, str] = {}

    def place(name: str) -> float:
        return min(map(_place, listed.get(name, (name,))))

    def find(name: str) -> str:
        leader.setdefault(name, name)
        while leader[name] != name:
            leader[name] = leader[leader[name]]
            name = leader[name]
        return name

    for one, other in ties:
        first, second = sorted((find(one), find(other)), key=place)
        leader[second] = first
    return {name: place(find(name)) for name in people}


def _place(name: str) -> float:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest()) / 2.0**64
