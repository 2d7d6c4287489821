"""CPU time and memory of validating and decoding the most expensive valid pictures.

    python -m bench.decode                     # 64 million pixels, the maximum of validation; 4 minutes
    python -m bench.decode --side 3000

Each picture is generated here and processed in a separate process. CPU seconds are those of the process; memory is its
peak resident size minus the size before. Bytes per pixel include Pillow, the decoders and the file. The limits in
`tasks.images.sandbox.Limits` are based on these numbers. The last line is the resident memory of a child process of
`tasks.images.sandbox` between two pictures, with the pages that it shares.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from bench.usage import process_tree, rss_bytes
from tasks.images.decode import decode, decode_here
from tasks.images.validate import ImageLimits, validate_here

# (name, format, mode, encoder options)
PICTURES: list[tuple[str, str, str, dict[str, object]]] = [
    ("JPEG", "JPEG", "RGB", {}),
    ("JPEG progressive, 4:4:4", "JPEG", "RGB", {"progressive": True, "subsampling": 0}),
    ("PNG", "PNG", "RGB", {"compress_level": 1}),
    ("PNG, alpha", "PNG", "RGBA", {"compress_level": 1}),
    ("GIF", "GIF", "P", {}),
    ("WebP", "WEBP", "RGB", {"method": 0}),
    ("WebP lossless, alpha", "WEBP", "RGBA", {"lossless": True, "method": 0}),
    ("AVIF", "AVIF", "RGB", {"speed": 10}),
    ("AVIF, alpha", "AVIF", "RGBA", {"speed": 10}),
    ("TIFF, LZW", "TIFF", "RGB", {"compression": "tiff_lzw"}),
]


def drawn(side_px: int, mode: str) -> Image.Image:
    """Soft shapes, which compress well. Some of the files are larger than a request accepts all the same."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, len(mode) if mode == "RGBA" else 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((side_px, side_px), Image.Resampling.BICUBIC).convert(mode)


def encoded(side_px: int, kind: str, mode: str, options: dict[str, object]) -> bytes:
    file = BytesIO()
    drawn(side_px, mode).save(file, kind, **options)
    return file.getvalue()


def measured(work: Callable[[bytes], object], data: bytes) -> tuple[float, float]:
    """CPU seconds and memory in bytes of one call in a new process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measure, (work, data))


def _measure(work: Callable[[bytes], object], data: bytes) -> tuple[float, float]:
    # The decoders are loaded before the measurement.
    work(data[:100])
    before, started = _peak_bytes(), time.process_time()
    work(data)
    return time.process_time() - started, _peak_bytes() - before


def _peak_bytes() -> float:
    # Not `ru_maxrss`, which starts at the parent's value.
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024.0


def child_bytes() -> int:
    """Resident memory of a child process that has decoded a small picture."""
    decode(encoded(256, "WEBP", "RGB", {}))
    _, *children = process_tree(os.getpid())
    return max(map(rss_bytes, children))


def check(data: bytes) -> None:
    validate_here(data, ImageLimits(max_pixels=10**9))


def decode_whole(data: bytes) -> None:
    try:
        decode_here(data, 10**9)
    except ValueError:
        if len(data) > 100:
            raise


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=8000, help="width and height in pixels")
    parser.add_argument("--json", action="store_true", help="also print the results as JSON, as the last line")
    options = parser.parse_args()
    figures = {}
    at_rest = child_bytes()
    print(f"{'':26}{'file, MB':>10}{'check, s':>10}{'bytes/px':>10}{'decode, s':>11}{'bytes/px':>10}")
    for name, kind, mode, encoder in PICTURES:
        data = encoded(options.side, kind, mode, encoder)
        costs = [measured(work, data) for work in (check, decode_whole)]
        figures[name] = costs
        cells = [f"{seconds:10.2f}{num_bytes / options.side**2:10.1f}" for seconds, num_bytes in costs]
        print(f"{name:26}{len(data) / 1e6:10.1f}{''.join(cells)}")
    print(f"a child at rest: {at_rest / 1e6:.0f} MB")
    if options.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
