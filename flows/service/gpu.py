"""How busy the GPUs of this machine are, asked of the driver's `nvidia-smi` whenever the metrics are read."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

_ASKED = "index,utilization.gpu,memory.used,memory.total"
_MIB = 1 << 20
# It answers in a tenth of a second; a driver that hangs must not take the other metrics with it.
_WITHIN_S = 5.0


class GpuUse(Collector):
    """Gauges of every GPU; none on a machine without one."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """What Prometheus is shown, as of now."""
        busy = GaugeMetricFamily("facemill_gpu_busy_ratio", "Share of the last second a GPU was busy", labels=["gpu"])
        used = GaugeMetricFamily("facemill_gpu_memory_used_bytes", "Memory of a GPU that is taken", labels=["gpu"])
        whole = GaugeMetricFamily("facemill_gpu_memory_bytes", "Memory of a GPU", labels=["gpu"])
        for gpu, percent, used_mib, whole_mib in _asked():
            for gauge, text, unit in ((busy, percent, 0.01), (used, used_mib, _MIB), (whole, whole_mib, _MIB)):
                # What a card does not tell, it calls [N/A].
                if text.isdecimal():
                    gauge.add_metric([gpu], int(text) * unit)
        yield from (gauge for gauge in (busy, used, whole) if gauge.samples)


def _asked() -> list[list[str]]:
    """A row of `_ASKED` a GPU."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, f"--query-gpu={_ASKED}", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_WITHIN_S).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [[word.strip() for word in line.split(",")] for line in told.splitlines() if line.count(",") == 3]
