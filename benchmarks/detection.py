"""Detection: how many planted defects the scenarios find, and how often they accuse a healthy one.

Computed from what `make scenario-matrix` has kept; nothing is run here. A defect is found when the
last run of its cell is a FAIL; a false alarm is a FAIL of any run on the healthy platform.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from scripts.scenario_matrix import history
from scripts.scenario_matrix.__main__ import CELLS, cells_of
from scripts.scenario_matrix.score import lines, score

ROOT = Path(__file__).parents[1]


def main() -> int:
    found = score(cells_of(ROOT), history.read(ROOT / CELLS))
    for line in lines(found):
        print(line)
    kept = "kept" if found.kept else "BROKEN"
    print(f"promised: every planted defect found, no false alarm in 20 healthy runs; {kept}")
    return 0 if found.kept else 1


if __name__ == "__main__":
    sys.exit(main())
