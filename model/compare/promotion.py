"""Promotion of model versions: compare champion and challenger on the same pairs of unseen people."""

from __future__ import annotations

from typing import Any

from model.compare.comparison import Comparison, compare_versions
from model.compare.evaluation_store import evaluate_version
from model.verification.claims import too_few
from storage.errors import PromotionRefused, UsageError
from storage.versions.alias_events import AliasEvent
from storage.versions.aliases import Alias, aliases, record_alias
from storage.versions.datasets import open_dataset
from storage.versions.models import ModelVersion, open_model


def promote(
    challenger: ModelVersion, *, dataset: str | None, device: str, by: str, why: str = "", force: bool = False
) -> AliasEvent:
    """Make a version the champion of its model if it is significantly better on the same pairs.

    The first champion only needs an evaluation on enough unseen people.

    Args:
        dataset: dataset whose test split to evaluate on, `name@version` or a name; None for the challenger's own.
        by: name of the user.
        force: promote despite an objection, and record it.

    Raises:
        PromotionRefused: the 95% lower bound of the AUC difference to the champion is not above zero, the challenger
            was trained on people of the test, or these are too few.
        UsageError: the version is the champion already.
    """
    lake = challenger.lake
    champion = aliases(lake, challenger.name).get(Alias.CHAMPION)
    if champion == challenger.version:
        raise UsageError(f"{challenger} is already the champion of {challenger.name}: choose another version")
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
    return record_alias(lake, challenger.name, event, challenger.check_not_pruned)


def objection(found: Comparison) -> str | None:
    """The objection to replacing the first version by the second; None if there is none."""
    if against := _objection_to_test(found.second.facts):
        return against
    low, high = found.auc.interval
    if low <= 0:
        return (
            f"the 95% lower bound of its AUC over {found.first.facts['model']} on {found.second.facts['test']} must be "
            f"above 0, but the difference is {found.auc.difference:+.5f} ({low:+.5f} to {high:+.5f}): train longer or "
            "on more people"
        )
    return None


def _objection_to_first(challenger: ModelVersion, dataset: str | None, device: str) -> str | None:
    """The objection to a first champion: an unsuitable or missing test."""
    try:
        test = open_dataset(challenger.lake, dataset or challenger.dataset)
    except UsageError as error:
        return str(error)
    return _objection_to_test(evaluate_version(challenger, test, device=device).facts)


def _objection_to_test(facts: dict[str, Any]) -> str | None:
    """The objection to a test: the version was trained on its people, or they are too few."""
    test, seen = facts["test"], facts.get("num_people_seen")
    if seen:
        return (
            f"by name it was trained on {seen} people of the test split of {test}: choose another test with --dataset"
        )
    if words := too_few(facts["num_identities"]):
        return f"it was {words}; choose a larger test than {test} with --dataset"
    return None
