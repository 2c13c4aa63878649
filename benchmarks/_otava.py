"""apache-otava beside our gate: in an environment of its own, fed series, asked for changes.

Run by :func:`Otava.rises` as a program inside that environment: reads a JSON list of series on
standard input and writes, for each, its change points as [index, mean before, mean after].
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

VERSION = "0.8.0"
INSTALL_TIMEOUT_S, ANSWER_TIMEOUT_S = 600, 3600
Change = tuple[int, float, float]


class Otava:
    """apache-otava of a fixed version, installed on first use."""

    def __init__(self, cache: Path) -> None:
        folder = cache / f"apache-otava-{VERSION}"
        self._python = folder / "bin" / "python"
        done = folder / "installed"
        if not done.exists():
            for command in (
                [sys.executable, "-m", "venv", "--clear", str(folder)],
                [str(self._python), "-m", "pip", "install", "-q", f"apache-otava=={VERSION}"],
            ):
                subprocess.run(command, check=True, timeout=INSTALL_TIMEOUT_S)
            done.touch()

    def changes(self, series: Sequence[Sequence[float]]) -> list[list[Change]]:
        """The change points of each series, with Otava's default options."""
        answer = subprocess.run(
            [str(self._python), __file__],
            input=json.dumps(series),
            capture_output=True,
            text=True,
            check=True,
            timeout=ANSWER_TIMEOUT_S,
            env={**os.environ, "PYTHONPATH": ""},
        )
        return [[(int(i), b, a) for i, b, a in found] for found in json.loads(answer.stdout)]


def _answer() -> None:
    from otava.analysis import compute_change_points  # noqa: PLC0415 - of the other environment
    from otava.series import AnalysisOptions  # noqa: PLC0415

    options = AnalysisOptions()
    answers = []
    for values in json.load(sys.stdin):
        found, _ = compute_change_points(
            values,
            window_len=options.window_len,
            max_pvalue=options.max_pvalue,
            min_magnitude=options.min_magnitude,
        )
        answers.append(
            [[int(c.index), float(c.stats.mean_1), float(c.stats.mean_2)] for c in found]
        )
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    _answer()
