"""Which slices of the hosts a run takes and gives up, decided from what all runs say. No clock, no files.

A set of slices is a whole number: bit s is slice s.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

# In VGGFace1 the largest of 256 has 2.4% of the links (the mean: 0.4%), because its largest host has 2.3%.
NUM_SLICES = 256
ALL = (1 << NUM_SLICES) - 1
# A run without work takes slices off a run that has this many links left: the latter finishes what is in flight first,
# which takes as long as some hundred links.
WORTH_SHARING = 500


class Claim(NamedTuple):
    """What one run says.

    Attributes:
        run: its name; of equal runs the first by name has precedence.
        holds: the slices whose hosts only this run may ask.
        wants: the slices in which it has links left.
        left: the number of links left that it can request with what it holds.
    """

    run: str
    holds: int = 0
    wants: int = 0
    left: int = 0


class Decision(NamedTuple):
    """What a run changes.

    Attributes:
        takes: free slices to claim.
        surplus: slices that others need to go on: to be given up soon.
        spare: slices of no more use here that others want: to be given up when nothing is in flight.
    """

    takes: int = 0
    surplus: int = 0
    spare: int = 0


def decide(mine: Claim, others: Sequence[Claim], worth: int = WORTH_SHARING) -> Decision:
    """The next step of a run. Two runs that see different claims may decide to take the same slice: only
    `host_slices`, which writes the claim, makes it exclusive.

    Args:
        others: the claims of all other runs that are going on.
        worth: the number of links left from which a run's work is shared.
    """
    runs = sorted([mine, *others])
    busy = [one for one in runs if _is_busy(one, runs, worth)]
    return Decision(_takes(mine, runs, busy), _surplus(mine, busy), _spare(mine, runs, busy))


def bits(slices: int) -> Iterator[int]:
    """Each slice of a set, as a set of one."""
    while slices:
        lowest = slices & -slices
        yield lowest
        slices ^= lowest


def _is_busy(run: Claim, runs: Sequence[Claim], worth: int) -> bool:
    """Whether it has links to request, or another run has so many that it should get some of them."""
    most = max((one.left for one in runs if one.run != run.run), default=0)
    return bool(run.wants) and (run.left > 0 or most >= worth)


def _load(run: Claim) -> int:
    return (run.holds & run.wants).bit_count()


def _takes(mine: Claim, runs: Sequence[Claim], busy: Sequence[Claim]) -> int:
    """Each free slice goes to the busy run that wants it and has the fewest; else to the first idle run that wants it.

    One that nobody wants goes to any run: its hosts may be the targets of redirects.
    """
    free = ALL
    for one in runs:
        free &= ~one.holds
    loads = {one.run: _load(one) for one in runs}
    takes = 0
    for slice_ in bits(free):
        wanted_by = [one for one in runs if one.wants & slice_]
        takers = [one for one in busy if one.wants & slice_] or wanted_by[:1] or busy or runs
        taker = min(takers, key=lambda one: (loads[one.run], one.run))
        loads[taker.run] += 1
        takes |= slice_ if taker.run == mine.run else 0
    return takes


def _surplus(mine: Claim, busy: Sequence[Claim]) -> int:
    """What a busy run has above the mean, for busy runs with less; and what one that has nothing waits for."""
    others = [one for one in busy if one.run != mine.run]
    if len(others) == len(busy) or not others:
        return 0
    loads = {one.run: _load(one) for one in busy}
    mean = -(-sum(loads.values()) // len(busy))
    surplus = 0
    while loads[mine.run] > mean:
        movable = mine.holds & mine.wants & ~surplus
        poorer = [one for one in others if one.wants & movable and loads[one.run] + 2 <= loads[mine.run]]
        if not poorer:
            break
        poorest = min(poorer, key=lambda one: (loads[one.run], one.run))
        surplus |= next(bits(movable & poorest.wants))
        loads[mine.run] -= 1
        loads[poorest.run] += 1
    for one in others:
        if not loads[one.run]:
            surplus |= mine.holds & ~mine.wants & one.wants
    return surplus


def _spare(mine: Claim, runs: Sequence[Claim], busy: Sequence[Claim]) -> int:
    """The slices in which it has no link, for any other; if it cannot go on, also those with links, for a busy run or
    an earlier one.
    """
    spare = 0
    for one in runs:
        if one.run == mine.run:
            continue
        spare |= mine.holds & one.wants & ~mine.wants
        if mine not in busy and (one in busy or one.run < mine.run):
            spare |= mine.holds & one.wants
    return spare
