"""The settings files: their order, what they may hold, and errors of one line that name the file."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from flows.cli.app import app
from flows.cli.options import MinFaceOption, SetOption, reporting
from flows.configuration.setting_files import FILE, NOT_OF_FOLDER, access, is_trusted, user_path
from flows.configuration.setting_groups import OPTIONS, SettingValues, read_settings, setting_fields
from flows.configuration.settings import Settings, load_settings
from flows.service.work import runs_environment
from storage.errors import UsageError

runner = CliRunner()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder, and a folder for the user's configurations."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    user_path().parent.mkdir(parents=True)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def write(folder: Path, text: str) -> Path:
    (folder / "facemill.toml").write_text(text)
    return folder / "facemill.toml"


def test_the_folder_has_precedence_over_the_user_and_the_environment_over_both(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_path().write_text('per_host = 1\nconcurrency = 10\nunits_at_once = 3\ncontact = "mailto:a@example.org"\n')
    write(folder, "per_host = 2\nconcurrency = 20\n")
    monkeypatch.setenv("FACEMILL_PER_HOST", "7")
    found = load_settings()
    assert (found.per_host, found.concurrency, found.units_at_once, found.contact) == (7, 20, 3, "mailto:a@example.org")
    assert found.connect_s == Settings.model_fields["connect_s"].default


def test_the_tables_of_fields_are_merged_in_the_same_order(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user_path().write_text("[set]\nselect.min_faces = 3\nselect.min_score = 0.5\nselect.max_yaw_deg = 30\n")
    write(folder, "[set.select]\nmin_score = 0.6\nmax_yaw_deg = 40\n[set.train]\nsteps = 7\n")
    monkeypatch.setenv("FACEMILL_SET", '{"select.max_yaw_deg": 50}')
    wanted = {"select.min_faces": 3, "select.min_score": 0.6, "select.max_yaw_deg": 50.0}
    assert read_settings(None, "publish") == wanted
    assert read_settings(["select.min_faces=9"], "publish") == wanted | {"select.min_faces": 9}
    assert read_settings(None, "train") == {"train.steps": 7}


def typed(*arguments: str) -> SettingValues:
    """The settings that a command with the option --min-face gets."""
    seen: list[SettingValues] = []

    @reporting
    def command(*, min_face: MinFaceOption = 100, values: SetOption = None) -> None:
        seen.append(read_settings(values, "publish"))

    single = typer.Typer()
    single.command()(command)
    assert runner.invoke(single, list(arguments)).exit_code == 0
    return seen[0]


def test_an_option_that_is_typed_has_precedence_over_the_field_of_a_file(folder: Path) -> None:
    write(folder, "[set]\nselect.min_face_px = 60\n")
    assert typed() == {"select.min_face_px": 60}
    assert typed("--min-face", "100") == {}
    assert typed("--set", "select.min_face_px=80") == {"select.min_face_px": 80}


def test_every_field_with_an_option_exists() -> None:
    for name in OPTIONS:
        group, _, field = name.partition(".")
        assert field in setting_fields(group)


def test_fields_that_do_not_apply_to_a_run_are_left_out(folder: Path) -> None:
    write(folder, "[set]\nclean.wrong_share = 0.1\nselect.min_faces = 3\n")
    assert read_settings(None, "publish", not_of_files=("clean", "cleaning")) == {"select.min_faces": 3}
    assert set(read_settings(None, "publish")) == {"clean.wrong_share", "select.min_faces"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("per_hots = 2", "there is no setting per_hots. Did you mean per_host?"),
        ("per_host = 'two'", "per_host='two' is invalid: Input should be a valid integer"),
        ("per_host = 0", "per_host=0 is invalid: Input should be greater than or equal to 1"),
        ("lease_s = nan", "lease_s=nan is invalid"),
        ("log = 'loud'", "log='loud' is invalid"),
        ("contact = ['a']", "contact=['a'] is invalid"),
        ("select.min_faces = 3", "fields of --set belong into the table [set]"),
        ("set = 3", "set=3 is invalid"),
        (
            "[set]\nselect.min_sharpnes = 1",
            "there is no setting select.min_sharpnes. Did you mean select.min_sharpness?",
        ),
        ("[set]\nmagic = 1", "there is no setting magic"),
        ("[set]\nselect.min_faces = 'x'", "select.min_faces=x is invalid: it should be a valid integer"),
        ("[set]\nselect.min_faces = 0", "it takes int, at least 1"),
        ("[set]\nselect.min_faces = {a = 1}", "a field of --set takes a number"),
        ("[set]\nselect.min_faces = 1979-01-01", "a field of --set takes a number"),
        ("per_host =", "cannot be read: Invalid value (at line 1, column 11)"),
        ('"\\u001b[2J" = 1', "there is no setting \\x1b[2J."),
    ],
)
def test_what_a_file_gets_wrong_is_one_line_with_the_file_the_name_and_the_limit(
    folder: Path, text: str, told: str
) -> None:
    path = write(folder, text + "\n")
    with pytest.raises(UsageError, match=re.escape(told)) as error:
        read_settings(None, "publish")
    assert str(path) in str(error.value)
    assert str(error.value).isprintable()


@pytest.mark.attack(21)
@pytest.mark.parametrize("name", NOT_OF_FOLDER)
def test_a_folder_sets_nothing_that_opens_the_machine_or_removes_data(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    values: dict[str, Any] = {"allow_private": ["10.0.0.0/8"], "server_names": ["x"], "bad_certificates": True}
    values |= {"keep_last": 1, "keep_within": "1d", "access": "group"}
    line = f"{name} = {json.dumps(values.get(name, 'x'))}\n"
    path = write(folder, line)
    with pytest.raises(UsageError, match=f"{name} cannot be set by the file of a folder, because it ") as error:
        load_settings()
    assert str(user_path()) in str(error.value)
    monkeypatch.setenv(FILE, str(path))
    with pytest.raises(UsageError, match="cannot be set by the file of a folder"):
        load_settings()
    monkeypatch.delenv(FILE)
    (folder / "other").mkdir()
    monkeypatch.chdir(folder / "other")
    user_path().write_text(line)
    assert getattr(load_settings(), name) != Settings.model_fields[name].default


@pytest.mark.attack(21)
def test_consent_and_the_address_of_requests_are_no_settings() -> None:
    assert not {"yes", "allow_outside", "connect_to"} & Settings.model_fields.keys()


@pytest.mark.attack(21)
@pytest.mark.parametrize(("owner", "user", "is_used"), [(7, 7, True), (0, 7, True), (8, 7, False), (8, 0, False)])
def test_the_file_of_another_user_is_not_used(owner: int, user: int, is_used: bool) -> None:
    assert is_trusted(owner, user) is is_used


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused_in_one_line(folder: Path) -> None:
    os.chown(write(folder, "per_host = 9\n"), 12345, -1)
    with pytest.raises(UsageError, match="belongs to another user"):
        load_settings()


def test_a_process_reads_a_file_once(folder: Path) -> None:
    write(folder, "per_host = 2\n")
    assert load_settings().per_host == 2
    write(folder, "per_host = 3\n")
    assert load_settings().per_host == 2


def test_the_runs_of_a_service_read_the_file_of_its_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert FILE not in runs_environment("http://127.0.0.1:4200/api", "a:b")
    path = write(folder, "per_host = 2\n")
    environment = runs_environment("http://127.0.0.1:4200/api", "a:b")
    assert environment[FILE] == str(path)
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    monkeypatch.setenv(FILE, environment[FILE])
    assert load_settings().per_host == 2


def test_a_named_file_that_is_not_there_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FILE, str(folder / "none.toml"))
    with pytest.raises(UsageError, match=f"there is no settings file .*none.toml, which {FILE} names"):
        load_settings()


def test_a_variable_that_is_not_json_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEMILL_SET", "select.min_faces=3")
    with pytest.raises(UsageError, match="must be JSON"):
        load_settings()


def test_the_access_of_new_files_is_known_before_the_settings_are_imported(folder: Path) -> None:
    user_path().write_text('access = "group"\n')
    assert access() == load_settings().access == "group"
    assert access({"FACEMILL_ACCESS": "private"}) == "private"


def test_every_setting_is_shown_with_its_value_and_where_it_comes_from(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(folder, "per_host = 2\n[set]\nselect.min_sharpness = 100\n")
    user_path().write_text('database_url = "postgresql://me:s3cret@db.example/x"\nunits_at_once = 3\n')
    monkeypatch.setenv("FACEMILL_CONCURRENCY", "9")
    told = runner.invoke(app, ["settings"]).stdout
    lines = told.splitlines()
    assert lines[:2] == [f"file     {path}", f"file     {user_path()}"]
    assert f"  per_host=2  (int; default 4, set by {path})" in lines
    assert f"  units_at_once=3  (int; default 4, set by {user_path()})" in lines
    assert "  concurrency=9  (int; default 128, set by FACEMILL_CONCURRENCY)" in lines
    assert "  connect_s=10.0  (float)" in lines
    assert f"  select.min_sharpness=100.0  (float, at least 0; default 0.0, set by {path})" in lines
    assert f"  database_url=**********  (secret; default none, set by {user_path()})" in lines
    assert "s3cret" not in told + runner.invoke(app, ["settings", "--json"]).stdout
