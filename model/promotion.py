"""Whether one version of a model may take another's place: both on the same pairs, people it was not trained on."""

from __future__ import annotations

from typing import Any

from model.claims import too_few
from model.comparison import Comparison, compare_versions
from model.evaluation_store import judge_version
from storage.aliases import Alias, AliasEvent, aliases, record_alias
from storage.datasets import open_dataset
from storage.errors import PromotionRefused, UsageError
from storage.models import ModelVersion, open_model


def promote(
    challenger: ModelVersion, *, dataset: str | None, device: str, by: str, why: str = "", force: bool = False
) -> AliasEvent:
    """Make a version the champion of its model, if it is better on the same pairs beyond chance.

    The first champion has nobody to be better than, and must only be judged on enough people it has not seen.

    Args:
        dataset: whose test people to judge on, `name@version` or a name; None for those the challenger is of.
        by: who promotes.
        force: record what speaks against it, and promote all the same.

    Raises:
        PromotionRefused: the AUC's 95% lower bound over the champion's is not above zero, the challenger was trained
            on people of the test, or those are too few.
        UsageError: it is the champion already.
    """
    lake = challenger.lake
    champion = aliases(lake, challenger.name).get(Alias.CHAMPION)
    if champion == challenger.version:
        raise UsageError(f"{challenger} is the champion of {challenger.name} already: name another version")
    found = None
    if champion is None:
        against = _objection_to_first(challenger, dataset, device)
    else:
        test = open_dataset(lake, dataset or challenger.dataset)
        found = compare_versions(open_model(lake, f"{challenger.name}@{champion}"), challenger, test, device=device)
        against = objection(found)
    if against and not force:
        raise PromotionRefused(f"{challenger} is not promoted: {against}; --force promotes it and records that")
    event = AliasEvent(
        alias=Alias.CHAMPION.value,
        action="promote",
        version=challenger.version,
        over=champion,
        by=by,
        why=why,
        forced=against is not None,
        figures=found.to_json() if found else None,
    )
    return record_alias(lake, challenger.name, event)


def objection(found: Comparison) -> str | None:
    """What speaks against the second version taking the place of the first; None if nothing does."""
    if against := _objection_to_test(found.second.facts):
        return against
    low, high = found.auc.interval
    if low <= 0:
        return (
            f"the 95% lower bound of its AUC over {found.first.facts['model']} on {found.second.facts['test']} must be "
            f"above 0, and the difference is {found.auc.difference:+.5f} ({low:+.5f} to {high:+.5f}): train longer or "
            "on more people"
        )
    return None


def _objection_to_first(challenger: ModelVersion, dataset: str | None, device: str) -> str | None:
    """What speaks against a version becoming the first champion: what it is judged on, if that is there at all."""
    try:
        test = open_dataset(challenger.lake, dataset or challenger.dataset)
    except UsageError as error:
        return str(error)
    return _objection_to_test(judge_version(challenger, test, device=device).facts)


def _objection_to_test(facts: dict[str, Any]) -> str | None:
    """Why a test says nothing of a version: it was trained on people of it, or they are too few."""
    test, seen = facts["test"], facts.get("num_people_seen")
    if seen:
        return (
            f"by their names it was trained on {seen} people of the test split of {test}, and would be judged on faces "
            "it knows: choose another test with --dataset"
        )
    if words := too_few(facts["num_identities"]):
        return f"it was {words}: choose a larger test than {test} with --dataset"
    return None
