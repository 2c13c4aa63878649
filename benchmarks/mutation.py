"""How much of what judges is held by a test: mutation scores of the modules that judge.

Every function of a module is changed in one small place at a time (a comparison turned
around, a constant moved, an argument dropped, a word of a message spoilt), and the quick,
pure tests of that module are run against each mutant. A mutant that no test notices
survived: either a test is missing, or the change makes no difference.

mutmut makes and runs the mutants, in an environment of its own and in a copy of the tree:
nothing is ever changed in the tree itself. One process, one module at a time. What
`--budget` leaves no time for is not tried and keeps the promise from being called kept;
`--every 10` tries each tenth mutant of every function, and says how sure that is.

A mutant that ran out of its time is counted apart and as not noticed: on a busy machine that
may be the machine's doing. mutmut changes functions only; `reasons` is a table and has none.

Promised: at least 85 % of the mutants of each module are noticed.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import venv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MUTMUT = "3.8.1"
PROMISED = 0.85
KILLED, SURVIVED, NO_TESTS = (1, 3), 0, 33
#: Codes of mutmut for a mutant that ran out of its time.
TIMED_OUT = (24, 36, -24, 152, 255)
#: The last digits of the numbers of those that are tried, by the share of them.
DIGITS = {1: "", 2: "[13579]", 5: "[38]", 10: "3"}

#: Each module with the tests that are meant to hold it; all of them are pure and take seconds.
TESTS = {
    "verdict": ("test_verdict.py", "test_words.py"),
    "judge": ("test_judge.py", "test_words.py"),
    "checks": ("test_checks.py", "test_words.py"),
    "recovery": ("test_recovery.py", "test_recovery_each.py"),
    "series_recovery": ("test_series_recovery.py",),
    "recovery_checks": (
        "test_checks.py",
        "test_recovery_each.py",
        "test_series_recovery.py",
        "test_words.py",
    ),
    "alert_checks": ("test_alert_checks.py", "test_words.py"),
    "objectives": ("test_objectives.py", "test_series_recovery.py"),
    "baseline": ("test_baseline.py", "test_words.py"),
    "baseline_checks": (
        "test_baseline.py",
        "test_baseline_checks.py",
        "test_accepted_run.py",
        "test_words.py",
    ),
}
IGNORED = shutil.ignore_patterns(".git", ".venv", ".cache", ".*_cache", "results", "__pycache__")
SHOW = """
import sys
from mutmut.mutation.diff_apply import get_diff_for_mutant
for name in sys.argv[1:]:
    print("--", name)
    for line in get_diff_for_mutant(name).splitlines():
        if line[:1] in "+-" and line[:3] not in ("---", "+++"):
            print("  ", line)
"""


@dataclass(frozen=True)
class Score:
    """What became of the mutants of one module."""

    module: str
    total: int
    noticed: int
    survived: int
    timed_out: int
    seconds: float

    @property
    def tried(self) -> int:
        return self.noticed + self.survived + self.timed_out

    @property
    def share(self) -> float:
        """Of the mutants that were tried."""
        return self.noticed / self.tried if self.tried else 0.0

    @property
    def bounds(self) -> tuple[float, float]:
        """95 % (Wilson) for the share of all mutants, of which these are a sample."""
        if self.tried in (0, self.total):
            return self.share, self.share
        n, z = self.tried, 1.96
        middle = (self.share + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(self.share * (1 - self.share) / n + z * z / 4 / n**2)
        return middle - half, middle + half


def environment() -> Path:
    """An interpreter with mutmut, that also sees what the project's own environment has."""
    home = ROOT / ".cache" / "mutation" / f"mutmut-{MUTMUT}-{sys.version_info.minor}"
    python = home / "bin" / "python"
    if not (home / "ready").exists():
        venv.create(home, clear=True, with_pip=True)
        run = [str(python), "-m", "pip", "install", "-q", f"mutmut=={MUTMUT}"]
        subprocess.run(run, check=True, timeout=300)
        packages = next(p for p in sys.path if p.endswith("site-packages"))
        (next(home.glob("lib/*/site-packages")) / "project.pth").write_text(f"{packages}\n")
        (home / "ready").touch()
    return python


