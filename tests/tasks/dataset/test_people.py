from __future__ import annotations

import pyarrow as pa
import pytest

from storage.records import LINK_LINES
from tasks.dataset.people import PeopleRules, people_in, people_of
from tasks.links.line_ids import by_person


def identities(names: dict[str, list[str]], **rules: float) -> dict[tuple[str, str], str]:
    return dict(people_of(names, PeopleRules(**rules)).identities)  # type: ignore[arg-type]  # by name, of both types


@pytest.mark.parametrize("other", ["Ada Lovelace", "ada_lovelace", "Lovelace, Ada", "Ada Lovelacé", "Ada Lovelase"])
def test_a_name_in_two_lists_is_one_person_however_it_is_written(other):
    found = identities({"a": ["Ada_Lovelace", "Bo Berg"], "b": [other]})
    assert found == {("a", "Ada_Lovelace"): "Ada_Lovelace", ("a", "Bo Berg"): "Bo Berg", ("b", other): "Ada_Lovelace"}


def test_the_first_list_in_alphabetical_order_names_the_person():
    names = {"z": ["Ada Lovelace"], "a": ["Lovelace Ada"]}
    assert set(identities(names).values()) == {"Lovelace Ada"}
    assert identities(names) == identities(dict(reversed(names.items())))


@pytest.mark.parametrize("name", ["Adam", "17", "n000017", "nm 0000017", "李"])
def test_a_single_word_and_a_number_are_another_person_in_every_list(name):
    found = identities({"a": [name], "b": [name]})
    assert found == {("a", name): f"{name} (a)", ("b", name): f"{name} (b)"}


def test_numbers_that_differ_in_one_digit_are_never_alike():
    found = identities({"a": ["identity number 000000017"], "b": ["identity number 000000018"]}, least_words=0)
    assert len(set(found.values())) == 2


def test_on_request_single_words_and_numbers_are_one_person_in_all_lists():
    assert set(identities({"a": ["Adam"], "b": ["adam"]}, least_words=1).values()) == {"Adam"}
    assert len(set(identities({"a": ["17"], "b": ["17"]}, least_words=1).values())) == 2
    assert set(identities({"a": ["17"], "b": ["17"]}, least_words=0).values()) == {"17"}


def test_on_request_only_the_same_words_are_one_person():
    names = {"a": ["Ada Lovelace"], "b": ["Ada Lovelase"]}
    assert len(set(identities(names, alike=100).values())) == 2


def test_names_alike_within_one_list_are_two_people():
    found = identities({"a": ["Jon Smithson", "Jan Smithson"], "b": ["Jan Smithson"]})
    assert found["a", "Jon Smithson"] != found["a", "Jan Smithson"] == found["b", "Jan Smithson"]


def test_of_one_list_no_name_is_touched():
    assert identities({"a": ["Ada Lovelace", "Lovelace Ada", "17"]}) == {}


def test_the_listed_names_of_a_person_are_known():
    people = people_of({"a": ["Ada Lovelace"], "b": ["Lovelace Ada", "Cy"]})
    assert people.names() == {"Ada Lovelace": {"Ada Lovelace", "Lovelace Ada"}, "Cy (b)": {"Cy"}}


def test_a_table_of_several_lists_gets_the_person_of_each_line():
    people = people_of({"a": ["Ada Lovelace"], "b": ["Lovelace Ada"]})
    word = LINK_LINES.field("identity").type
    table = pa.table({"source": ["b", "a"], "identity": pa.array(["Lovelace Ada", "Ada Lovelace"]).cast(word)})
    assert people.added_to(table)["person"].to_pylist() == ["Ada Lovelace"] * 2
    assert by_person(people.added_to(table))["identity"].to_pylist() == ["Ada Lovelace"] * 2
    assert people_of({"a": ["Ada Lovelace"]}).added_to(table).equals(table)


def test_the_people_of_lines_are_those_of_their_lists_and_of_one_list_nobody():
    word = LINK_LINES.field("identity").type
    names = pa.array(["Ada Lovelace", "Lovelace Ada", "Lovelace Ada"]).cast(word)
    lines = pa.table({"source": ["a", "b", "b"], "identity": names})
    assert people_in(lines).identities == people_of({"a": ["Ada Lovelace"], "b": ["Lovelace Ada"]}).identities
    assert people_in(lines.select(["identity"])).identities == {}


def test_a_face_of_a_line_that_is_not_planned_any_more_keeps_its_listed_name():
    people = people_of({"a": ["Ada Lovelace"], "b": ["Lovelace Ada"]})
    faces = pa.table({"source": ["b"], "identity": pa.array(["Bo Berg"]).cast(LINK_LINES.field("identity").type)})
    assert people.added_to(faces)["person"].to_pylist() == ["Bo Berg"]
