"""One object for everything the environment may set; nothing else reads the environment."""

from __future__ import annotations

import getpass
import os
import sys
import tomllib
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from flows.proxies import unusable_proxies, without_proxy_for_loopback
from flows.service.password import OF_CLIENTS, new_password, prefect_home, read_password
from storage.errors import UsageError
from tasks.faces.detectors import DetectorSettings
from tasks.web.addresses import Network
from tasks.web.http import FetchLimits

Device = Literal["auto", "cpu", "cuda"]
LogStyle = Literal["bar", "json"]
Access = Literal["private", "group"]


class Settings(BaseSettings):
    """Read from variables named FACEMILL_<NAME>, for instance FACEMILL_PER_HOST=2."""

    model_config = SettingsConfigDict(env_prefix="FACEMILL_", frozen=True)

    lake: str = Field("./lake", description="the lake used when --lake is not given")
    contact: str = Field("", description="a URL or mail address shown to the hosts asked, in the User-Agent")
    concurrency: int = Field(128, ge=1, description="requests at a time")
    per_host: int = Field(4, ge=1, description="requests at a time to one host")
    per_host_per_s: float = Field(20.0, gt=0, description="requests a second to one host")
    connect_s: float = Field(10.0, gt=0, description="seconds a host may take to accept a connection")
    silence_s: float = Field(
        15.0, gt=0, description="seconds a host may be silent, before its first byte or between two"
    )
    total_s: float = Field(60.0, gt=0, description="seconds one picture may take in all")
    allow_private: list[str] = Field(
        [], description="networks that may be asked though they are not public (JSON list)"
    )
    robots: bool = Field(False, description="whether each host's robots.txt is asked for and obeyed")
    bad_certificates: bool = Field(
        False,
        description="whether pictures are taken from hosts whose certificate has expired or is not their own; their "
        "rows bear the note bad_certificate",
    )
    archive_url: str = Field(
        "",
        description="for `facemill retry --archive-fallback`: a web archive's URL of a raw copy, {url} for the link: "
        "https://web.archive.org/web/2014id_/{url}",
    )
    log: LogStyle = Field("bar", description="progress on the terminal: a bar, or JSON lines on the error stream")
    units_at_once: int = Field(4, ge=1, description="units fetched side by side")
    lease_s: float = Field(
        60.0, ge=1, description="seconds after which the unit of a run that has fallen silent may be done by another"
    )
    access: Access = Field(
        "private",
        description="who may use what facemill writes: `private`, its user alone; `group`, the group too",
    )
    workers: int = Field(0, ge=0, description="processes that detect and crop; 0: one a core")
    min_face_px: int = Field(
        40, ge=20, description="the smallest face the detector looks for, in pixels of the picture"
    )
    database_url: SecretStr = Field(
        SecretStr(""),
        description="PostgreSQL for the server of `facemill serve`: postgresql://user:password@host:5432/name",
    )
    redis_url: SecretStr = Field(
        SecretStr(""),
        description="Redis for the server of `facemill serve`, where there are several: redis://host:6379/0",
    )

    password_file: str = Field(
        "",
        description="file with the password of Prefect's API; empty: `facemill-password` in PREFECT_HOME, made by "
        "`facemill serve`",
    )
    server_names: list[str] = Field(
        [], description="names by which the server of `facemill serve` may be reached, beside its --host (JSON list)"
    )

    def fetch_limits(self) -> FetchLimits:
        """The limits of one process's requests."""
        return FetchLimits(
            connect_s=self.connect_s,
            silence_s=self.silence_s,
            total_s=self.total_s,
            concurrency=self.concurrency,
            per_host=self.per_host,
            per_host_per_s=self.per_host_per_s,
            robots=self.robots,
            bad_certificates=self.bad_certificates,
        )

    def networks(self) -> tuple[Network, ...]:
        """The networks of `allow_private`."""
        return tuple(ip_network(text, strict=False) for text in self.allow_private)

    def detector(self) -> DetectorSettings:
        """How faces are looked for."""
        return DetectorSettings(min_face_px=self.min_face_px)

    def num_workers(self) -> int:
        """How many processes detect and crop."""
        return self.workers or os.cpu_count() or 1


