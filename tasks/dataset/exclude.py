"""Exclude people from a version by name, for instance those of a benchmark used for evaluation.

A name matches a person if both have the same words in any order, ignoring case, accents, underscores and punctuation;
or if their spelling similarity is at least `ALIKE` of 100 (twice the letters shared in order / letters of both).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from rapidfuzz import fuzz, process

from storage.errors import UsageError
from storage.records import Reason
from storage.tables.parquet import stamp
from storage.text.encodings import read_text
from tasks.links.line_ids import id_columns, words_and_codes

# `python -m bench.names`: of names with one letter wrong, 97% are found at 90 and 85% at 91. Of 1000 names of VGGFace1,
# three are like one of 1664 of LFW at 90: two are the same person misspelled, the third is not. One person too many
# costs a dataset little; one too few makes the benchmark's figures wrong.
ALIKE = 90.0


@dataclass(frozen=True, slots=True)
class Match:
    """A person of the source, the listed name that matches, and their similarity: 100 is the same words."""

    identity: str
    listed: str
    alike: float


@dataclass(frozen=True, slots=True)
class Exclusion:
    """The people of a source that a list of names excludes; `digest` identifies the list."""

    digest: str
    num_names: int
    alike: float
    matches: tuple[Match, ...]

    @property
    def identities(self) -> frozenset[str]:
        """The excluded people."""
        return frozenset(match.identity for match in self.matches)

    def to_json(self) -> dict[str, Any]:
        """The manifest entry: the number of people, without names."""
        return {
            "names_digest": self.digest,
            "num_names": self.num_names,
            "alike": self.alike,
            "num_identities": len(self.matches),
        }


def read_names(path: Path) -> tuple[str, ...]:
    """The names of a list, sorted: one a line, or LFW's `pairs.txt` and `people.txt`, whose numbers are skipped.

    Raises:
        UsageError: there is no such file, it is not text, or it contains no name.
    """
    cells = re.split(r"[\t\n]", read_text(path))
    names = tuple(sorted({cell.strip() for cell in cells if words_of(cell) and not cell.strip().isdecimal()}))
    if not names:
        raise UsageError(f"{path} contains no name: put one on each line")
    return names


def exclude(identities: Iterable[str], names: Sequence[str], alike: float = ALIKE) -> Exclusion:
    """Find the people that match the names.

    Args:
        names: as `read_names` gives them.
        alike: the least similarity of a match, 0 to 100.
    """
    spelled = {name: " ".join(words_of(name)) for name in names}
    same_words = {tuple(sorted(words_of(name))): name for name in reversed(names)}
    found = [_match(identity, spelled, same_words, alike) for identity in sorted(set(identities))]
    return Exclusion(stamp("names", list(names)), len(names), alike, tuple(match for match in found if match))


def lines_of(lines: pa.Table, people: Collection[str]) -> pa.Table:
    """The lines of these people with the reason `excluded`, in the form that `select.select` takes.

    With several sources (column `person`) these are all lines of a person, under any listed name.
    """
    words, codes = words_and_codes(lines["identity"])
    theirs = pa.array(pc.is_in(words, value_set=pa.array(sorted(people), pa.string())).to_numpy(False)[codes])
    if "person" in lines.column_names:
        excluded = pc.unique(lines["person"].filter(theirs).cast(pa.string()))
        theirs = pc.is_in(lines["person"].cast(pa.string()), value_set=excluded)
    refused = lines.select(id_columns(lines)).filter(theirs)
    return refused.append_column("reason", pa.array([Reason.EXCLUDED.value] * len(refused), pa.string()))


def _match(
    identity: str, spelled: dict[str, str], same_words: dict[tuple[str, ...], str], alike: float
) -> Match | None:
    words = words_of(identity)
    listed = same_words.get(tuple(sorted(words)))
    if listed is not None:
        return Match(identity, listed, 100.0)
    best = process.extractOne(" ".join(words), spelled, scorer=fuzz.ratio, score_cutoff=alike)
    return Match(identity, best[2], round(best[1], 1)) if best else None


def words_of(name: str) -> list[str]:
    """The words of a name in their order, without case, accents, underscores and punctuation."""
    letters = (letter for letter in unicodedata.normalize("NFKD", name) if not unicodedata.combining(letter))
    return re.findall(r"[^\W_]+", "".join(letters).casefold())
