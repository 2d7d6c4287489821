"""`facemill datasets tag` and `untag`: names for dataset versions."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console

from flows.cli.dataset_commands import VersionArgument
from flows.cli.options import JsonOption, LakeOption, existing_lake, follow, print_result, reporting
from flows.cli.terminal import say
from flows.configuration.settings import user_name
from storage.errors import UsageError
from storage.versions.datasets import open_dataset
from storage.versions.tagging import tag_version
from storage.versions.tagging import untag as remove_tag

TagWhyOption = Annotated[str, typer.Option("--why", metavar="WORDS", help="Reason, recorded in the tag's history.")]


@reporting
def datasets_tag(
    version: VersionArgument,
    tag: Annotated[str, typer.Argument(metavar="TAG", help="A name such as golden. It moves from any other version.")],
    lake: LakeOption,
    why: TagWhyOption = "",
    as_json: JsonOption = False,
) -> None:
    """Let a tag stand for a dataset version. NAME@TAG then names it in every command, and prune keeps it."""
    found = open_dataset(existing_lake(lake), version)
    event = tag_version(found, tag, by=user_name(), why=why)
    result = {"dataset": found.name, **asdict(event)}
    print_result(result, as_json, show_tagged)
    follow("datasets tag", result, lake, as_json=as_json)


@reporting
def datasets_untag(
    tagged: Annotated[str, typer.Argument(metavar="NAME@TAG", help="Dataset and tag.")],
    lake: LakeOption,
    why: TagWhyOption = "",
    as_json: JsonOption = False,
) -> None:
    """Remove a tag from a dataset. The version stays."""
    name, _, tag = tagged.partition("@")
    if not tag:
        raise UsageError(f"{tagged} names no tag: write it as NAME@TAG, such as faces-mtcnn@golden")
    event = remove_tag(existing_lake(lake), name, tag, by=user_name(), why=why)
    result = {"dataset": name, **asdict(event)}
    print_result(result, as_json, show_untagged)
    follow("datasets untag", result, lake, as_json=as_json)


def show_tagged(console: Console, result: dict[str, Any]) -> None:
    """Print which version a tag stands for now."""
    over = f", previously {result['dataset']}@{result['over']}" if result["over"] else ""
    say(console, f"{result['dataset']}@{result['alias']} is now {result['dataset']}@{result['version']}{over}")


def show_untagged(console: Console, result: dict[str, Any]) -> None:
    """Print which version lost its tag."""
    say(console, f"{result['dataset']}@{result['version']} no longer has the tag {result['alias']}")
