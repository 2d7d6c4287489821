"""The parts of a crop, which runs on several machines share: a few shards each.

A unit of 25 people is the work of minutes, and 50,000 pictures are four of them: too few to share. The parts are many,
so that hardly a machine waits at the end, and not more than that, since each is a task and a lease.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tasks.fetch.ledger import stems_by_unit, unit_name

# For ten machines 26 each: at the end they wait for a fiftieth of the whole.
_ENOUGH = 256


def crop_parts(stems: Sequence[str], wanted: Collection[str]) -> dict[str, list[str]]:
    """The wanted shards by the name of their part.

    Runs that start at different times want different shards, but give the same names to the same parts: these follow
    from all shards, and a unit's new ones come after the others.

    Args:
        stems: all shards of images of the source, in order.
        wanted: those to detect and crop.
    """
    # A power of two: while shards are added, it changes rarely.
    size = 1 << max(len(stems) // _ENOUGH, 1).bit_length() - 1
    parts: dict[str, list[str]] = {}
    for unit, of_unit in stems_by_unit(stems).items():
        for place, stem in enumerate(of_unit):
            if stem in wanted:
                parts.setdefault(f"{unit_name(unit)}-{place // size:04d}", []).append(stem)
    return parts
