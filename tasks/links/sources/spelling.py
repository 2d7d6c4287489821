"""Names of people as they are asked for, and as a source spells them.

One name has several spellings in bytes: macOS stores file names decomposed (NFD), keyboards give them composed (NFC).
Such spellings are one name. Others that merely resemble each other are different names, and are suggested.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable

from rapidfuzz import fuzz, process

from storage.errors import SourceError

# A suggestion shares at least so many of 100 letters in order; one letter wrong in a name of seven gives 86.
_RESEMBLES = 80.0


def one_form(name: str) -> str:
    """The composed form (NFC): the same for all spellings of one name."""
    return unicodedata.normalize("NFC", name)


def match_names(wanted: Iterable[str], names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Find the names that are asked for.

    Returns:
        As the source spells them, and those asked for that it does not have; both sorted, each once.

    Raises:
        SourceError: two names of the source differ in nothing but their normal form, and one of them is asked for.
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
                f"{name!r} is there in {len(alike)} spellings that look alike, {shown}: ask for all of them, or give "
                "them one name"
            )
        found |= alike
    return sorted(found), sorted(name for name in asked if one_form(name) not in spellings)


def suggestion(name: str, names: Collection[str]) -> str:
    """What to do about a name that the source does not have, to end an error with."""
    plain = {one: _plain(one) for one in sorted(names)}
    same = [one for one, form in plain.items() if form == _plain(name)]
    best = process.extractOne(_plain(name), plain, scorer=fuzz.ratio, score_cutoff=_RESEMBLES)
    near = same or ([best[2]] if best else [])
    return f"did you mean {' or '.join(repr(one) for one in near[:3])}?" if near else "check the names"


def _plain(name: str) -> str:
    """A name without case, accents, marks of width, and with a blank for blanks, underscores and hyphens."""
    letters = (one for one in unicodedata.normalize("NFKD", name) if not unicodedata.combining(one))
    return re.sub(r"[\s_-]+", " ", "".join(letters).casefold()).strip()
