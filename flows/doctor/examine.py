"""All checks of `facemill doctor`, in the order in which they are shown."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from flows.configuration.settings import Settings, load_settings
from flows.doctor import lake_checks, lake_facts, machine_checks, machine_facts, service_checks, service_facts
from flows.doctor.verdict import Verdict
from storage.errors import UsageError


def examine(url: str | None, port: int, metrics_port: int, environment: Mapping[str, str]) -> list[Verdict]:
    """Check this machine, the lake and the service. Nothing is changed.

    Args:
        url: the lake; None: the one of the settings.
        port: of the server of `facemill serve`; used if the environment names no server.
        metrics_port: of the metrics of `facemill serve`.
        environment: of this process.
    """
    settings = _usable_settings()
    named_file = settings.password_file
    lake = url if url is not None else settings.lake
    found = lake_facts.look_at_lake(lake)
    service = service_facts.look_at_service(environment, port, named_file)
    ports = [
        service_facts.look_at_port(port, "server", "/api/health", "true"),
        service_facts.look_at_port(metrics_port, "metrics", "/metrics", "# HELP facemill_"),
    ]
    now = datetime.now(UTC)
    return [
        *_machine(settings, environment, named_file),
        *map(lake_checks.check_disk, lake_facts.disks(lake, environment)),
        lake_checks.check_lake(found),
        lake_checks.check_clock(found, now),
        *map(service_checks.check_port, ports),
        *service_checks.check_service(service, ports[1], now),
    ]


def _machine(settings: Settings, environment: Mapping[str, str], named_file: str) -> list[Verdict]:
    installed = machine_facts.installation()
    return [
        machine_checks.check_python(installed),
        machine_checks.check_packages(installed),
        machine_checks.check_settings(machine_facts.settings_found()),
        machine_checks.check_open_files(machine_facts.open_files(), settings.concurrency),
        machine_checks.check_semaphores(machine_facts.semaphore_error()),
        machine_checks.check_resolver(machine_facts.resolver()),
        machine_checks.check_password_file(machine_facts.password_file(environment, named_file)),
        machine_checks.check_gpu(machine_facts.gpu()),
    ]


def _usable_settings() -> Settings:
    """The settings, or their defaults where they cannot be used, which is a finding of its own."""
    try:
        return load_settings()
    except UsageError:
        return Settings.model_construct()
