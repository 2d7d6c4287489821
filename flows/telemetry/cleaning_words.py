"""What a model doubts, and what cleaning changed, in words for the terminal and for pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flows.telemetry.reason_words import reason_words

Result = Mapping[str, Any]


def doubt_items(scored: Sequence[Result]) -> list[str]:
    """How many samples of each version may show somebody else.

    Args:
        scored: as `doubts.doubts` gives them.
    """
    told = [
        f"{sum(one['doubtful'].values()):,} of {one['samples']:,} faces of {one['dataset'].partition('@')[0]}"
        for one in scored
    ]
    return [*told[:-1], f"{told[-1]} may show somebody else", f"according to {scored[0]['model']}"]


def change_items(cleaned: Result) -> list[str]:
    """A cleaned version, and what its cleaning changed.

    Args:
        cleaned: of `publish_cleaned` of `refine`.
    """
    before, changes = cleaned["cleaned_from"], cleaned["cleaned_from"]["changes"]
    existing = "" if cleaned["is_new"] else " (existing)"
    items = [
        f"{cleaned['dataset']}@{cleaned['version']}{existing}: {cleaned['samples']:,} faces of "
        f"{cleaned['identities']:,} people",
        f"before {before['samples']:,} of {before['identities']:,}",
    ]
    for change, words in (("went", "left out"), ("came", "added"), ("moved", "in another split")):
        counts = [f"{num:,} {_why(why)}" for why, num in changes[change].items()]
        items += [f"{words}: {counts[0]}", *counts[1:]] if counts else []
    return items


def model_line(trained: Result) -> str:
    """A model version, what it was trained on, and its AUC; or why there is none."""
    if "auc" not in trained:
        return f"no new version of {trained['model']}: {trained['left_out']}"
    name = f"{trained['model']}@{trained['version']}"
    return f"{name} on {trained['dataset']}: AUC on unseen people {trained['auc']:.3f}"


def cleaning_page(done: Result) -> str:
    """What cleaning changed in each dataset, and the models before and after, as Markdown.

    Args:
        done: the result of `refine`, with a cleaned version.
    """
    changes = [", ".join(change_items(one)) for one in done["publish_cleaned"]]
    models = [model_line(done[name]) for name in ("train", "train_cleaned") if name in done]
    sections = {"What cleaning changed": changes, "Models, each on the test people of its own version": models}
    return "\n".join(f"## {head}\n\n" + "".join(f"- {one}\n" for one in items) for head, items in sections.items())


def _why(why: str) -> str:
    """`select: wrong_person` as `wrong person`; a move between splits as it is."""
    return reason_words(why.partition(": ")[2]) if ": " in why else why
