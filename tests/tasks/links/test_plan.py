from __future__ import annotations

from collections import Counter
from itertools import groupby

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.errors import UsageError
from storage.records import CANDIDATES, url_key
from tasks.links.plan import IDENTITIES_PER_UNIT, OF_CANDIDATES, choose, plan, plan_blocks, rank_within
from tests.tasks.image_shards import link_lines

LINES = link_lines(
    ("Ada", 1, "http://a.example/1", None),
    ("Ada", 2, "http://b.example/1", None),
    ("Ada", 3, "http://a.example/1", (1.0, 1.0, 9.0, 9.0)),
    ("Bo", 1, "http://b.example/1", None),
    ("Bo", 2, "http://c.example/1", None),
    ("Cy", 1, "http://d.example/1", None),
)


def person(number: int) -> str:
    return f"Person_{number:04d}"


def many_people(num: int, lines_each: int = 4) -> pa.Table:
    """Lines of so many people; the first URL of each is also the last of the person 30 places on."""

    def url(who: int, line: int) -> str:
        owner, number = (who - 30, 1) if line == lines_each and who >= 30 else (who, line)
        return f"http://h{(owner + number) % 11}.example/{owner}/{number}"

    return link_lines(
        *[(person(who), line, url(who, line), None) for who in range(num) for line in range(1, lines_each + 1)]
    )


def urls(candidates: pa.Table) -> set[str]:
    return set(candidates["url"].to_pylist())


def hosts(candidates: pa.Table) -> list[str]:
    return [url.split("/")[2] for url in candidates["url"].to_pylist()]


def longest_run(words: list[str]) -> int:
    return max(len(list(group)) for _, group in groupby(words))


def test_a_url_is_one_candidate_however_many_lines_name_it():
    candidates = plan(LINES)

    assert candidates.schema == CANDIDATES
    assert sorted(candidates["url"].to_pylist()) == [f"http://{host}.example/1" for host in "abcd"]
    assert candidates["key"].to_pylist() == [url_key(url) for url in candidates["url"].to_pylist()]


def test_a_candidate_says_which_digest_its_list_has_unless_that_is_sha256():
    lines = link_lines(*[("Ada", at, f"http://a.example/{at}", None) for at in range(5)])
    listed = pa.array([bytes(16), bytes(20), bytes(32), bytes(64), None], pa.binary())
    lines = lines.set_column(lines.schema.get_field_index("listed_digest"), "listed_digest", listed)
    kinds = {row["url"][-1]: row["digest_kind"] for row in plan(lines).to_pylist()}
    assert kinds == {"0": "md5", "1": "sha1", "2": None, "3": "sha512", "4": None}


def test_urls_that_differ_in_their_escapes_are_two_candidates():
    lines = link_lines(("Ada", 1, "http://a.example/%41", None), ("Ada", 2, "http://a.example/A", None))

    assert len(plan(lines)) == 2


@pytest.mark.parametrize(
    ("identities", "per_identity", "expected"),
    [
        (None, None, "abcd"),
        (1, None, "ab"),
        (2, None, "abc"),
        (99, None, "abcd"),
        (["Cy"], None, "d"),
        (["Cy", "Bo"], None, "bcd"),
        (None, 1, "abd"),
        (1, 1, "a"),
        (["Bo"], 1, "b"),
    ],
)
def test_a_selection_asks_for_the_links_of_those_people_and_lines_only(identities, per_identity, expected):
    assert urls(plan(LINES, identities, per_identity)) == {f"http://{host}.example/1" for host in expected}


