"""The size of the dataset that the synthetic source generates."""

from __future__ import annotations

from collections.abc import Sequence

_IDENTITIES, _PER_IDENTITY = 40, 30


def synthetic_size(identities: int | Sequence[str] | None, per_identity: int | None) -> tuple[int, int]:
    """The number of people, and of links of each.

    Args:
        identities: as selected: a number, or names; None for the default.
        per_identity: as selected; None for the default.
    """
    people = identities if isinstance(identities, int) else None if identities is None else len(identities)
    return _IDENTITIES if people is None else people, _PER_IDENTITY if per_identity is None else per_identity
