"""Choice of the similarity threshold of person names.

    python -m bench.names                        the real names of ../shared/data next to the repository
    python -m bench.names --json FILE

Per threshold: the share of VGGFace1's names with one typo (deletion, insertion, substitution, transposition; five drawn
for each) that are matched again; and the number of its people that match a name of LFW, although VGGFace1's authors
removed LFW's people by exact name. Finally, the people found by `tasks.dataset.exclude`.
"""

from __future__ import annotations

import argparse
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tasks.dataset.exclude import ALIKE, exclude

_DATA = Path(__file__).parents[1].parent / "shared" / "data"
_THRESHOLDS = (86.0, 88.0, 90.0, 91.0, 92.0, 94.0, 96.0)
_SLIPS_EACH = 5


def vggface_names() -> list[str]:
    """The people of the archive's link files."""
    with tarfile.open(_DATA / "vgg_face_dataset.tar.xz") as tar:
        return sorted(Path(name).stem for name in tar.getnames() if name.endswith(".txt") and "/files/" in name)


def lfw_names() -> list[str]:
    """The people of LFW's folders."""
    return sorted(path.name for path in (_DATA / "lfw" / "images").iterdir())


def slip(name: str, rng: np.random.Generator) -> str:
    """`name` with one typo."""
    at, letter = int(rng.integers(len(name) - 1)), chr(97 + rng.integers(26))
    before, one, after = name[:at], name[at], name[at + 1 :]
    return (
        before + after,
        before + letter + one + after,
        before + letter + after,
        before + after[0] + one + after[1:],
    )[rng.integers(4)]


def num_alike(names: Sequence[str], others: Sequence[str], threshold: float) -> int:
    """The number of `names` that match one of `others`."""
    return len(exclude(names, others, threshold).matches)


def row_at(threshold: float, people: Sequence[str], slips: dict[str, list[str]], lfw: Sequence[str]) -> dict[str, Any]:
    """The results of a threshold."""
    found = sum(num_alike([wrong], [name], threshold) for name, wrongs in slips.items() for wrong in wrongs)
    return {
        "alike": threshold,
        "slips found": f"{found / sum(map(len, slips.values())):.3f}",
        "like a name of LFW": num_alike(people, lfw, threshold),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the results to this file")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    people, lfw = vggface_names(), lfw_names()
    slips = {name: [slip(name, rng) for _ in range(_SLIPS_EACH)] for name in people}
    rows = [row_at(threshold, people, slips, lfw) for threshold in _THRESHOLDS]
    print(f"{len(people):,} people of VGGFace1, {len(lfw):,} of LFW")
    print("".join(f"{name:>20}" for name in rows[0]))
    for row in rows:
        print("".join(f"{value:>20}" for value in row.values()))
    print(f"at {ALIKE:g}:")
    for match in exclude(people, lfw).matches:
        print(f"  {match.identity:24} ~ {match.listed:24} {match.alike}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
