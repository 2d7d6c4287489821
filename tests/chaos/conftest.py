"""Runs of their own, with a database of their own."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def calm_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the slow answers of a made world need, and one process that crops."""
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect-of-commands"))
    # On a machine that does much else, a command's own server starts slowly.
    monkeypatch.setenv("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "900")
    monkeypatch.setenv("FACEMILL_SILENCE_S", "4")
    monkeypatch.setenv("FACEMILL_TOTAL_S", "15")
    monkeypatch.setenv("FACEMILL_WORKERS", "1")
