"""GPU utilization of this machine, read from `nvidia-smi` at each scrape of the metrics."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

_FIELDS = "index,utilization.gpu,memory.used,memory.total"
_MIB = 1 << 20
# `nvidia-smi` takes 0.1 s; a hanging driver must not block the other metrics.
_WITHIN_S = 5.0


class GpuUse(Collector):
    """Gauges of every GPU; none on a machine without one."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The current values."""
        busy = GaugeMetricFamily("facemill_gpu_busy_ratio", "Share of the last second a GPU was busy", labels=["gpu"])
        used = GaugeMetricFamily("facemill_gpu_memory_used_bytes", "Used memory of a GPU", labels=["gpu"])
        whole = GaugeMetricFamily("facemill_gpu_memory_bytes", "Memory of a GPU", labels=["gpu"])
        for gpu, percent, used_mib, whole_mib in _query():
            for gauge, text, unit in ((busy, percent, 0.01), (used, used_mib, _MIB), (whole, whole_mib, _MIB)):
                # Unsupported values are reported as [N/A].
                if text.isdecimal():
                    gauge.add_metric([gpu], int(text) * unit)
        yield from (gauge for gauge in (busy, used, whole) if gauge.samples)


def _query() -> list[list[str]]:
    """One row of the `_FIELDS` fields per GPU."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, f"--query-gpu={_FIELDS}", "--format=csv,noheader,nounits"]
    try:
        output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_WITHIN_S).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [[word.strip() for word in line.split(",")] for line in output.splitlines() if line.count(",") == 3]
