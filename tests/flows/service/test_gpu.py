"""What a machine's GPUs do, told by a program that answers as the driver's."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from flows.service.gpu import GpuUse


def told(folder: Path, monkeypatch: pytest.MonkeyPatch, *lines: str) -> list[str]:
    """The metrics of a machine whose nvidia-smi runs these lines of shell; without any, it has none."""
    monkeypatch.setenv("PATH", str(folder))
    if lines:
        (folder / "nvidia-smi").write_text("\n".join([f"#!{shutil.which('sh', path='/bin:/usr/bin')}", *lines]))
        (folder / "nvidia-smi").chmod(0o755)
    registry = CollectorRegistry()
    registry.register(GpuUse())
    return [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]


def test_every_gpu_has_its_share_of_time_and_its_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(tmp_path, monkeypatch, "echo '0, 97, 2048, 81559'", "echo '1, [N/A], 4, 81559'") == [
        'facemill_gpu_busy_ratio{gpu="0"} 0.97',
        'facemill_gpu_memory_used_bytes{gpu="0"} 2.147483648e+09',
        'facemill_gpu_memory_used_bytes{gpu="1"} 4.194304e+06',
        'facemill_gpu_memory_bytes{gpu="0"} 8.5520809984e+10',
        'facemill_gpu_memory_bytes{gpu="1"} 8.5520809984e+10',
    ]


@pytest.mark.parametrize("lines", [(), ("echo 'No devices were found'",), ("exit 9",)])
def test_a_machine_without_a_gpu_has_no_such_metrics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: tuple[str, ...]
) -> None:
    assert told(tmp_path, monkeypatch, *lines) == []
