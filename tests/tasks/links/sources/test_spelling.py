from __future__ import annotations

import pytest

from storage.errors import SourceError
from tasks.links.sources.spelling import match_names, suggestion

NFC, NFD = "Zo\u00eb", "Zoe\u0308"


@pytest.mark.case(13)
def test_names_are_found_as_the_source_spells_them_and_the_others_are_named() -> None:
    assert match_names([NFC, "Bo", "Bo", "Cy"], [NFD, "Bo", "Ada"]) == (["Bo", NFD], ["Cy"])


@pytest.mark.case(13)
def test_a_name_in_two_spellings_is_refused_unless_both_are_asked_for() -> None:
    with pytest.raises(SourceError, match="2 spellings"):
        match_names([NFC], [NFC, NFD])
    assert match_names([NFC, NFD], [NFC, NFD, "Bo"]) == ([NFD, NFC], [])
    assert match_names(["Bo"], [NFC, NFD, "Bo"]) == (["Bo"], [])


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("ada_aal", "did you mean 'Ada Aal'?"),
        ("Ada Aal ", "did you mean 'Ada Aal'?"),
        ("Ada Aahl", "did you mean 'Ada Aal'?"),
        ("BO", "did you mean 'Bo' or 'bo'?"),
        ("Somebody Else", "check the names"),
        ("", "check the names"),
    ],
)
def test_a_name_that_is_not_there_is_answered_with_those_it_resembles(asked: str, told: str) -> None:
    assert suggestion(asked, ["Ada Aal", "Bo", "bo", "Zoe"]) == told