def user_name() -> str:
    """Who runs this, for what is recorded of decisions; a user without a name goes by their number."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def load_settings() -> Settings:
    """The settings of this environment.

    Raises:
        UsageError: a variable holds what it may not.
    """
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = f"FACEMILL_{'_'.join(str(part) for part in first['loc'][:1]).upper()}"
        raise UsageError(f"the environment variable {name}={first['input']!r} will not do: {first['msg']}") from error


def choose_log(style: LogStyle) -> None:
    """Make this the setting of the process and of those it starts."""
    os.environ["FACEMILL_LOG"] = style


def set_umask() -> None:
    """Close to others what this process and those it starts write, and to the group unless FACEMILL_ACCESS opens it.

    A lake that is made takes the group's rights from it (`Lake.begin`).
    """
    try:
        access = load_settings().access
    except UsageError:
        access = "private"  # the command itself reports what is wrong
    os.umask(0o007 if access == "group" else 0o077)


def tame_libraries(*, verbose: bool, is_service: bool = False) -> None:
    """Set what libraries should not do unasked; to be called before they are imported.

    Prefect: phone home, ask questions on the terminal, reach its own server through a proxy, and show its log on the
    terminal (the server gets it all the same). Torch: let idle threads spin, which on busy cores costs as much again.

    Without PREFECT_API_URL a command has a small Prefect server of its own. It gets a password and a database that no
    other server has, so that nobody can reach the service's runs through it.

    Args:
        verbose: show Prefect's log.
        is_service: the process starts a server or workers itself, and sets what these need.
    """
    defaults = {
        "OMP_WAIT_POLICY": "PASSIVE",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_CLI_PROMPT": "false",
        # A server that Prefect starts itself takes 5 s, and on a busy machine more than the 20 s it is given.
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "INFO" if verbose else "CRITICAL",
    }
    os.environ.update({name: value for name, value in defaults.items() if name not in os.environ})
    api = api_in_use(os.environ)
    _leave_out_proxies(api)
    if is_service:
        return
    if api:
        os.environ.update(of_given_server(os.environ, api))
    else:
        os.environ.update(of_own_server(os.environ))


def api_in_use(environment: Mapping[str, str]) -> str:
    """The PREFECT_API_URL of the environment, or of the profile of Prefect's that is in use; empty if there is none."""
    return in_use(environment, "PREFECT_API_URL")


def in_use(environment: Mapping[str, str], name: str) -> str:
    """A setting of Prefect's in the environment, or in the profile that is in use; empty if it is in neither."""
    if value := environment.get(name):
        return value
    home = prefect_home(environment)
    try:
        known = tomllib.loads(Path(environment.get("PREFECT_PROFILES_PATH") or home / "profiles.toml").read_text())
    except (OSError, ValueError):
        return ""
    profile = known.get("profiles", {}).get(environment.get("PREFECT_PROFILE") or known.get("active"), {})
    return str(profile.get(name, ""))


def of_given_server(environment: Mapping[str, str], api: str) -> dict[str, str]:
    """The variables of a client of a server that somebody else started; the password is left out where none is set.

    Raises:
        UsageError: the file that FACEMILL_PASSWORD_FILE names holds none.
    """
    file = load_settings().password_file
    password = in_use(environment, OF_CLIENTS) or (read_password(Path(file).expanduser()) if file else "")
    return {"PREFECT_API_URL": api} | ({OF_CLIENTS: password} if password else {})


def of_own_server(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of a server for one command alone, and of its clients."""
    password = new_password()
    database = prefect_home(environment).absolute() / "facemill-commands.db"
    return {
        "PREFECT_SERVER_API_AUTH_STRING": password,
        "PREFECT_API_AUTH_STRING": password,
        # It has no pages, so no page may read its answers.
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": "",
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{database}",
    }


def _leave_out_proxies(api: str) -> None:
    os.environ.update(without_proxy_for_loopback(os.environ, api))
    for name in unusable_proxies(os.environ):
        del os.environ[name]
        sys.stderr.write(f"facemill: {name} is not used: only proxies of the kinds http and https can be\n")
