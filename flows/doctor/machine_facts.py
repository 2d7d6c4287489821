"""Facts about this machine and this installation, for `machine_checks`."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import socket
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from multiprocessing import Semaphore
from pathlib import Path

from packaging.requirements import Requirement

from flows.configuration.setting_files import settings_files
from flows.configuration.settings import load_settings
from flows.service.password import OF_CLIENTS, OF_SERVER, password_path
from storage.errors import UsageError

_RESOLVER = Path("/etc/resolv.conf")


@dataclass(frozen=True, slots=True)
class Package:
    """A package that this project requires: the versions it allows, and the installed one (None: not installed)."""

    name: str
    allowed: str
    found: str | None


@dataclass(frozen=True, slots=True)
class Installation:
    """The Python version, the ones allowed, and the required packages. Both are empty if facemill is not installed."""

    python: str
    allowed: str
    packages: tuple[Package, ...]


@dataclass(frozen=True, slots=True)
class SettingsFound:
    """The settings files that exist, and why the settings cannot be used (empty: they can)."""

    files: tuple[str, ...]
    error: str


@dataclass(frozen=True, slots=True)
class PasswordFile:
    """The password file; `mode` is None where there is none. `variable` names what gives the password in its place."""

    path: str
    mode: int | None
    is_own: bool
    variable: str = ""


@dataclass(frozen=True, slots=True)
class Resolver:
    """The addresses of `localhost` as the system resolves them, and the number of name servers that are set."""

    addresses: tuple[str, ...]
    error: str
    num_servers: int


@dataclass(frozen=True, slots=True)
class Gpu:
    """Whether NVIDIA's tools are installed, and whether torch finds a device."""

    has_tools: bool
    is_found: bool


def installation() -> Installation:
    """Python and the packages, against what the installed project asks for. Extras are not looked at."""
    try:
        own = distribution("facemill")
    except PackageNotFoundError:
        return Installation(platform.python_version(), "", ())
    wanted = [Requirement(text) for text in own.requires or []]
    asked = [one for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
    packages = tuple(Package(one.name, str(one.specifier), _version(one.name)) for one in asked)
    return Installation(platform.python_version(), str(own.metadata["Requires-Python"] or ""), packages)


def _version(name: str) -> str | None:
    try:
        return distribution(name).version
    except PackageNotFoundError:
        return None


def settings_found() -> SettingsFound:
    """Whether the environment and the settings files can be used."""
    files = tuple(str(file) for file in settings_files() if file.path.exists())
    try:
        load_settings()
    except UsageError as error:
        return SettingsFound(files, str(error))
    return SettingsFound(files, "")


def password_file(environment: Mapping[str, str], named: str) -> PasswordFile:
    """The password file of this user's service.

    Args:
        named: the setting `password_file`.
    """
    path = password_path(environment, named)
    variable = next((name for name in (OF_SERVER, OF_CLIENTS) if environment.get(name)), "")
    try:
        found = path.stat()
    except OSError:
        return PasswordFile(str(path), None, is_own=True, variable=variable)
    return PasswordFile(str(path), stat.S_IMODE(found.st_mode), found.st_uid == os.getuid(), variable)


def resolver(conf: Path = _RESOLVER) -> Resolver:
    """Resolve `localhost`, and no other name: a query for a host of a list would tell the name server about it."""
    try:
        lines = conf.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    num_servers = sum(line.split()[:1] == ["nameserver"] for line in lines)
    try:
        found = socket.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)
    except OSError as error:
        return Resolver((), str(error.strerror or error), num_servers)
    return Resolver(tuple(sorted({str(address[0]) for *_, address in found})), "", num_servers)


def open_files() -> int:
    """The number of files that a process of this user may have open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def semaphore_error() -> str:
    """Why no semaphore can be made, as the pools of processes need; empty if one can. It is removed at once."""
    try:
        Semaphore()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def gpu() -> Gpu:
    """Whether this machine has a GPU, and torch finds it."""
    from model.devices.cuda import has_cuda  # noqa: PLC0415 - imports torch

    return Gpu(shutil.which("nvidia-smi") is not None, has_cuda())
