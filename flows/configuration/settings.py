"""All settings that are read from the environment and from the settings files (`flows.configuration.setting_files`)."""

from __future__ import annotations

import getpass
import os
import sys
import tomllib
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from flows.configuration.proxies import unusable_proxies, without_proxy_for_loopback
from flows.configuration.setting_files import settings_files
from flows.configuration.setting_sources import PREFIX, FileSource, origin, set_origin, variable
from flows.service.password import OF_CLIENTS, prefect_home, read_password
from storage.errors import UsageError
from storage.text.names import visible

# Together these take 0.2 CPU-s to import, which commands that only read a lake do not need.
if TYPE_CHECKING:
    from tasks.faces.detectors import DetectorSettings
    from tasks.maintenance.prune.policy import Policy
    from tasks.web.addresses import Network
    from tasks.web.limits import FetchLimits

Device = Literal["auto", "cpu", "cuda"]
LogStyle = Literal["bar", "json"]
Access = Literal["private", "group"]
Share = Annotated[float, Field(ge=0, le=1)]


class Settings(BaseSettings):
    """Read from environment variables named FACEMILL_<NAME>, for example FACEMILL_PER_HOST=2, then from the files."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    lake: str = Field("./lake", description="default of --lake")
    contact: str = Field("", description="contact URL or email address in the User-Agent header")
    concurrency: int = Field(128, ge=1, description="concurrent requests")
    per_host: int = Field(4, ge=1, description="concurrent requests to one host")
    per_host_per_s: float = Field(20.0, gt=0, description="requests per second to one host")
    connect_s: float = Field(10.0, gt=0, description="connect timeout in seconds")
    silence_s: float = Field(15.0, gt=0, description="read timeout in seconds, before the first byte and between bytes")
    total_s: float = Field(60.0, gt=0, description="total timeout per picture in seconds")
    allow_private: list[str] = Field([], description="private networks that requests may be sent to (JSON list)")
    robots: bool = Field(False, description="whether robots.txt is fetched and obeyed")
    bad_certificates: bool = Field(
        False,
        description="whether to accept pictures from hosts with an expired or mismatched certificate; their rows have "
        "the note bad_certificate",
    )
    archive_url: str = Field(
        "",
        description="for `facemill retry --archive-fallback`: URL template of a web archive's raw copies, with {url} "
        "for the link: https://web.archive.org/web/2014id_/{url}",
    )
    log: LogStyle = Field("bar", description="progress on the terminal: a bar, or JSON lines on the error stream")
    units_at_once: int = Field(4, ge=1, description="units fetched concurrently")
    lease_s: float = Field(
        60.0, ge=1, description="seconds without renewal after which another run may take over a run's units and hosts"
    )
    access: Access = Field(
        "private",
        description="access to written files: `private`, user only; `group`, group too",
    )
    workers: int = Field(0, ge=0, description="processes that detect and crop; 0: one per core")
    min_face_px: int = Field(40, ge=20, description="minimum face size of the detector, in pixels of the picture")
    keep_last: int = Field(
        0,
        ge=0,
        description="policy of `facemill prune`: the newest versions of each dataset and model to keep; 0: no such "
        "limit. Without this and FACEMILL_KEEP_WITHIN everything is kept",
    )
    keep_within: str = Field(
        "",
        pattern="^([1-9][0-9]{0,4}[hdw])?$",
        description="policy of `facemill prune`: the age up to which everything is kept, such as 12h, 30d or 4w",
    )
    database_url: SecretStr = Field(
        SecretStr(""),
        description="PostgreSQL for the server of `facemill serve`: postgresql://user:password@host:5432/name",
    )
    redis_url: SecretStr = Field(
        SecretStr(""),
        description="Redis for several servers of `facemill serve`: redis://host:6379/0",
    )
    password_file: str = Field(
        "",
        description="file with the password of Prefect's API; empty: `facemill-password` in PREFECT_HOME, created by "
        "`facemill serve`",
    )
    server_names: list[str] = Field(
        [], description="further host names of the server of `facemill serve`, besides its --host (JSON list)"
    )
    notify: str = Field(
        "",
        description="notification block of Prefect, `type/name`, by which `facemill serve` tells people of failures",
    )
    notify_disk_days: float = Field(
        7.0, gt=0, description="days that the disk must last at the rate of the last day; below that people are told"
    )
    notify_backlog: int = Field(
        10_000, ge=1, description="links by which the retry backlog may grow within a day; then people are told"
    )

    # Last: below, `set` is this field.
    set: dict[str, bool | int | float | str | list[float] | None] = Field(
        {}, description="fields of --set by name, such as select.min_sharpness (JSON object); the table [set] of a file"
    )

    @classmethod
    def settings_customise_sources(  # noqa: D102 - pydantic-settings'
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, *(FileSource(settings_cls, file) for file in settings_files())

    def fetch_limits(self) -> FetchLimits:
        """Request limits of one process."""
        from tasks.web.limits import FetchLimits  # noqa: PLC0415

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
        """Settings of the face detector."""
        from tasks.faces.detectors import DetectorSettings  # noqa: PLC0415

        return DetectorSettings(min_face_px=self.min_face_px)

    def policy(
        self, keep_last: int | None = None, keep_within: str | None = None, *, even_lineage: bool = False
    ) -> Policy:
        """The policy of `facemill prune`; a given limit takes precedence over the setting.

        Raises:
            UsageError: a limit is out of range.
        """
        from tasks.maintenance.prune.policy import Policy  # noqa: PLC0415

        return Policy(keep_last or self.keep_last or None, keep_within or self.keep_within, even_lineage)

    def num_workers(self) -> int:
        """Number of processes that detect and crop."""
        return self.workers or os.cpu_count() or 1


def user_name() -> str:
    """The user's name for recorded decisions, or the user id if there is no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def load_settings() -> Settings:
    """Load the settings from the environment and the files.

    Raises:
        UsageError: a variable or a line of a file has an invalid value.
    """
    try:
        return Settings()
    except ValidationError as error:
        raise UsageError(_invalid(error)) from error
    except SettingsError as error:
        raise UsageError(f"an environment variable {PREFIX}... must be JSON: {error}") from error


