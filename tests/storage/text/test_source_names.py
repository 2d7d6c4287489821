from __future__ import annotations

import pytest

from storage.errors import UsageError
from storage.text.source_names import is_joint, joint_name, parse_sources, sources_of


def test_sources_are_joined_in_alphabetical_order_each_once():
    assert joint_name(["pubfig", "facescrub", "pubfig"]) == "facescrub+pubfig"
    assert sources_of("facescrub+pubfig") == ("facescrub", "pubfig")


def test_one_source_is_itself():
    assert joint_name(["mine"]) == "mine"
    assert sources_of("mine") == ("mine",)
    assert (is_joint("mine"), is_joint("a+b")) == (False, True)


def test_typed_and_joined_names_are_read_alike():
    assert parse_sources("b,a") == parse_sources("a+b") == "a+b"


@pytest.mark.parametrize("text", ["", "a,", ",", "a,,b", "a,../b", "a/b", "a b"])
def test_what_is_no_name_is_refused(text):
    with pytest.raises(UsageError, match="is no name of a source"):
        parse_sources(text)


def test_names_too_long_for_a_folder_are_refused():
    with pytest.raises(UsageError, match="201 characters together, the limit is 200"):
        joint_name(["a" * 100, "b" * 100])
