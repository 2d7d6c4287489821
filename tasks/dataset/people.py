"""The people of several lists: match the names of one person across lists.

Names of at least two words are matched by the rules of `exclude`: the same words in any order, or a similar spelling.
A single word or a number is not matched: `Adam` and `00017` are different people in different lists.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
from rapidfuzz import fuzz, process

from storage.stamps.setting_field import setting
from storage.tables.parquet import with_plain_words
from tasks.dataset.exclude import ALIKE, words_of


@dataclass(frozen=True, slots=True)
class PeopleRules:
    """The rules by which names of two lists are one person."""

    alike: float = setting(
        ALIKE, "least similarity of the spellings of a name in two lists; 100 is the same words", ge=0, le=100
    )
    least_words: int = setting(
        2, "names of fewer words, or with digits, are not matched across lists; 0: all names are", ge=0
    )


@dataclass(frozen=True, slots=True)
class People:
    """The person of every name in every list. Empty for a single list, where each name is a person.

    Attributes:
        identities: the identity in the dataset, by source and listed name.
    """

    identities: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def names(self) -> dict[str, frozenset[str]]:
        """The listed names of each person."""
        found: defaultdict[str, set[str]] = defaultdict(set)
        for (_, listed), identity in self.identities.items():
            found[identity].add(listed)
        return {identity: frozenset(listed) for identity, listed in found.items()}

    def added_to(self, table: pa.Table) -> pa.Table:
        """Add the column `person` to a table with `source` and `identity`; the table of a single list, or without
        names, is unchanged.

        Faces of lines that are not planned any more may have other names; these are left as listed.
        """
        if not self.identities or "identity" not in table.column_names:
            return table
        columns = [table[name].cast(pa.string()).combine_chunks() for name in ("source", "identity")]
        pairs = pc.binary_join_element_wise(*columns, "\0").dictionary_encode()
        known = {f"{source}\0{listed}": identity for (source, listed), identity in self.identities.items()}
        names = pa.array(
            [known.get(pair, pair.partition("\0")[2]) for pair in pairs.dictionary.to_pylist()], pa.string()
        )
        person = names.take(pairs.indices).dictionary_encode()
        return table.append_column(pa.field("person", person.type), person)


def people_in(lines: pa.Table, rules: PeopleRules = PeopleRules()) -> People:
    """The people of `records.LINK_LINES`; of several sources with the column `source`."""
    if "source" not in lines.column_names:
        return People()
    plain = with_plain_words(lines.select(["source", "identity"]))
    names: defaultdict[str, list[str]] = defaultdict(list)
    for row in plain.group_by(["source", "identity"]).aggregate([]).to_pylist():
        names[row["source"]].append(row["identity"])
    return people_of(names, rules)


def people_of(names: Mapping[str, Collection[str]], rules: PeopleRules = PeopleRules()) -> People:
    """The people of several lists.

    Args:
        names: the listed names by source. The names of a single source are left as they are.

    Returns:
        The identity of a person is the name in the first of the sources, in alphabetical order. A name that is not
        matched across lists is followed by its source: `Adam (pubfig)`.
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
    """The person of an earlier list with a similar name. Names with digits are never similar."""
    if _has_digit(words):
        return None
    best = process.extractOne(" ".join(words), earlier.keys(), scorer=fuzz.ratio, score_cutoff=least)
    return earlier[best[0]] if best else None
