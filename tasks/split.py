"""Which people train, validate and test: by a hash of the name, so that a person stays put as the data grows.

People who share a cluster of copied pictures go together, so no picture stands on both sides of the split.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from storage.records import Split


@dataclass(frozen=True, slots=True)
class SplitRules:
    """Shares of the people, and how many of them validation and test hold at least."""

    test_share: float = 0.15
    val_share: float = 0.10
    # Fewer people give no impostor pairs worth the name; small datasets fill up by the same hash order.
    least_identities: int = 2


def split_identities(claims: Iterable[tuple[str, bytes]], rules: SplitRules = SplitRules()) -> dict[str, Split]:
    """The split of each person.

    Args:
        claims: (identity, cluster of copies) of every sample.
    """
    groups = _groups(claims)
    splits = {name: _by_share(place, rules) for name, place in groups.items()}
    by_place = sorted(groups, key=lambda name: (groups[name], name))
    for wanted in (Split.TEST, Split.VAL):
        for name in by_place:
            if sum(split is wanted for split in splits.values()) >= rules.least_identities:
                break
            # A group moves as a whole, and only if it leaves enough people to train on.
            group = [other for other in groups if groups[other] == groups[name]]
            left = sum(split is Split.TRAIN for split in splits.values()) - len(group)
            enough = len(splits) >= 3 * rules.least_identities and left >= rules.least_identities
            if splits[name] is Split.TRAIN and enough:
                splits.update(dict.fromkeys(group, wanted))
    return splits


def _by_share(place: float, rules: SplitRules) -> Split:
    if place < rules.test_share:
        return Split.TEST
    return Split.VAL if place < rules.test_share + rules.val_share else Split.TRAIN


def _groups(claims: Iterable[tuple[str, bytes]]) -> dict[str, float]:
    """Each person's place in [0, 1): that of the lowest-placed person they are tied to by shared pictures."""
    leader: dict[str, str] = {}
    holder: dict[bytes, str] = {}

    def find(name: str) -> str:
        while leader[name] != name:
            leader[name] = leader[leader[name]]
            name = leader[name]
        return name

    for name, cluster in claims:
        leader.setdefault(name, name)
        one, other = sorted((find(name), find(holder.setdefault(cluster, name))), key=_place)
        leader[other] = one
    return {name: _place(find(name)) for name in leader}


def _place(name: str) -> float:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest()) / 2.0**64
