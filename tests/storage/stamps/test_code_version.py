from __future__ import annotations

from pathlib import Path

import pytest

from storage.stamps.code_version import code_version, revision

COMMIT, OTHER = "a" * 40, "b" * 40


def repository(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return folder


@pytest.mark.parametrize(
    "files",
    [
        {".git/HEAD": COMMIT},
        {".git/HEAD": "ref: refs/heads/main", ".git/refs/heads/main": COMMIT},
        {
            ".git/HEAD": "ref: refs/heads/main",
            ".git/packed-refs": f"# pack-refs\n{OTHER} refs/x\n{COMMIT} refs/heads/main",
        },
        {".git": "gitdir: its", "its/HEAD": "ref: refs/heads/b", "its/commondir": "../all", "all/refs/heads/b": COMMIT},
    ],
    ids=["detached", "branch", "packed", "linked"],
)
def test_the_commit_that_is_checked_out_is_read_from_git_s_own_files(tmp_path, files):
    assert revision(repository(tmp_path, files)) == COMMIT


@pytest.mark.parametrize("files", [{}, {".git/HEAD": "ref: refs/heads/unborn"}])
def test_where_nothing_is_checked_out_there_is_no_commit(tmp_path, files):
    assert revision(repository(tmp_path, files)) is None


def test_the_code_is_told_by_version_and_by_what_its_files_hold():
    found = code_version()

    assert str(found["facemill"]).count(".") == 2
    assert len(str(found["sources"])) == 16
