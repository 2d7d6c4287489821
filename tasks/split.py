"""Which people train, validate and test: by a hash of the name, so that a person stays put as the data grows.

People who share a cluster of copied pictures go together, so no picture stands on both sides of the split; and so do
two names that are said to be one person.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from storage.records import Split


@dataclass(frozen=True, slots=True)
class SplitRules:
    """Shares of the people, and how many of them each split holds at least where there are enough."""

    test_share: float = 0.15
    val_share: float = 0.10
    # Fewer people give no impostor pairs worth the name; small datasets fill up by the same hash order.
    least_identities: int = 2


def split_identities(
    claims: Iterable[tuple[str, bytes]], rules: SplitRules = SplitRules(), ties: Iterable[tuple[str, str]] = ()
) -> dict[str, Split]:
    """The split of each person who claims something.

    Args:
        claims: (identity, digest) of everything that must not stand on two sides: of every sample its cluster of
            copies and its crop.
        ties: pairs of names that are one person. They hold through names that claim nothing.
    """
    places = _places(claims, ties)
    splits = {name: _by_share(place, rules) for name, place in places.items()}
    if len(splits) >= 3 * rules.least_identities:
        for wanted in (Split.TEST, Split.VAL, Split.TRAIN):
            _fill(splits, places, wanted, rules.least_identities)
    return splits


def _fill(splits: dict[str, Split], places: dict[str, float], wanted: Split, least: int) -> None:
    """Move people to `wanted` until it holds enough: first those who train, in the order of their places."""
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


def _places(claims: Iterable[tuple[str, bytes]], ties: Iterable[tuple[str, str]]) -> dict[str, float]:
    """Each person's place in [0, 1): that of the lowest-placed person they are tied to, by pictures or by name."""
    leader: dict[str, str] = {}
    holder: dict[bytes, str] = {}

    def find(name: str) -> str:
        leader.setdefault(name, name)
        while leader[name] != name:
            leader[name] = leader[leader[name]]
            name = leader[name]
        return name

    def tie(one: str, other: str) -> None:
        first, second = sorted((find(one), find(other)), key=_place)
        leader[second] = first

    for name, digest in claims:
        tie(name, holder.setdefault(digest, name))
    people = list(leader)
    for one, other in ties:
        tie(one, other)
    return {name: _place(find(name)) for name in people}


def _place(name: str) -> float:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest()) / 2.0**64
