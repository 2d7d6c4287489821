from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import pytest

from storage.errors import UsageError, VersionPruned
from storage.files.lake import Lake
from storage.versions.alias_events import AliasEvent
from storage.versions.aliases import Alias, alias_history, aliases, nominate, previous_champion, record_alias, roll_back
from storage.versions.models import model_versions, open_model, write_model
from storage.versions.tombstones import write_tombstone


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def promote(lake: Lake, version: str) -> AliasEvent:
    over = aliases(lake, "small").get(Alias.CHAMPION)
    return record_alias(lake, "small", AliasEvent("champion", "promote", version, over, by="ada"))


def test_training_makes_a_candidate_and_training_the_same_again_does_not(lake):
    for version in ("v1", "v2", "v1"):
        nominate(lake, "small", version, "ada")
    assert aliases(lake, "small") == {"candidate": "v2"}
    assert [(event.version, event.over) for event in alias_history(lake, "small")] == [("v1", None), ("v2", "v1")]


FIGURES = {"test": "faces@v1", "auc": {"first": 0.8, "second": 0.9, "difference": 0.1, "interval": [0.05, 0.15]}}


def test_an_event_says_who_when_why_and_by_which_figures(lake):
    told = AliasEvent("champion", "promote", "v2", "v1", "ada", "more people", forced=True, figures=FIGURES)
    kept = record_alias(lake, "small", told)
    assert alias_history(lake, "small") == [kept]
    assert (kept.by, kept.why, kept.forced, kept.figures) == ("ada", "more people", True, FIGURES)
    assert kept.at.endswith("+00:00")


def test_rollback_returns_step_by_step_and_goes_no_further_than_the_first(lake):
    for version in ("v1", "v2", "v3"):
        promote(lake, version)
    assert roll_back(lake, "small", "ada", "too slow").version == "v2"
    assert roll_back(lake, "small", "ada", "").version == "v1"
    with pytest.raises(UsageError, match="no earlier champion to return to: small@v1 is its first"):
        roll_back(lake, "small", "ada", "")


def test_after_a_rollback_a_promotion_stands_on_what_was_returned_to(lake):
    for version in ("v1", "v2"):
        promote(lake, version)
    roll_back(lake, "small", "ada", "")
    promote(lake, "v3")
    assert roll_back(lake, "small", "ada", "").version == "v1"


def test_a_model_without_a_champion_has_nothing_to_return_to(lake):
    with pytest.raises(UsageError, match="none yet; `facemill models promote` sets one"):
        roll_back(lake, "small", "ada", "")


def test_promotions_at_once_lose_nothing_of_the_history(lake):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: promote(lake, f"v{number}"), range(24)))
    history = alias_history(lake, "small")
    assert {event.version for event in history} == {f"v{number}" for number in range(24)}
    assert aliases(lake, "small")["champion"] == history[-1].version


def test_a_clock_that_is_behind_does_not_undo_what_came_before(lake):
    told = AliasEvent("champion", "promote", "v1", None, "ada", at="2999-01-01T00:00:00.000000+00:00")
    lake.write_json("models/small/aliases/29990101T000000.000000Z-abcdef.json", asdict(told))
    promote(lake, "v2")
    assert aliases(lake, "small")["champion"] == "v2"
    assert [event.version for event in alias_history(lake, "small")] == ["v1", "v2"]


def test_an_alias_stands_for_its_version_wherever_a_model_is_named(lake):
    for version in ("v1", "v2"):
        write_model(lake, "small", version, {}, {"trained_at": version})
        nominate(lake, "small", version, "ada")
    promote(lake, "v1")
    assert open_model(lake, "small@champion").version == "v1"
    assert open_model(lake, "small@candidate").version == "v2"
    assert [one.version for one in model_versions(lake)] == ["v1", "v2"]


def test_an_alias_nobody_bears_says_how_one_comes_to_it(lake):
    write_model(lake, "small", "v1", {}, {"trained_at": "2026"})
    with pytest.raises(UsageError, match="no champion yet: `facemill models promote` makes one"):
        open_model(lake, "small@champion")
    with pytest.raises(UsageError, match="no candidate yet: `facemill train` makes one"):
        open_model(lake, "small@candidate")


def test_a_rollback_does_not_return_to_a_pruned_version(lake):
    for version in ("v1", "v2"):
        write_model(lake, "small", version, {}, {"trained_at": version})
        promote(lake, version)
    assert previous_champion(lake, "small") == "v1"
    write_tombstone(lake, "models/small/v1", {"at": "2026-11-28", "why": "old", "by": "ada", "bytes": 1})
    with pytest.raises(UsageError, match="cannot return to small@v1, which was pruned"):
        roll_back(lake, "small", "ada", "")
    assert aliases(lake, "small")["champion"] == "v2"


def test_an_event_whose_version_was_pruned_meanwhile_is_taken_back(lake):
    def pruned() -> None:
        assert aliases(lake, "small") == {"champion": "v1"}  # it is written before it is confirmed
        raise VersionPruned("small@v1 was pruned")

    with pytest.raises(VersionPruned):
        record_alias(lake, "small", AliasEvent("champion", "promote", "v1", None, "ada"), pruned)
    assert alias_history(lake, "small") == []
