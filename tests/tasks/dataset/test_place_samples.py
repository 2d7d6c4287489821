from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from storage.records import SAMPLES
from storage.tables.parquet import rows_to_table, with_plain_words
from tasks.dataset.place_samples import PlaceRules, place_samples
from tests.one_sample import sample_row

RULES = PlaceRules(min_used=0.75, small=3, max_small=2)


def samples(*names: str, **changes: Any) -> pa.Table:
    return with_plain_words(rows_to_table([sample_row(name) | changes for name in names], SAMPLES))


def known(**shards: str) -> dict[str, str]:
    """Shards: a letter a sample."""
    return {f"shards/train-{shard}.tar": letters for shard, letters in shards.items()}


def rows_of(shard: str, letters: str) -> pa.Table:
    rows = [sample_row(letter) | {"shard": shard, "offset": at, "length": 7} for at, letter in enumerate(letters)]
    return rows_to_table(rows, SAMPLES)


def shards_of(letters: str, there: dict[str, str], before: str = "", **changes: Any) -> str:
    """The last letter of the name of each sample's shard, `-` where it is to be written."""
    listed = frozenset(f"shards/train-{one}.tar" for one in before)
    shards = ((shard, rows_of(shard, theirs)) for shard, theirs in there.items())
    placed = place_samples(samples(*letters, **changes), shards, listed, RULES)
    names = ["-" if shard < 0 else placed.shards[shard] for shard in placed.shard.tolist()]
    for letter, shard, offset, length in zip(letters, names, placed.offset, placed.length, strict=True):
        assert shard == "-" or (there[shard][offset], length) == (letter, 7)
    return "".join(shard.removesuffix(".tar")[-1] for shard in names)


def test_without_shards_all_are_written():
    assert shards_of("abc", known()) == "---"


def test_a_shard_that_is_used_enough_is_reused_and_the_rest_is_written():
    there = known(x="abcd", y="efgh")
    assert shards_of("abcdi", there) == "xxxx-"
    assert shards_of("abcefgi", there) == "xxxyyy-"
    assert shards_of("abefgh", there) == "--yyyy"


def test_of_two_shards_that_have_a_sample_the_one_that_is_used_more_gives_it():
    assert shards_of("abcd", known(x="abcdefghij", y="abcd")) == "yyyy"
    assert shards_of("abcdef", known(x="abcdef", y="abcd")) == "xxxxxx"


def test_a_sample_of_which_anything_changed_is_written_anew():
    there = known(x="ab")
    for changes in ({"url": "http://y"}, {"crop_digest": bytes(31) + b"1"}, {"landmarks": [1.0] * 10}, {"score": 0.5}):
        assert shards_of("ab", there, **changes) == "--"
    assert shards_of("ab", there, cluster=bytes(31) + b"1") == "xx"


def test_a_sample_whose_cluster_has_grown_is_told():
    grown = samples("a", cluster=bytes(31) + b"1")
    placed = [place_samples(each, [("shards/train-x.tar", rows_of("", "a"))]) for each in (samples("a"), grown)]
    assert [one.is_same.tolist() for one in placed] == [[True], [False]]


def test_a_sample_that_is_written_anew_has_the_cluster_of_its_new_shard():
    grown = samples(*"abc", cluster=bytes(31) + b"1")
    small = [(f"shards/train-{one}.tar", rows_of("", one)) for one in "abc"]
    placed = place_samples(grown, small, rules=RULES)
    assert (placed.shard.tolist(), placed.is_same.tolist()) == ([-1] * 3, [True] * 3)


def test_values_that_are_missing_in_both_are_the_same():
    assert sample_row("a")["landmarks"] is None
    assert shards_of("a", known(x="a")) == "x"


def test_many_small_shards_of_a_split_are_written_into_one():
    two, three = known(x="abcd", y="ef", z="g"), known(x="abcd", y="ef", z="g", w="h")
    assert shards_of("abcdefg", two) == "xxxxyyz"
    assert shards_of("abcdefgh", three) == "xxxx----"


def test_the_order_of_the_shards_does_not_matter():
    rng, letters = np.random.default_rng(0), "abcdefghijklmnop"
    shards = {"x": "abcdef", "y": "defghi", "z": "jkl", "w": "abcdefghijklmnop"[4:12]}
    expected = shards_of(letters, known(**shards))
    for _ in range(5):
        names = list(rng.permutation(list(shards)))
        assert shards_of(letters, known(**{name: shards[name] for name in names})) == expected


def test_the_shards_of_the_version_before_come_first():
    """As after another version of fewer samples: each of its shards would spoil two of these."""
    there = known(x="abcd", y="efgh", s="abef", t="cdgh")
    assert shards_of("abcdefgh", there) == "ssttsstt"
    assert shards_of("abcdefgh", there, before="xy") == "xxxxyyyy"


def test_small_shards_that_were_written_into_one_are_not_used_again():
    small = {one: one for one in "pqr"}
    there = known(m="abpqr", **small)
    assert shards_of("abpqr", there, before="m") == "mmmmm"
    assert shards_of("apqr", there, before="m") == "mmmm"
