"""What a server is told of its engines, and who is not; `tests/scale` starts them."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from flows.service import work
from flows.service.backing_services import BackingServices
from storage.errors import ServiceError, UsageError


def test_without_engines_the_server_keeps_its_own() -> None:
    assert BackingServices().variables() == {}


def test_a_database_is_reached_by_the_driver_that_prefect_wants() -> None:
    told = BackingServices("postgres://mill:secret@db:5432/prefect").variables()
    assert told == {"PREFECT_SERVER_DATABASE_CONNECTION_URL": "postgresql+asyncpg://mill:secret@db:5432/prefect"}


@pytest.mark.parametrize("url", ["mysql://mill:secret@db/prefect", "mill:secret@db"])
def test_a_url_that_will_not_do_is_refused_and_not_shown(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEMILL_DATABASE_URL", url)
    refused = CliRunner().invoke(app, ["serve", "--port", "4999", "--metrics-port", "4998"])
    assert refused.exit_code == 2
    assert "FACEMILL_DATABASE_URL must start with postgresql://" in refused.stderr
    assert "secret" not in refused.output


def test_a_piece_of_the_password_that_looks_like_a_port_is_not_shown() -> None:
    with (
        pytest.raises(UsageError, match="must be a URL such as") as refused,
        BackingServices("postgresql://mill:zz/top@db/x").starting_alone(),
    ):
        pass
    assert "zz" not in str(refused.value)


def test_a_database_that_is_not_there_ends_the_service_in_a_line() -> None:
    with (
        pytest.raises(ServiceError, match="cannot be used"),
        BackingServices("postgresql://mill@127.0.0.1:9/x").starting_alone(),
    ):
        pass


def test_workers_and_their_runs_do_not_see_where_the_engines_are(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FACEMILL_DATABASE_URL", "FACEMILL_REDIS_URL"):
        monkeypatch.setenv(name, "postgresql://mill:secret@db/prefect")
    seen = work.runs_environment("http://127.0.0.1:4200/api", "facemill:word")
    assert "secret" not in " ".join(seen.values())
