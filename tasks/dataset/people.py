"""The people of several lists: who is listed in two of them under one name.

A name of two words and more means the same person in every list, by the rules of `exclude`: the same words in any
order, or a spelling alike. A single word and a number do not: `Adam` and `00017` are others in another list.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
from rapidfuzz import fuzz, process

from storage.setting_field import setting
from tasks.dataset.exclude import ALIKE, words_of


@dataclass(frozen=True, slots=True)
class PeopleRules:
    """When two names in two lists are one person."""

    alike: float = setting(
        ALIKE, "least similarity of the spellings of a name in two lists; 100 is the same words", ge=0, le=100
    )
    least_words: int = setting(
        2, "names of fewer words, and with digits, are others in every list; 0: every name is one person's", ge=0
    )


@dataclass(frozen=True, slots=True)
class People:
    """The person of every name in every list. Of a single list, nothing: its names are its people.

    Attributes:
        identities: the dataset's name of a person, by source and listed name.
    """

    identities: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def names(self) -> dict[str, frozenset[str]]:
        """The listed names of each person."""
        found: defaultdict[str, set[str]] = defaultdict(set)
        for (_, listed), identity in self.identities.items():
            found[identity].add(listed)
        return {identity: frozenset(listed) for identity, listed in found.items()}

    def added_to(self, table: pa.Table) -> pa.Table:
        """A table with `source` and `identity`, and the column `person`; of a single list the table as it is."""
        if not self.identities:
            return table
        columns = [table[name].cast(pa.string()).combine_chunks() for name in ("source", "identity")]
        pairs = pc.binary_join_element_wise(*columns, "\0").dictionary_encode()
        known = {f"{source}\0{listed}": identity for (source, listed), identity in self.identities.items()}
        names = pa.array([known[pair] for pair in pairs.dictionary.to_pylist()], pa.string())
        person = names.take(pairs.indices).dictionary_encode()
        return table.append_column(pa.field("person", person.type), person)


def people_of(names: Mapping[str, Collection[str]], rules: PeopleRules = PeopleRules()) -> People:
    """The people of several lists.

    Args:
        names: the listed names by source; of a single source nobody is told apart or merged.

    Returns:
        Each person goes by the name that the first source in alphabetical order lists. A name that stands for
        different people in different lists is followed by its source: `Adam (pubfig)`.
    """
    if len(names) < 2:
        return People()
    identities: dict[tuple[str, str], str] = {}
    same_words: dict[tuple[str, ...], str] = {}
    spelled: dict[str, str] = {}
    for source in sorted(names):
        earlier = dict(spelled)
        for listed in sorted(names[source]):
            words = words_of(listed)
            if not _is_shared(words, rules):
                identities[source, listed] = f"{listed} ({source})"
                continue
            key = tuple(sorted(words))
            identity = same_words.get(key) or _alike(words, earlier, rules.alike) or listed
            identities[source, listed] = same_words[key] = spelled[" ".join(words)] = identity
    return People(identities)


def _is_shared(words: Sequence[str], rules: PeopleRules) -> bool:
    return rules.least_words == 0 or (len(words) >= rules.least_words and not _has_digit(words))


def _has_digit(words: Sequence[str]) -> bool:
    return any(letter.isdigit() for word in words for letter in word)


def _alike(words: Sequence[str], earlier: Mapping[str, str], least: float) -> str | None:
    """The person of an earlier list whose name is spelled alike. A digit more or less makes another number."""
    if _has_digit(words):
        return None
    best = process.extractOne(" ".join(words), earlier.keys(), scorer=fuzz.ratio, score_cutoff=least)
    return earlier[best[0]] if best else None
