"""What goes and what stays, decided on values alone."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from tasks.maintenance.prune.decide import Plan, decide
from tasks.maintenance.prune.inventory import Inventory, Item, Kind, Version
from tasks.maintenance.prune.policy import Policy
from tests.tasks.maintenance.prune.versions import NOW, days_ago

LAST_2, WITHIN_10 = Policy(keep_last=2), Policy(keep_within="10d")


def faces(version: str, days: float, **facts: Any) -> Version:
    return Version(Kind.DATASETS, "faces", version, days_ago(days), 100, writer=("publish", "made", "all"), **facts)


def embedder(version: str, days: float, on: str, **facts: Any) -> Version:
    writer = ("train", "embedder", version)
    return Version(Kind.MODELS, "embedder", version, days_ago(days), 10, dataset=on, writer=writer, **facts)


def item(kind: Kind, path: str, days: float, **facts: Any) -> Item:
    return Item(kind, (path,), facts.pop("group", kind.value), days_ago(days), 1, **facts)


def plan(*things: Version | Item, policy: Policy = LAST_2, now: datetime = NOW, **facts: Any) -> Plan:
    versions = tuple(one for one in things if isinstance(one, Version))
    items = tuple(one for one in things if isinstance(one, Item))
    return decide(Inventory(versions=versions, items=items, **facts), policy, now)


def goes(found: Plan) -> set[str]:
    return {str(one.what) for one in found.goes}


def stays(found: Plan) -> dict[str, str]:
    return {str(one.what): one.why for one in found.stays}


FOUR = tuple(faces(f"v{number}", 40 - 10 * number) for number in range(4))  # 40, 30, 20 and 10 days old


def test_the_newest_stay_by_number():
    found = plan(*FOUR)
    assert goes(found) == {"faces@v0", "faces@v1"}
    assert stays(found) == {"faces@v2": "among the newest 2", "faces@v3": "the newest"}
    assert found.num_bytes == 200
    assert {one.why for one in found.goes} == {"not among the newest 2"}


def test_the_young_stay_by_age_and_the_newest_whatever_its_age():
    assert goes(plan(*FOUR, policy=Policy(keep_within="25d"))) == {"faces@v0", "faces@v1"}
    assert goes(plan(*FOUR, policy=Policy(keep_within="1h"))) == {"faces@v0", "faces@v1", "faces@v2"}


def test_each_dataset_and_model_has_its_own_newest():
    others = [Version(Kind.DATASETS, "others", "v0", days_ago(99), 1), embedder("m0", 99, "gone@v0")]
    assert goes(plan(*FOUR, *others, policy=Policy(keep_last=1))) == {"faces@v0", "faces@v1", "faces@v2"}


def test_nothing_goes_without_a_policy():
    things: list[Version | Item] = [
        *FOUR,
        item(Kind.WORK, "work/faces/x.npy", 99),
        item(Kind.QUARANTINE, "quarantine/then", 99),
    ]
    things += [item(Kind.REPORTS, "work/reports/x.html", 99, of="datasets/faces@v9")]
    assert not plan(*things, policy=Policy(), gone_leases=("leases/a",))


def test_a_version_with_a_name_stays():
    found = plan(faces("v", 99, bearing="it has the tag golden"), *FOUR)
    assert stays(found)["faces@v"] == "it has the tag golden"


def test_what_a_run_reads_or_writes_stays():
    found = plan(*FOUR, held=frozenset({"datasets/faces@v0"}))
    assert (goes(found), stays(found)["faces@v0"]) == ({"faces@v1"}, "a run reads it")
    found = plan(*FOUR, working=frozenset({("publish", "made", "all")}))
    assert goes(found) == set()
    models = [embedder(f"m{number}", 9 - number, "x@v0") for number in range(4)]
    assert goes(plan(*models, working=frozenset({("train", "embedder", "m0")}))) == {"embedder@m1"}


def test_the_dataset_of_a_model_that_stays_stays_and_that_of_one_that_goes_goes():
    models = [embedder(f"m{number}", 9 - number, f"faces@v{number}") for number in range(2)]
    found = plan(*FOUR, *models, policy=Policy(keep_last=1))
    assert goes(found) == {"embedder@m0", "faces@v0", "faces@v2"}
    assert stays(found)["faces@v1"] == "embedder@m1 was trained on it"


def test_lineage_can_be_given_up_and_the_decision_says_whose():
    models = [embedder("m0", 9, "faces@v0"), embedder("m1", 8, "faces@v0")]
    found = plan(*FOUR, *models, policy=Policy(keep_last=2, even_lineage=True))
    assert goes(found) == {"faces@v0", "faces@v1"}
    lineage = {str(one.what): one.even_lineage for one in found.goes}
    assert lineage == {"faces@v0": ("embedder@m0", "embedder@m1"), "faces@v1": ()}


def test_the_decision_does_not_depend_on_anything_but_its_arguments():
    assert plan(*FOUR, policy=WITHIN_10) == plan(*FOUR, policy=WITHIN_10)
    assert plan(*FOUR, policy=WITHIN_10, now=days_ago(20)) != plan(*FOUR, policy=WITHIN_10)


def test_an_unknown_age_keeps_a_version_where_ages_count():
    unknown = Version(Kind.DATASETS, "faces", "v", None, 1)
    assert stays(plan(unknown, *FOUR, policy=WITHIN_10))["faces@v"] == "its age is unknown"


@pytest.mark.parametrize("kind", [Kind.REPORTS, Kind.WORK, Kind.CLEANED])
def test_what_belongs_to_a_version_goes_with_it(kind):
    things = [item(kind, f"a/b/c/faces/v{number}", 0, of=f"datasets/faces@v{number}") for number in (0, 3, 7)]
    found = plan(*FOUR, *things)
    assert goes(found) == {"faces@v0", "faces@v1", "a/b/c/faces/v0", "a/b/c/faces/v7"}
    assert stays(found)["a/b/c/faces/v3"] == "faces@v3 stays"


def test_scores_that_a_kept_version_was_cleaned_by_stay():
    scores = item(Kind.CLEANED, "cleaned/mtcnn/made/embedder/m0", 9, of="models/embedder@m0")
    versions = [faces("v0", 3, scored_by="embedder@m0"), embedder("m0", 9, "x@v"), embedder("m1", 8, "x@v")]
    found = plan(*versions, scores, policy=Policy(keep_last=1, even_lineage=True))
    assert goes(found) == {"embedder@m0"}
    assert stays(found)[str(scores)] == "faces@v0 was cleaned by it"


def test_the_model_that_cleaned_a_kept_version_stays_with_the_version_that_it_was_trained_on():
    versions = [faces("v0", 9), faces("v1", 8, scored_by="embedder@m0")]
    models = [embedder("m0", 9, "faces@v0"), embedder("m1", 8, "faces@v1")]
    older = [faces("u0", 19), faces("u1", 18, scored_by="embedder@l0"), embedder("l0", 19, "faces@u0")]
    found = plan(*older, *versions, *models, policy=Policy(keep_last=1))
    assert goes(found) == {"faces@u0", "faces@u1", "embedder@l0"}
    assert stays(found)["embedder@m0"] == "faces@v1 was cleaned by it"
    assert stays(found)["faces@v0"] == "embedder@m0 was trained on it"
    found = plan(*older, *versions, *models, policy=Policy(keep_last=1, even_lineage=True))
    assert goes(found) == {"faces@u0", "faces@u1", "faces@v0", "embedder@l0", "embedder@m0"}


def test_the_newest_comparison_of_a_source_stays():
    tables = [
        item(Kind.UNIQUE, f"unique/{source}/{days}.parquet", days, group=source, source=source, newest_stays=True)
        for source in ("made", "other")
        for days in (50, 60)
    ]
    found = plan(*tables, policy=WITHIN_10)
    assert goes(found) == {"unique/made/60.parquet", "unique/other/60.parquet"}
    found = plan(*tables, policy=WITHIN_10, working=frozenset({("publish", "made+third", "all")}))
    assert goes(found) == {"unique/other/60.parquet"}


def test_caches_go_by_age_and_not_while_a_run_may_read_them():
    caches = [item(Kind.WORK, f"work/embeddings/{days}.npy", days) for days in (1, 8, 11)]
    assert goes(plan(*caches, policy=WITHIN_10)) == {"work/embeddings/11.npy"}
    assert goes(plan(*caches, policy=LAST_2)) == {"work/embeddings/8.npy", "work/embeddings/11.npy"}
    for stage in ("train", "read"):
        assert goes(plan(*caches, policy=WITHIN_10, working=frozenset({(stage, "x", "y")}))) == set()


def test_leases_of_ended_runs_go_and_what_was_half_pruned_is_finished():
    half = faces("half", 99)
    found = plan(*FOUR, unfinished=(half,), gone_leases=("leases/train/x/y.1.json",))
    assert (found.unfinished, found.gone_leases) == ((half,), ("leases/train/x/y.1.json",))
    assert found.num_bytes == 300
    found = plan(*FOUR, unfinished=(half,), working=frozenset({("publish", "made", "all")}))
    assert found.unfinished == ()


def test_a_plan_is_told_as_json():
    told = plan(*FOUR).to_json()
    assert told["goes"][0] == {"kind": "datasets", "what": "faces@v0", "bytes": 100, "why": "not among the newest 2"}
    assert (told["bytes"], len(told["stays"])) == (200, 2)


def test_a_mark_of_a_killed_prune_goes_from_a_version_that_came_into_use_and_is_whole():
    facts = {"is_marked_whole": True}
    tagged, lineage = faces("a", 99, bearing="it has the tag late", **facts), faces("b", 99, **facts)
    read, given_up, torn = faces("c", 99, **facts), faces("d", 99, even_lineage=True, **facts), faces("e", 99)
    models = [embedder("m0", 1, "faces@b"), Version(Kind.MODELS, "other", "m", days_ago(1), 1, dataset="faces@d")]
    held = frozenset({"datasets/faces@c", "datasets/faces@e"})
    found = plan(*FOUR, *models, unfinished=(tagged, lineage, read, given_up, torn), held=held)
    assert {str(version): why for version, why in found.restored} == {
        "faces@a": "it has the tag late", "faces@b": "embedder@m0 was trained on it", "faces@c": "a run reads it",
    }  # fmt: skip
    assert found.unfinished == (given_up,)
