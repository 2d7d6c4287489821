from __future__ import annotations

from pathlib import Path

import pytest

from storage.errors import UsageError
from tasks.dataset.exclude import ALIKE, Match, exclude, lines_of, read_names
from tests.tasks.image_shards import link_lines


def matches(identity: str, *names: str) -> list[str]:
    """The listed name that means this person, if any."""
    return [match.listed for match in exclude([identity], sorted(names)).matches]


@pytest.mark.parametrize(
    "listed",
    [
        "Zoë_O'Hara-Smith",
        "zoe o hara smith",
        "ZOE O'HARA SMITH",
        "Smith, Zoë O'Hara",
        "O_HARA_SMITH_ZOE",
        "Zoe\u0308  O\u2019Hara\u2010Smith",
    ],
)
def test_the_same_words_mean_the_same_person_however_they_are_written(listed):
    assert exclude(["Zoe_O'Hara-Smith"], [listed]).matches == (Match("Zoe_O'Hara-Smith", listed, 100.0),)


@pytest.mark.parametrize("listed", ["Bela_Ballo", "Bella_Ballol", "Bella_Balo", "Bella_J._Ballo", "Blela_Ballo"])
def test_a_slip_of_a_letter_still_means_the_person(listed):
    assert matches("Bella_Ballo", listed) == [listed]


@pytest.mark.case(15)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_list_of_names_may_be_in_any_unicode_encoding(tmp_path, encoding, end):
    (tmp_path / "names.txt").write_bytes(end.join(["Zoë Aal", "Bo Berg", ""]).encode(encoding))
    assert read_names(tmp_path / "names.txt") == ("Bo Berg", "Zoë Aal")


@pytest.mark.parametrize("listed", ["Bella_Baxter", "Stella_Ballo", "Bella", "Ballo"])
def test_another_name_means_another_person(listed):
    assert matches("Bella_Ballo", listed) == []


def test_the_name_most_alike_is_the_one_that_is_told():
    (match,) = exclude(["Bella_Ballo"], ["Bela_Ballo", "Bella_Ballo_", "Bella_Balo"]).matches
    assert match == Match("Bella_Ballo", "Bella_Ballo_", 100.0)

    (match,) = exclude(["Bella_Ballo"], ["Bela_Ballo"]).matches
    assert ALIKE <= match.alike < 100


def test_a_list_is_told_by_its_names_and_their_number_but_not_who_they_are():
    one, other = exclude(["Ada_Aal"], ["Ada Aal", "Bo Berg"]), exclude(["Ada_Aal"], ["Ada Aal", "Bo Borg"])

    assert one.matches == other.matches
    assert one.identities == {"Ada_Aal"}
    assert one.digest != other.digest
    assert one.to_json() == {"names_digest": one.digest, "num_names": 2, "alike": ALIKE, "num_identities": 1}


@pytest.mark.parametrize(
    "text",
    [
        "Bo_Berg\n\n  Ada_Aal \r\nAda_Aal\n",
        "2\t300\nAda_Aal\t1\t4\nAda_Aal\t2\tBo_Berg\t1\n",
        "2\nAda_Aal\t5\nBo_Berg\t1\n",
    ],
    ids=["names", "pairs.txt", "people.txt"],
)
def test_names_are_read_one_a_line_or_as_lfw_lists_them(tmp_path: Path, text):
    (tmp_path / "names.txt").write_text(text, newline="")

    assert read_names(tmp_path / "names.txt") == ("Ada_Aal", "Bo_Berg")


@pytest.mark.parametrize(
    ("data", "why"), [(None, "No such file"), (b"", "no name"), (b"12\t300\n", "no name"), (b"\xff\xfeA", "UTF-8")]
)
def test_a_list_without_names_is_refused(tmp_path: Path, data, why):
    path = tmp_path / "names.txt"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(UsageError, match=why):
        read_names(path)


def test_all_lines_of_the_people_left_out_say_why():
    lines = link_lines(
        *[(name, line, f"http://{name}.example/{line}", None) for name in ("Ada", "Bo") for line in (1, 2)]
    )

    assert lines_of(lines, {"Ada", "Nobody"}).to_pylist() == [
        {"identity": "Ada", "line": line, "reason": "excluded"} for line in (1, 2)
    ]
    assert len(lines_of(lines, ())) == 0
