"""The answer to `--dry-run` on the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from flows.cli.terminal import say_facts
from storage.text.durations import hours_text
from storage.text.sizes import size_words
from tasks.fetch.forecast import EARLIER_LINKS_PER_S

Facts = dict[str, list[str] | str]


def show_cost(console: Console, result: dict[str, Any]) -> None:
    """Print what a run would cost."""
    say_facts(console, {"dry run": "nothing was requested, and nothing was written"})
    for one in result.get("fetch", []):
        say_facts(console, fetch_facts(one))
    for one in result.get("crop", []):
        say_facts(console, crop_facts(one))
    if "train" in result:
        say_facts(console, train_facts(result["train"]))
    if "disk" in result:
        say_facts(console, disk_facts(result["disk"]))


def fetch_facts(one: dict[str, Any]) -> Facts:
    """The requests of one source."""
    hours, busiest = one["hours"], one["busiest"]
    facts: Facts = {
        "links  ": [
            f"{one['links']:,} to request",
            one["source"],
            f"{one['people']:,} people",
            f"{one['done']:,} requested before",
            f"{one['due']:,} of these due for retry",
        ],
        "hosts": _hosts(one["hosts"]),
        "volume": [f"about {size_words(one['num_bytes'])}", f"{one['share_accepted']:.0%} of the links accepted"],
        "time": [
            *_author(hours),
            f"{hours_text(hours['measured'])} at the rate of {one['measured_by']}",
        ],
    }
    if busiest:
        facts["busiest"] = [
            busiest["host"],
            f"{busiest['requests']:,} requests",
            f"at least {hours_text(busiest['least_hours'])} at {busiest['per_s']:g} a second",
        ]
    if one["is_outside"]:
        facts["consent"] = "given before" if one["has_consent"] else "required: --yes, or an answer on the terminal"
    return facts


def _hosts(num: int | None) -> str:
    if num is None:
        return "known once the dataset is generated"
    return f"{num:,}" if num else "none: the pictures are in a folder"


def _author(hours: dict[str, float]) -> list[str]:
    if "author" not in hours:
        return []
    return [f"{hours_text(hours['author'])} at the author's rate of {EARLIER_LINKS_PER_S:.1f} links a second"]


def crop_facts(one: dict[str, Any]) -> Facts:
    """The detection and crops of one source."""
    return {
        "search ": [
            f"{one['to_search']:,} of {one['pictures']:,} pictures of {one['source']}",
            f"{hours_text(one['cpu_hours'])} of CPU time by docs/benchmarks.md",
            f"{hours_text(one['hours'])} with {one['processes']} processes",
        ],
        "crop": [
            f"{one['to_crop']:,} pictures by {' and '.join(one['methods'])}",
            f"about {size_words(one['num_bytes'])}",
        ],
    }


def train_facts(one: dict[str, Any]) -> Facts:
    """The training of a model version."""
    if not one["is_new"]:
        return {"train  ": f"nothing: {one['model']} on {one['dataset']} exists with these settings"}
    on = one["dataset"] or "the version to be published"
    held = [] if one["faces"] is None else [f"{one['faces']:,} faces of {one['people']:,} people"]
    hours = "time unknown" if one["hours"] is None else f"{hours_text(one['hours'])} by {one['measured_by']}"
    times = "" if one["num_trainings"] == 1 else f"{one['num_trainings']} times "
    steps = f"{times}{one['steps']:,} steps of at most {one['faces_per_step']:,} faces"
    return {"train  ": [f"{one['model']} on {on}", *held, steps, f"preset {one['preset']} on {one['device']}", hours]}


def disk_facts(one: dict[str, Any]) -> Facts:
    """The disk that is needed, and what is free of it."""
    free = one["free"]
    if free is None:
        return {"disk   ": [f"about {size_words(one['needed'])} in the bucket"]}
    short = ["NOT ENOUGH"] if free < one["needed"] else []
    return {"disk   ": [f"about {size_words(one['needed'])} needed", f"{size_words(free)} free", *short]}
