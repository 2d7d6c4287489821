"""Match requested names of people with a source's spelling.

One name has several spellings in bytes: macOS stores file names decomposed (NFD), keyboards give them composed (NFC).
Such spellings are one name. Names that are merely similar are different, and are suggested in errors.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable

from rapidfuzz import fuzz, process

from storage.errors import SourceError

# The least similarity of a suggestion, of 100; one wrong letter in a name of seven gives 86.
_RESEMBLES = 80.0


def one_form(name: str) -> str:
    """The composed form (NFC): the same for all spellings of one name."""
    return unicodedata.normalize("NFC", name)


def match_names(wanted: Iterable[str], names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Find the requested names.

    Returns:
        The names in the source's spelling, and the requested names that it lacks; both sorted and distinct.

    Raises:
        SourceError: a requested name matches two names of the source that differ only in their normal form.
    """
    asked, spellings = set(wanted), defaultdict(set)
    for name in names:
        spellings[one_form(name)].add(name)
    found: set[str] = set()
    for name in asked:
        alike = spellings.get(one_form(name), set())
        if len(alike) > 1 and not alike <= asked:
            shown = " and ".join(ascii(one) for one in sorted(alike))
            raise SourceError(
                f"{name!r} has {len(alike)} spellings in the source that look alike ({shown}): give all of them, or "
                f"rename "
                "them to one"
            )
        found |= alike
    return sorted(found), sorted(name for name in asked if one_form(name) not in spellings)


def suggestion(name: str, names: Collection[str]) -> str:
    """The advice for a name that the source lacks, as the end of an error."""
    plain = {one: _plain(one) for one in sorted(names)}
    same = [one for one, form in plain.items() if form == _plain(name)]
    best = process.extractOne(_plain(name), plain, scorer=fuzz.ratio, score_cutoff=_RESEMBLES)
    near = same or ([best[2]] if best else [])
    return f"did you mean {' or '.join(repr(one) for one in near[:3])}?" if near else "check the names"


def _plain(name: str) -> str:
    """A name without case, accents and width variants, with a blank for blanks, underscores and hyphens."""
    letters = (one for one in unicodedata.normalize("NFKD", name) if not unicodedata.combining(one))
    return re.sub(r"[\s_-]+", " ", "".join(letters).casefold()).strip()
