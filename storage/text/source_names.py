"""The sources of a dataset as one name: `a+b`, in alphabetical order.

No source has a `+` in its name, so the joined name stands wherever one source's name does: in paths, manifests, leases.
"""

from __future__ import annotations

from collections.abc import Iterable

from storage.errors import UsageError
from storage.text.names import NAME

_JOINT = "+"
# A folder's name has at most 255 bytes on the usual file systems.
_MAX_CHARS = 200


def sources_of(name: str) -> tuple[str, ...]:
    """The sources that a name joins; a single one is itself."""
    return tuple(name.split(_JOINT))


def is_joint(name: str) -> bool:
    """Whether a name joins several sources."""
    return _JOINT in name


def parse_sources(text: str) -> str:
    """The joined name of sources as they are typed, `a,b`, or of one source its name.

    Raises:
        UsageError: as `joint_name`.
    """
    return joint_name(text.replace(",", _JOINT).split(_JOINT))


def joint_name(sources: Iterable[str]) -> str:
    """The joined name of sources, in any order and however often each is named.

    Raises:
        UsageError: one of them is no name of a source, or all are too long for a folder's name.
    """
    names = sorted(set(sources))
    wrong = next((name for name in names if not NAME.fits(name)), None)
    if wrong is not None:
        raise UsageError(f"{wrong!r} is no name of a source: it has {NAME.words}")
    joined = _JOINT.join(names)
    if len(joined) > _MAX_CHARS:
        raise UsageError(
            f"the names of the {len(names)} sources have {len(joined)} characters together, the limit is {_MAX_CHARS}: "
            "give fewer sources, or shorter names"
        )
    return joined
