"""The lists of dataset and model versions as text: a heading for each name, and a few short lines for each version."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from flows.telemetry.fitting import wrapped
from storage.stamps.code_version import code_words
from storage.text.names import visible
from storage.text.sizes import size_words
from tasks.dataset.manifest import settings_of

Row = Mapping[str, Any]

_INDENT, _DETAILS = "  ", "      "
_VALUE_CHARS = 40
# What `datasets show` adds to a manifest.
_NOT_SETTINGS = ("dataset", "tags", "folder", "bytes", "models", "pruned")


def dataset_lines(rows: Sequence[Row], width: int) -> list[str]:
    """The lines of `datasets list`, as `version_status.dataset_status` gives the versions."""
    return _lines(rows, "dataset", width, _dataset_columns, _dataset_details)


def model_lines(rows: Sequence[Row], width: int) -> list[str]:
    """The lines of `models list`, as `version_status.models_status` gives the versions."""
    return _lines(rows, "model", width, _model_columns, _model_details)


def newest_lines(rows: Sequence[Row], kind: str, width: int) -> list[str]:
    """The newest version of each name, with its folder, and how many there are; for `status`."""
    lines: list[str] = []
    for name, group in _by_name(rows, kind):
        newest, columns = group[-1], _dataset_columns if kind == "dataset" else _model_columns
        version, *facts = columns(newest)
        of_all = [f"newest of {len(group):,} versions, {_total(group)} together"] if len(group) > 1 else []
        items = [f"{name}@{version}", *facts, *_other_marks(newest), *of_all]
        lines += wrapped([visible(item) for item in items], width, first=f"{kind:<8} ", rest=" " * 9)
        lines.append(f"{'':<9}{visible(newest['folder'])}")
    return lines


def setting_texts(settings: Mapping[str, Any]) -> list[str]:
    """Settings as `select.min_face_px=100`, as --set takes them."""
    return [f"{name}={_value(value)}" for name, value in settings.items()]


def dataset_facts(result: Row) -> dict[str, list[str] | str]:
    """The facts of `datasets show`, by a word: the manifest in words, without the funnel."""
    settings = settings_of({name: one for name, one in result.items() if name not in _NOT_SETTINGS})
    splits = [f"{name} {part['samples']:,} of {part['identities']:,}" for name, part in result["splits"].items()]
    gone = sum(entry["num_samples"] for entry in result.get("redactions") or [])
    held = f"{result['num_samples']:,} faces of {result['num_identities']:,} people"
    facts = {
        "folder": [result["folder"]],
        "published": [_minute(result["published_at"]) + " UTC", f"by {code_words(result.get('code'))}"],
        "holds": [held, size_words(result["bytes"]), *([f"{gone:,} faces taken down since"] if gone else [])],
        "pruned": _pruned(result.get("pruned")),
        "splits": splits,
        "source": [str(settings.pop("source", "unknown")), f"method {settings.pop('method', 'unknown')}"],
        **_grouped(settings),
        "trained on it": [model_text(model) for model in result["models"]] or ["no model"],
    }
    return {**{name: items for name, items in facts.items() if items}, "terms": result.get("terms") or "not recorded"}


def model_facts(result: Row) -> dict[str, list[str]]:
    """The facts of `models show`, by a word: configuration and lineage in words, without the figures."""
    manifest = result["manifest"]
    lineage, config = dict(result.get("lineage") or {}), result.get("config") or manifest.get("config")
    libraries = lineage.pop("libraries", None)
    code, dataset = (
        code_words(lineage.pop("code", None)),
        str(lineage.pop("dataset", manifest.get("dataset") or "unknown")),
    )
    told = {name: value for name, value in lineage.items() if value is not None and value is not False}
    facts = {
        "folder": [result["folder"]],
        "trained": [_minute(manifest.get("trained_at")) + " UTC", f"by {code}"],
        "pruned": _pruned(manifest.get("pruned")),
        "dataset": [dataset],
        "size": [size_words(result["bytes"])],
        "config": setting_texts(config) if isinstance(config, dict) else [],
        "lineage": setting_texts(told),
        "libraries": setting_texts(libraries) if isinstance(libraries, dict) else [],
    }
    return {name: items for name, items in facts.items() if items}


def _pruned(entry: Any) -> list[str]:
    """When, by whom and why a version was pruned; empty if it was not."""
    if not entry:
        return []
    return [f"{_minute(entry['at'])} UTC", f"by {entry['by']}: {entry['why']}", "only the manifest is left"]


def _grouped(settings: Mapping[str, Any]) -> dict[str, list[str]]:
    """Settings below the names of their groups, without repeating these: `{"select": ["min_face_px=100"]}`."""
    # Takes 0.2 CPU-s to import, which the lists do not need.
    from tasks.dataset.publish_request import SETTINGS  # noqa: PLC0415

    groups: dict[str, dict[str, Any]] = {}
    for name, value in settings.items():
        group, dot, field = name.partition(".")
        if group in SETTINGS:
            groups.setdefault(group.replace("_", " "), {})[field if dot else group] = value
    return {group: setting_texts(fields) for group, fields in groups.items()}


def _lines(rows: Sequence[Row], kind: str, width: int, columns: Any, details: Any) -> list[str]:
    lines: list[str] = []
    for name, group in _by_name(rows, kind):
        versions = "1 version" if len(group) == 1 else f"{len(group):,} versions"
        lines.append(f"[bold]{kind}[/] {visible(name)}: {versions}, {_total(group)}")
        cells = [[visible(cell) for cell in columns(one)] for one in group]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        for one, row in zip(group, cells, strict=True):
            aligned = [f"{cell:<{size}}" for cell, size in zip(row, widths, strict=True)]
            lines += [line.rstrip() for line in wrapped(aligned, width, first=_INDENT, rest=_DETAILS, between="  ")]
            told = [visible(item) for item in (*_marks(one), *setting_texts(one["settings"]), *details(one))]
            lines += wrapped(told, width, first=_DETAILS, rest=_DETAILS)
    return lines


def _by_name(rows: Sequence[Row], kind: str) -> Iterator[tuple[str, list[Row]]]:
    for name, group in groupby(rows, key=lambda one: str(one[kind])):
        yield name, list(group)


def _total(group: Sequence[Row]) -> str:
    return size_words(sum(one["bytes"] for one in group))


def _dataset_columns(one: Row) -> list[str]:
    faces, people = one["samples"], one["identities"]
    held = "an unknown number of faces" if faces is None else f"{faces:,} faces"
    return [one["version"], _minute(one["published_at"]), held + _of(people), size_words(one["bytes"])]


def _of(people: int | None) -> str:
    return "" if people is None else f" of {people:,} people"


def _model_columns(one: Row) -> list[str]:
    auc = "AUC unknown" if one["auc"] is None else f"AUC {one['auc']:.3f}"
    return [one["version"], _minute(one["trained_at"]), auc, size_words(one["bytes"])]


def _other_marks(newest: Row) -> list[str]:
    """The marks of a newest version, without that it is the newest."""
    return [mark for mark in _marks(newest) if mark not in {"newest", "latest"}]


def _marks(one: Row) -> list[str]:
    """`newest`, `champion`, the tags, and when it was pruned."""
    newest = ["newest"] if one.get("is_newest") else []
    pruned = [f"pruned {_minute(one['pruned'])}"] if one.get("pruned") else []
    return [*newest, *one.get("tags", []), *one.get("aliases", []), *pruned]


def _dataset_details(one: Row) -> list[str]:
    first, *others = map(model_text, one["models"]) if one["models"] else [""]
    return [f"trained on it: {first}", *others] if first else []


def model_text(model: Row) -> str:
    """A model version with its aliases, `embedder@0123 (champion)`."""
    return str(model["model"]) + (f" ({', '.join(model['aliases'])})" if model["aliases"] else "")


def _model_details(one: Row) -> list[str]:
    here = "" if one["dataset_is_here"] else ", which is not in this lake"
    return [f"trained on {one['dataset'] or 'an unknown dataset'}{here}"]


def _minute(at: str | None) -> str:
    """An ISO time to the minute."""
    return "at an unknown time" if not at else at[:16].replace("T", " ")


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _VALUE_CHARS else f"{text[:_VALUE_CHARS]}..."
