"""imagededup's search in hashes, run by the Python of its own environment for `bench.dedupe`.

    python imagededup_search.py HASHES DISTANCE METHOD

HASHES has one hash of 16 hex digits per line. Prints, as JSON, the pairs found, and the seconds and CPU seconds used.
"""

import json
import logging
import os
import sys
import time
from pathlib import Path

from imagededup.methods import DHash


def main() -> None:
    logging.disable()
    path, distance, method = sys.argv[1:]
    hashes = {str(row): word for row, word in enumerate(Path(path).read_text().split())}
    started, before = time.monotonic(), sum(os.times()[:4])
    found = DHash(verbose=False).find_duplicates(
        encoding_map=hashes, max_distance_threshold=int(distance), search_method=method
    )
    used = {"seconds": time.monotonic() - started, "cpu_s": sum(os.times()[:4]) - before}
    pairs = [(int(one), int(other)) for one, others in found.items() for other in others if int(one) < int(other)]
    print(json.dumps({**used, "pairs": pairs}))


if __name__ == "__main__":
    main()
