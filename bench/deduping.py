"""facemill's deduplication alone, as a separate process for `bench.dedupe`.

python -m bench.deduping near HASHES CLUSTERS             from hashes [n, 16] to clusters [n], both .npy
python -m bench.deduping dedupe LINES IMAGES VERDICTS     tables in Parquet
"""

from __future__ import annotations

import sys

import numpy as np
import pyarrow.parquet as pq

from tasks.dataset.dedupe import DedupeRules, dedupe
from tasks.dataset.hamming import near_clusters


def main() -> None:
    match sys.argv[1:]:
        case ["near", hashes, clusters]:
            np.save(clusters, near_clusters(np.load(hashes), DedupeRules().near_distance))
        case ["dedupe", lines, images, verdicts]:
            pq.write_table(dedupe(pq.read_table(lines), pq.read_table(images)), verdicts)


if __name__ == "__main__":
    main()
