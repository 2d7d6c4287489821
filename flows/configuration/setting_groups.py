"""The fields that `--set GROUP.FIELD=VALUE` and the flows' parameter `settings` change.

A field is in this list if its class declares it with `storage.stamps.setting_field.setting`. Its type is the
annotation, its range and meaning are declared with its default.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import MISSING, Field, dataclass, fields, replace
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

from pydantic import Field as Limits
from pydantic import SecretStr, TypeAdapter, ValidationError

from flows.configuration.setting_sources import set_origin
from flows.configuration.settings import load_settings
from storage.errors import UsageError
from storage.stamps.setting_field import SETTING

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Values = TypeVar("Values", bound="DataclassInstance")
# As Prefect stores a flow's parameter: {"select.min_sharpness": 100.0}.
SettingValues = dict[str, bool | int | float | str | list[float] | None]


class Group(NamedTuple):
    """A settings class, by its import path, and the flows that use it."""

    home: str
    text: str
    flows: tuple[str, ...]


_TRAINING = ("train", "experiment", "pipeline")
_DATASETS = ("clean", "publish", "pipeline")
_REQUESTS = ("ingest", "retry", "pipeline")
GROUPS = {
    "links": Group("tasks.links.link_server:LinkLimits", "requests for link files", ("ingest", "pipeline")),
    "fetch": Group("tasks.web.limits:FetchLimits", "requests for pictures", _REQUESTS),
    "hosts": Group("tasks.web.hosts:HostRules", "pauses of hosts that fail", _REQUESTS),
    "images": Group("tasks.images.validate:ImageLimits", "pictures that are accepted", _REQUESTS),
    "decode": Group("tasks.images.sandbox:Limits", "child processes that check costly pictures", _REQUESTS),
    "detect": Group("tasks.faces.detectors:DetectorSettings", "face detection", ("crop", "pipeline")),
    "crop": Group("tasks.faces.methods:CropSettings", "choice and cut of the face", ("crop", "pipeline")),
    "dedupe": Group("tasks.dataset.dedupe:DedupeRules", "copies of pictures", _DATASETS),
    "people": Group("tasks.dataset.people:PeopleRules", "people listed in several sources", _DATASETS),
    "clean": Group("tasks.label_noise.estimate:CleanRules", "label noise scores", _DATASETS),
    "cleaning": Group("tasks.label_noise.score_table:Cleaning", "use of label noise scores", ("publish", "pipeline")),
    "select": Group("tasks.dataset.select:SelectRules", "faces that become samples", ("publish", "pipeline")),
    "split": Group("tasks.dataset.split:SplitRules", "train, val and test", ("publish", "pipeline")),
    "train": Group("model.configuration.config:TrainConfig", "training; the default is the preset's", _TRAINING),
}
# Fields that have an option of their own, by the name of its parameter. An option has precedence over the files.
OPTIONS = {
    "select.min_face_px": "min_face",
    "select.min_agreement": "check_boxes",
    "select.only_as_listed": "only_as_listed",
    "crop.check_boxes": "check_boxes",
    "train.margin": "margin",
    "train.steps": "steps",
    "train.seed": "seed",
    "train.device": "device",
}
_typed_options: ContextVar[frozenset[str]] = ContextVar("typed_options", default=frozenset())
FLOWS = tuple(dict.fromkeys(flow for group in GROUPS.values() for flow in group.flows))


@dataclass(frozen=True, slots=True)
class SettingField:
    """One field that can be set.

    Attributes:
        name: as it is typed, `select.min_sharpness`.
        kind: its type and range as text.
        default: the default of its class.
        text: its meaning.
        parser: validates values.
    """

    name: str
    kind: str
    default: Any
    text: str
    parser: TypeAdapter[Any]
    is_tuple: bool

    def read(self, given: object) -> Any:
        """A value of the field's type, from text as it is typed or from JSON.

        Raises:
            UsageError: it has another type, or is out of range.
        """
        value = given
        if isinstance(given, str):
            value = given.split(",") if self.is_tuple else None if given == "none" else given
        try:
            return self.parser.validate_python(value)
        except ValidationError as error:
            problem = error.errors()[0]["msg"].removeprefix("Input ")
            raise UsageError(f"{self.name}={given} is invalid: it {problem}; it takes {self.kind}") from error


@cache
def setting_fields(group: str) -> dict[str, SettingField]:
    """The fields of a group by their names within it."""
    kind = _class(group)
    hints = get_type_hints(kind)
    return {one.name: _field(group, one, hints[one.name]) for one in fields(kind) if SETTING in one.metadata}


def read_settings(given: list[str] | None, flow: str, *, not_of_files: Collection[str] = ()) -> SettingValues:
    """The values of `--set` and of the settings files, for the flow of a command.

    Args:
        not_of_files: groups and fields that do not apply to this run, whatever the files say.

    Raises:
        UsageError: a text has another form, or `check_settings` rejects it.
    """
    settings = settings_of_files(flow, not_of_files)
    for text in given or []:
        name, equals, value = text.partition("=")
        if not equals or "." not in name:
            raise UsageError(f"--set {text} does not have the form GROUP.FIELD=VALUE, such as select.min_sharpness=100")
        settings[name] = value
    return check_settings(settings, flow)


def settings_of_files(flow: str, leave_out: Collection[str] = ()) -> SettingValues:
    """The values of the files' tables `[set]` that a flow takes, without those that an option of this command gives.

    Raises:
        UsageError: a table has an unknown field, or an invalid value.
    """
    found: SettingValues = {}
    for name, value in load_settings().set.items():
        group = name.partition(".")[0]
        try:
            field = _known(name, GROUPS[group].flows[0] if group in GROUPS else flow)
            if flow in GROUPS[group].flows and not {group, name} & {*leave_out} and not _is_typed(name):
                found[name] = field.read(value)
        except UsageError as error:
            raise UsageError(f"{set_origin(name)}: {error}") from error
    return found


def _is_typed(name: str) -> bool:
    """Whether the running command was given the option that stands for a field."""
    return OPTIONS.get(name) in _typed_options.get()


@contextmanager
def options_typed(names: Collection[str]) -> Iterator[None]:
    """Within the block, the options of these parameters have precedence over the settings files."""
    token = _typed_options.set(frozenset(names))
    try:
        yield
    finally:
        _typed_options.reset(token)


def check_settings(settings: SettingValues | None, flow: str) -> SettingValues:
    """The settings with values of their fields' types, as JSON holds them.

    Raises:
        UsageError: the flow has no such field, or a value is out of range or contradicts another.
    """
    checked = {name: _known(name, flow).read(value) for name, value in (settings or {}).items()}
    for group in {name.partition(".")[0] for name in checked}:
        if all(one.default is not MISSING for one in fields(_class(group))):
            changed(_class(group)(), group, checked)
    return {name: list(one) if isinstance(one, tuple) else one for name, one in checked.items()}


def changed(base: Values, group: str, settings: Mapping[str, Any] | None) -> Values:
    """A copy of the settings object with the values that `settings` has for its group."""
    known = setting_fields(group)
    mine = {name.partition(".")[2]: one for name, one in (settings or {}).items() if name.startswith(f"{group}.")}
    return replace(base, **{name: known[name].read(one) for name, one in mine.items()}) if mine else base


def of_flow(settings: Mapping[str, Any] | None, flow: str) -> SettingValues:
    """The settings that a flow takes, of those of a pipeline or a service."""
    return {name: one for name, one in (settings or {}).items() if flow in GROUPS[name.partition(".")[0]].flows}


def _known(name: str, flow: str) -> SettingField:
    group, _, field = name.partition(".")
    if group in GROUPS and field in setting_fields(group):
        if flow in GROUPS[group].flows:
            return setting_fields(group)[field]
        raise UsageError(f"{name} is not a setting of {flow}, but of {', '.join(GROUPS[group].flows)}")
    groups = [group] if group in GROUPS else [one for one in GROUPS if flow in GROUPS[one].flows and one != "train"]
    names = [f"{one}.{each}" for one in groups for each in setting_fields(one)]
    near = get_close_matches(name, names, 1, 0.5)
    meant = f" Did you mean {near[0]}?" if near else ""
    raise UsageError(f"there is no setting {name}.{meant} `facemill settings {flow}` lists those of {flow}")


def _class(group: str) -> Any:
    module, _, name = GROUPS[group].home.partition(":")
    return getattr(import_module(module), name)


def _field(group: str, field: Field[Any], hint: Any) -> SettingField:
    about = field.metadata[SETTING]
    parts = get_args(hint) if get_origin(hint) is tuple else ()
    numbers = {"allow_inf_nan": False, **about["limits"]}
    kind: Any = tuple[tuple(_limited(one, numbers) for one in parts)] if parts else _limited(hint, numbers)  # type: ignore[misc]
    return SettingField(
        name=f"{group}.{field.name}",
        kind=type_words(hint) + _range(about["limits"]),
        default=field.default,
        text=about["text"],
        parser=TypeAdapter(kind),
        is_tuple=bool(parts),
    )


def _limited(hint: Any, limits: dict[str, Any]) -> Any:
    if hint is float:
        return Annotated[float, Limits(**limits)]
    return (
        Annotated[int, Limits(**{name: one for name, one in limits.items() if name != "allow_inf_nan"})]
        if hint is int
        else hint
    )


def type_words(hint: Any) -> str:
    """A type in the words of the command line: `int`, `float,float`, `cpu|cuda`."""
    if get_origin(hint) is tuple:
        return ",".join(type_words(one) for one in get_args(hint))
    if get_origin(hint) is list:
        return "list"
    if get_origin(hint) is Literal:
        return "|".join(map(str, get_args(hint)))
    known = {type(None): "none", SecretStr: "secret"}
    return "|".join(type_words(one) for one in get_args(hint)) or known.get(hint, hint.__name__)


def _range(limits: Mapping[str, float]) -> str:
    match limits:
        case {"ge": low, "le": high}:
            return f", {_number(low)} to {_number(high)}"
        case _:
            signs = {"ge": "at least", "gt": "above", "le": "at most"}
            return "".join(f", {signs[name]} {_number(one)}" for name, one in limits.items())


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def shown_default(default: Any) -> str:
    """A default in the form that `--set` takes."""
    if isinstance(default, tuple):
        return ",".join(map(str, default))
    return default if isinstance(default, str) else json.dumps(default)
