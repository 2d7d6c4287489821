"""Whether one version of a model may take another's place: both on the same pairs, people it was not trained on."""

from __future__ import annotations

from model.bootstrap import MANY_PEOPLE
from model.comparison import Comparison, compare_versions
from storage.aliases import Alias, AliasEvent, aliases, record_alias
from storage.datasets import open_dataset
from storage.errors import PromotionRefused, UsageError
from storage.models import ModelVersion, open_model


def promote(
    challenger: ModelVersion, *, dataset: str | None, device: str, by: str, why: str = "", force: bool = False
) -> AliasEvent:
    """Make a version the champion of its model, if it is better on the same pairs beyond chance.

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
    if champion is not None:
        test = open_dataset(lake, dataset or challenger.dataset)
        found = compare_versions(open_model(lake, f"{challenger.name}@{champion}"), challenger, test, device=device)
    against = objection(found) if found else None
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
    low, high = found.auc.interval
    test, seen = found.second.facts["test"], found.second.facts["num_people_seen"]
    if seen:
        return (
            f"by their names it was trained on {seen} people of the test split of {test}, and would be judged on faces "
            "it knows: choose another test with --dataset"
        )
    if low <= 0:
        return (
            f"the 95% lower bound of its AUC over {found.first.facts['model']} on {test} must be above 0, and the "
            f"difference is {found.auc.difference:+.5f} ({low:+.5f} to {high:+.5f}): train longer or on more people"
        )
    if (num_people := found.second.facts["num_identities"]) < MANY_PEOPLE:
        return (
            f"an interval needs at least {MANY_PEOPLE} people, and the test split of {test} has {num_people}: choose a "
            "larger test with --dataset"
        )
    return None
