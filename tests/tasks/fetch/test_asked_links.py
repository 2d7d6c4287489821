"""What is known of a plan: true as shards are added, and looked at again after any other change."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from storage.files.lake import Lake
from storage.stamps.cached_results import table_states
from storage.tables.parquet import write_table
from tasks.fetch.asked_links import Planned, keep_planned, plan_state, read_planned

SHARDS = ["0000-0000-aaaaaa", "0001-0000-aaaaaa"]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A plan whose links have all been asked for in two shards."""
    lake = Lake(tmp_path / "lake")
    for path in (lake.links("some", "lines.parquet"), lake.plan("some")):
        put(lake, path)
    for stem in SHARDS:
        put(lake, f"{lake.images('some', stem)}.parquet")
    keep_planned(lake, "some", state(lake), Planned(5, table_states(lake, lake.images("some"))))
    return lake


def put(lake: Lake, path: str) -> None:
    write_table(lake, path, pa.table({"key": [1]}))


def state(lake: Lake, identities: int | list[str] | None = None, per_identity: int | None = None) -> str:
    return plan_state(lake, "some", identities, per_identity)


def known(lake: Lake) -> tuple[int, bool] | None:
    """The number of candidates, and whether all have been asked for."""
    planned = read_planned(lake, "some", state(lake))
    return planned and (planned.num_candidates, planned.is_asked(lake, "some"))


def test_all_links_stay_asked_for_as_shards_are_added(lake: Lake) -> None:
    assert known(lake) == (5, True)
    put(lake, f"{lake.images('some', '0001-0001-bbbbbb')}.parquet")
    assert known(lake) == (5, True)


@pytest.mark.parametrize("change", [Lake.remove, put])
def test_without_one_of_the_shards_as_it_was_the_plan_is_known_and_no_more(lake: Lake, change) -> None:
    change(lake, f"{lake.images('some', SHARDS[0])}.parquet")
    assert known(lake) == (5, False)


def test_a_plan_of_which_not_all_links_were_asked_for_is_known_as_such(lake: Lake) -> None:
    keep_planned(lake, "some", state(lake), Planned(7))
    assert known(lake) == (7, False)
    lake.remove(lake.images("some"))
    assert known(lake) == (7, False)


@pytest.mark.parametrize("changed", ["links/some/lines.parquet", "plan/some.parquet"])
def test_another_list_or_plan_is_not_known(lake: Lake, changed: str) -> None:
    put(lake, changed)
    assert known(lake) is None


def test_another_selection_is_not_known(lake: Lake) -> None:
    for other in (state(lake, 3), state(lake, ["A"]), state(lake, None, 3)):
        assert read_planned(lake, "some", other) is None