def test_a_unit_is_that_of_the_first_person_of_the_whole_source_who_has_the_url():
    lines = many_people(3 * IDENTITIES_PER_UNIT)
    units = dict(zip(*(plan(lines)[name].to_pylist() for name in ("url", "unit")), strict=True))
    first: dict[str, int] = {}
    for name, url in zip(lines["identity"].to_pylist(), lines["url"].to_pylist(), strict=True):
        first.setdefault(url, int(name.removeprefix("Person_")) // IDENTITIES_PER_UNIT)

    assert units == first
    assert len(first) < len(lines)
    assert set(units.values()) == {0, 1, 2}


@pytest.mark.parametrize("selection", [(40, None), (None, 2), ([person(60), person(5)], 3)])
def test_a_url_keeps_its_unit_as_the_selection_grows(selection):
    lines = many_people(3 * IDENTITIES_PER_UNIT)
    few, all_of_them = (
        dict(zip(table["key"].to_pylist(), table["unit"].to_pylist(), strict=True))
        for table in (plan(lines, *selection), plan(lines))
    )

    assert few.items() <= all_of_them.items()
    assert len(few) < len(all_of_them)


def test_candidates_are_ordered_by_unit():
    units = plan(many_people(60))["unit"].to_pylist()

    assert units == sorted(units)


def test_an_unknown_person_is_an_error_that_says_who_there_is():
    with pytest.raises(UsageError, match=r"has no Dee, Eve; it has 3 people, the first is Ada"):
        plan(LINES, ["Eve", "Ada", "Dee"])


@pytest.mark.parametrize("selection", [(0, None), ([], None), (None, 0)])
def test_an_empty_selection_is_an_error(selection):
    with pytest.raises(UsageError, match="no link line"):
        plan(LINES, *selection)


def test_the_plan_is_the_same_each_time_and_whatever_the_chunks():
    lines = many_people(40)
    chunked = pa.concat_tables([lines.slice(start, 33) for start in range(0, len(lines), 33)])

    assert plan(lines).equals(plan(lines))
    assert plan(chunked).equals(plan(lines))
    assert plan(chunked.slice(20)).equals(plan(lines.slice(20)))


def test_pictures_of_a_folder_have_no_host_and_are_planned_all_the_same():
    lines = link_lines(*[("Ada", number, f"Ada/{number}.jpg", None) for number in range(5)])

    assert urls(plan(lines)) == {f"Ada/{number}.jpg" for number in range(5)}


def test_pictures_without_a_host_are_in_the_order_of_their_lines():
    lines = link_lines(
        *[(name, line, f"a.parquet/{line}", None) for name, of in [("A", (3, 9, 12)), ("B", (1, 10))] for line in of]
    )

    assert plan(lines)["url"].to_pylist() == [f"a.parquet/{line}" for line in (1, 3, 9, 10, 12)]


def links_of(num_by_host: list[int]) -> pa.Table:
    """Lines of one person with so many links of each host, shuffled."""
    urls = [f"http://h{host}.example/{number}" for host, num in enumerate(num_by_host) for number in range(num)]
    np.random.default_rng(5).shuffle(urls)
    return link_lines(*[("Ada", row, url, None) for row, url in enumerate(urls)])


# As uneven as a unit of real link files: the largest of 4,400 hosts has 2.8% of 8,875 links, most have one or two.
WEB_LIKE = [max(int(250 / rank**0.7), 1) for rank in range(1, 4400)]


def test_no_two_links_of_one_host_stand_together_in_a_unit_like_those_of_the_web():
    assert longest_run(hosts(plan(links_of(WEB_LIKE)))) == 1


@pytest.mark.parametrize("num_hosts", [2, 3, 10])
def test_a_few_hosts_take_turns(num_hosts):
    assert longest_run(hosts(plan(links_of([100] * num_hosts)))) <= 2


def test_a_host_with_a_third_of_the_links_comes_in_short_runs():
    assert longest_run(hosts(plan(links_of([1000] + [1] * 2000)))) <= 6


def test_each_tenth_of_a_unit_holds_about_a_tenth_of_each_host():
    found = hosts(plan(links_of(WEB_LIKE)))
    whole = Counter(found)

    for part in np.array_split(found, 10):
        assert all(num <= 0.12 * whole[host] + 2 for host, num in Counter(part.tolist()).items())


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1))
def test_the_rank_counts_the_equal_ones_before(codes):
    assert rank_within(np.array(codes)).tolist() == [codes[:at].count(code) for at, code in enumerate(codes)]


@pytest.mark.case(13)
def test_people_are_named_in_any_normal_form_and_those_who_resemble_are_suggested():
    lines = link_lines(("Ada Aal", 1, "http://a.example/1", None), ("Zoe\u0308", 1, "http://z.example/1", None))
    assert urls(plan(lines, ["Zo\u00eb"])) == {"http://z.example/1"}
    with pytest.raises(UsageError, match="did you mean 'Ada Aal'"):
        plan(lines, ["ada_aal"])


def test_a_plan_in_blocks_is_that_of_the_whole_list(monkeypatch):
    monkeypatch.setattr("tasks.links.plan._ROWS_AT_A_TIME", 40)
    lines = many_people(60)
    some = [lines.select(OF_CANDIDATES).slice(start, 7) for start in range(0, len(lines), 7)]

    blocks = list(plan_blocks(choose(lines), some))

    assert pa.concat_tables(blocks).equals(plan(lines))
    units = [set(block["unit"].to_pylist()) for block in blocks]
    assert len(blocks) > 1
    assert not set.intersection(*units)


def test_keys_that_start_alike_are_different_urls():
    lines = link_lines(*[("Ada", number, f"http://a.example/{number}", None) for number in range(4)])
    keys = [b"12345678" + end for end in (b"00000002", b"00000001", b"00000002", b"00000003")]
    lines = lines.set_column(3, lines.schema.field("key"), pa.array(keys, pa.binary(16)))

    assert sorted(plan(lines)["url"].to_pylist()) == [f"http://a.example/{number}" for number in (0, 1, 3)]
