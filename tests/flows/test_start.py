"""What the process of a run imports, which is most of what a run with nothing to do takes."""

from __future__ import annotations

import subprocess
import sys


def test_flows_that_neither_fetch_nor_train_import_nothing_for_it() -> None:
    program = "import sys, flows.crop, flows.publish; print(*{name.split('.')[0] for name in sys.modules})"
    found = set(subprocess.check_output([sys.executable, "-c", program], text=True).split())
    assert {"flows", "tasks", "pyarrow"} <= found
    assert not found & {"aiohttp", "torch", "torchvision", "onnxruntime", "synthetic", "scipy", "matplotlib"}
