"""What is wrong with links on the web, and how often: the table a made world is dealt from.

The shares follow what became of VGGFace1's links: of 100, about 56 still lead to a picture, and of those some lead to
copies, to other people, or to a picture the listed box does not fit any more.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# Of 400,000 links of VGGFace1 56% gave a picture.
DEAD_SHARE = 44.0
PLAIN, NOT_FOUND = "plain", "not_found"
# Below so many links a world cannot hold one of every fault; the dearest ones need a little more.
_LINKS_FOR_ALL, _LINKS_FOR_BOMBS = 60, 100


class Fault(NamedTuple):
    """A fault, how many of 100 links have it, and how many links at least in a world of 60 links or more."""

    name: str
    share: float
    least: int = 1


# The placeholder comes first: the first cards dealt go to different people.
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
# These repeat a picture that stands before them in the same link file.
REPEATS = frozenset({"exact_copy", "near_copy", "same_url"})


def fault_counts(num_links: int) -> dict[str, int]:
    """How many links of a world get which fault; what is left is `plain`, and 404 takes what is left of the dead.

    Below 60 links no fault is certain to occur, and a world of one link holds one plain picture.
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
    """Deal the faults like cards: `per_identity` names to each identity, each fault spread over as many as possible."""
    deck = [name for name, count in fault_counts(num_identities * per_identity).items() for _ in range(count)]
    hands: list[list[str]] = [[] for _ in range(num_identities)]
    for start in range(0, len(deck), num_identities):
        lap = deck[start : start + num_identities]
        for player, name in zip(rng.permutation(num_identities).tolist(), lap, strict=True):
            hands[player].append(name)
    # The first person follows nobody to borrow from, and nobody follows the last to stand beside.
    _give_away(hands, hands[0], "borrowed")
    _give_away(hands, hands[-1], "group_photo")
    return hands


def _give_away(hands: list[list[str]], giver: list[str], name: str) -> None:
    """Exchange all cards of one name in a hand for others' plain ones, as far as there are any."""
    for hand in hands:
        while hand is not giver and name in giver and PLAIN in hand:
            hand[hand.index(PLAIN)] = name
            giver[giver.index(name)] = PLAIN