def configured(copy: Path, module: str) -> None:
    """Tell mutmut what to change and which tests to run."""
    tests = [f"tests/{name}" for name in TESTS[module]]
    settings = f"""
[tool.mutmut]
source_paths = ["harness"]
only_mutate = ["harness/{module}.py"]
also_copy = ["experiments", "loadtests", "scenarios", "stack", "harness.toml", "README.md"]
pytest_add_cli_args = ["-p", "no:cacheprovider"]
pytest_add_cli_args_test_selection = {json.dumps(tests)}
track_dependencies = false
timeout_multiplier = 10.0
timeout_constant = 10.0
"""
    original = (ROOT / "pyproject.toml").read_text()
    (copy / "pyproject.toml").write_text(original + settings)


def run_mutants(command: list[str], copy: Path, log: Path, budget_s: float) -> None:
    """Run mutmut for so long at most; what it has found by then stays on disk."""
    with log.open("wb") as out:
        child = subprocess.Popen(
            command,
            cwd=copy,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=surroundings(copy),
            start_new_session=True,
        )
        try:
            if child.wait(timeout=max(1.0, budget_s)):
                raise SystemExit(f"mutmut could not do it; its words are in {log}")
        except subprocess.TimeoutExpired:
            print(f"{log.stem}: the budget is used up", file=sys.stderr)
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGTERM)
                child.wait(timeout=60)


def surroundings(copy: Path) -> dict[str, str]:
    """One thread of mathematics, and no state of the caller's."""
    return {**os.environ, "OPENBLAS_NUM_THREADS": "1", "XDG_STATE_HOME": str(copy / "state")}


def scored(copy: Path, module: str, asked: argparse.Namespace, budget_s: float) -> Score:
    """Make and run the mutants of one module in the copy, and write down what survived."""
    began, python = time.monotonic(), str(environment())
    shutil.rmtree(copy / "mutants", ignore_errors=True)
    configured(copy, module)
    digits = DIGITS[asked.every]
    names = [f"harness.{module}.*__mutmut_*{digits}"] if digits else []
    command = [python, "-m", "mutmut", "run", "--max-children", "1", *names]
    run_mutants(command, copy, asked.out / f"{module}.log", budget_s)
    meta = copy / "mutants" / "harness" / f"{module}.py.meta"
    codes: dict[str, int | None] = json.loads(meta.read_text())["exit_code_by_key"]
    left = [name for name, code in codes.items() if code in (SURVIVED, NO_TESTS, *TIMED_OUT)]
    shown = subprocess.run(
        [python, "-c", SHOW, *left],
        cwd=copy,
        env=surroundings(copy),
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    (asked.out / f"{module}.survivors").write_text(shown.stdout)
    count = Counter(codes.values())
    return Score(
        module=module,
        total=len(codes),
        noticed=sum(count[code] for code in KILLED),
        survived=count[SURVIVED] + count[NO_TESTS],
        timed_out=sum(count[code] for code in TIMED_OUT),
        seconds=time.monotonic() - began,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one row a module; 0 when each was tried whole and has the promised score."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("modules", nargs="*", default=[*TESTS], metavar="MODULE")
    parser.add_argument("--budget", type=float, default=90.0, metavar="MINUTES")
    parser.add_argument("--every", type=int, default=1, choices=[*DIGITS])
    parser.add_argument("--out", type=Path, default=ROOT / ".cache" / "mutation", metavar="DIR")
    asked = parser.parse_args(arguments)
    unknown = set(asked.modules) - set(TESTS)
    if unknown:
        parser.error(f"no such module: {', '.join(sorted(unknown))}; known: {', '.join(TESTS)}")
    os.nice(15)
    asked.out.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + 60 * asked.budget
    print("| module | mutants | tried | noticed | survived | timed out | score | of all | took |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    kept = True
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Path(folder) / "tree"
        shutil.copytree(ROOT, copy, ignore=IGNORED, symlinks=True)
        for module in asked.modules:
            score = scored(copy, module, asked, until - time.monotonic())
            low, high = score.bounds
            print(
                f"| `{module}` | {score.total} | {score.tried} | {score.noticed} "
                f"| {score.survived} | {score.timed_out} | {score.share:.1%} "
                f"| {low:.0%} to {high:.0%} | {score.seconds:.0f} s |",
                flush=True,
            )
            kept = kept and score.share >= PROMISED and score.tried == score.total
    print(f"\nWhat survived stands in {asked.out}/MODULE.survivors.")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