def _invalid(error: ValidationError) -> str:
    first = error.errors()[0]
    name = str(first["loc"][0])
    if name == "set" and len(first["loc"]) > 1:
        field = str(first["loc"][1])
        kinds = "a number, a text, true, false, or a list of numbers"
        return f"{set_origin(field)}: {visible(field)}={first['input']!r} is invalid: a field of --set takes {kinds}"
    shown = "" if Settings.model_fields[name].annotation is SecretStr else f"={first['input']!r}"
    place = origin(name)
    if place == variable(name):
        return f"the environment variable {place}{shown} is invalid: {first['msg']}"
    return f"{place}: {name}{shown} is invalid: {first['msg']}"


def choose_log(style: LogStyle) -> None:
    """Set the progress style for this process and its children."""
    os.environ["FACEMILL_LOG"] = style


def tame_libraries(*, verbose: bool, is_service: bool = False) -> None:
    """Change library defaults through the environment; must be called before the libraries are imported.

    Prefect: no telemetry, no prompts, no proxy to its own server, and no log on the terminal (the server still gets
    it). Torch: no spinning of idle threads, which doubles the CPU time on busy cores.

    Without PREFECT_API_URL a command runs its flows without a server (`flows.runs.engine`), and Prefect may start none.

    Args:
        verbose: show Prefect's log.
        is_service: the process starts a server or workers itself, and sets their environment.
    """
    defaults = {
        "OMP_WAIT_POLICY": "PASSIVE",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_CLI_PROMPT": "false",
        "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "INFO" if verbose else "CRITICAL",
    }
    os.environ.update({name: value for name, value in defaults.items() if name not in os.environ})
    api = api_in_use(os.environ)
    _leave_out_proxies(api)
    if is_service:
        return
    if api:
        os.environ.update(of_given_server(os.environ, api))


def api_in_use(environment: Mapping[str, str]) -> str:
    """PREFECT_API_URL from the environment or the active Prefect profile; empty if there is none."""
    return in_use(environment, "PREFECT_API_URL")


def in_use(environment: Mapping[str, str], name: str) -> str:
    """A Prefect setting from the environment or the active profile; empty if there is none."""
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


def _leave_out_proxies(api: str) -> None:
    os.environ.update(without_proxy_for_loopback(os.environ, api))
    for name in unusable_proxies(os.environ):
        del os.environ[name]
        sys.stderr.write(f"facemill: {name} is ignored: only http and https proxies are supported\n")
