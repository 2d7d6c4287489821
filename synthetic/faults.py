"""The table of link faults and their frequencies in a synthetic dataset.

The shares follow VGGFace1's links: about 56 of 100 still lead to a picture, some of them to copies, to other people, or
to a picture that no longer matches the listed box.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# 56% of 400,000 links of VGGFace1 gave a picture.
DEAD_SHARE = 44.0
PLAIN, NOT_FOUND = "plain", "not_found"
# A dataset with fewer links cannot contain every fault; the most expensive need a few more.
_LINKS_FOR_ALL, _LINKS_FOR_BOMBS = 60, 100


class Fault(NamedTuple):
    """A fault, its percentage of links, and its minimum number of links in a dataset of at least 60 links."""

    name: str
    share: float
    least: int = 1


# The placeholder comes first: the first faults dealt go to different people.
DEAD = (
    Fault("placeholder", 2.4, 5),
    Fault("gone", 3.0),
    Fault("forbidden", 4.0),
    Fault("server_error", 3.0),
    Fault("html", 4.5),
    Fault("no_dns", 7.0),
    Fault("reset", 1.2),
    Fault("hang", 0.6),
    Fault("truncated", 1.2),
    Fault("drip", 0.3),
    Fault("redirect_loop", 0.5),
    Fault("thumbnail", 0.4),
    Fault("zeroed", 0.4),
    Fault("half_cut", 0.4),
)
BOMBS = ("giant_png", "endless", "gzip_bomb")
FORBIDDEN = (
    Fault("opted_out", 0.4),
    Fault("redirect_private", 0.6),
)
LIVING = (
    Fault("redirect", 2.0),
    Fault("slow", 0.3),
    Fault("busy_503", 2.8),
    Fault("busy_429", 0.5),
    Fault("flaky_500", 1.0),
    Fault("other_person", 3.0),
    Fault("box_shifted", 2.2),
    Fault("box_rescaled", 2.0),
    Fault("png", 1.0),
    Fault("webp", 0.8),
    Fault("gif", 0.4),
    Fault("exif_rotated", 0.6),
    Fault("cmyk", 0.2),
    Fault("group_photo", 0.8),
    Fault("exact_copy", 3.0),
    Fault("near_copy", 3.0),
    Fault("borrowed", 0.5),
    Fault("same_url", 0.8),
)
# These repeat an earlier picture of the same link file.
REPEATS = frozenset({"exact_copy", "near_copy", "same_url"})


def fault_counts(num_links: int) -> dict[str, int]:
    """The number of links per fault. The remainder is `plain`; the remainder of dead links is 404.

    Below 60 links no fault is guaranteed, and a dataset of one link has one plain picture.
    """
    all_of_them = num_links >= _LINKS_FOR_ALL

    def count(fault: Fault) -> int:
        return max(fault.least if all_of_them else 0, round(fault.share * num_links / 100))

    dead = {fault.name: count(fault) for fault in DEAD}
    if num_links >= _LINKS_FOR_BOMBS:
        dead |= dict.fromkeys(BOMBS, 1)
    dead[NOT_FOUND] = max(int(all_of_them), round(DEAD_SHARE * num_links / 100) - sum(dead.values()))
    counts = dead | {fault.name: count(fault) for fault in FORBIDDEN + LIVING}
    return counts | {PLAIN: num_links - sum(counts.values())}


def deal(num_identities: int, per_identity: int, rng: np.random.Generator) -> list[list[str]]:
    """Assign `per_identity` faults to each identity, each fault spread over as many identities as possible."""
    deck = [name for name, count in fault_counts(num_identities * per_identity).items() for _ in range(count)]
    hands: list[list[str]] = [[] for _ in range(num_identities)]
    for start in range(0, len(deck), num_identities):
        lap = deck[start : start + num_identities]
        for player, name in zip(rng.permutation(num_identities).tolist(), lap, strict=True):
            hands[player].append(name)
    # The first person has no predecessor to borrow from, and the last has no successor for group photos.
    _give_away(hands, hands[0], "borrowed")
    _give_away(hands, hands[-1], "group_photo")
    return hands


def _give_away(hands: list[list[str]], giver: list[str], name: str) -> None:
    """Exchange all faults of one name in a hand for plain ones of others, as far as available."""
    for hand in hands:
        while hand is not giver and name in giver and PLAIN in hand:
            hand[hand.index(PLAIN)] = name
            giver[giver.index(name)] = PLAIN
