"""How many planted defects are found, and how often a healthy platform is accused. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scipy.stats import beta

from scripts.scenario_matrix.cells import NOT_RUN, Record, latest
from scripts.scenario_matrix.planning import History
from scripts.scenario_matrix.table import HEALTHY, Cell

ENOUGH_HEALTHY_RUNS = 20
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Counts of cells with a defect by their last run, and of all healthy runs.

    ``found`` are FAIL, ``missed`` PASS; everything else decides nothing. ``false_alarms`` are FAIL
    on a healthy platform, ``undecided_healthy`` all that is neither PASS nor FAIL.
    """

    planted: int
    found: int
    missed: tuple[str, ...]
    undecided: tuple[str, ...]
    not_run: int
    healthy_runs: int
    false_alarms: tuple[str, ...]
    undecided_healthy: int

    @property
    def enough(self) -> bool:
        """Whether there are runs enough to speak of false alarms."""
        return self.healthy_runs >= ENOUGH_HEALTHY_RUNS

    @property
    def kept(self) -> bool:
        """Every planted defect was run and found, and nobody was accused in enough runs."""
        return (
            self.planted > 0
            and self.found == self.planted
            and self.enough
            and not self.false_alarms
        )


def score(cells: Iterable[Cell], history: History) -> Score:
    """The score of cells that can be run; records of cells that are in no table do not count."""
    able = [cell for cell in cells if not cell.not_run]
    broken = {c.id: latest(history.get(c.id, ())) for c in able if c.defect != HEALTHY}
    verdicts = {name: NOT_RUN if r is None else r.verdict for name, r in broken.items()}
    healthy = _runs([c for c in able if c.defect == HEALTHY], history)
    return Score(
        planted=len(verdicts),
        found=sum(v == "FAIL" for v in verdicts.values()),
        missed=tuple(n for n, v in verdicts.items() if v == "PASS"),
        undecided=tuple(n for n, v in verdicts.items() if v not in ("PASS", "FAIL", NOT_RUN)),
        not_run=sum(v == NOT_RUN for v in verdicts.values()),
        healthy_runs=len(healthy),
        false_alarms=tuple(f"{r.cell} on {r.date}" for r in healthy if r.verdict == "FAIL"),
        undecided_healthy=sum(r.verdict not in ("PASS", "FAIL") for r in healthy),
    )


def _runs(cells: Iterable[Cell], history: History) -> list[Record]:
    return [r for c in cells for r in history.get(c.id, ()) if r.verdict != NOT_RUN]


def at_most(events: int, of: int) -> float:
    """Upper 95 % bound of a share, exact (Clopper and Pearson, one-sided).

    Args:
        events: How many there were.
        of: In how many tries; 0 tells nothing, and the bound is 1.
    """
    return 1.0 if events >= of else float(beta.ppf(CONFIDENCE, events + 1, of - events))


def lines(found: Score) -> Sequence[str]:
    """The score in sentences."""
    told = [f"Of {found.planted} planted defects {found.found} are found (FAIL)."]
    told += [f"MISSED, the verdict is PASS: {name}." for name in found.missed]
    told += [f"Not decided, neither PASS nor FAIL: {name}." for name in found.undecided]
    if found.not_run:
        told.append(f"{found.not_run} were not run, and count as not found.")
    alarms = len(found.false_alarms)
    told.append(
        f"False alarms: {alarms} in {found.healthy_runs} runs of a healthy platform, "
        f"so at most {at_most(alarms, found.healthy_runs):.0%} with 95 % confidence."
    )
    told += [f"FALSE ALARM: {name}." for name in found.false_alarms]
    if found.undecided_healthy:
        told.append(f"{found.undecided_healthy} of the healthy runs were neither PASS nor FAIL.")
    if not found.enough:
        told.append(f"That is too few: {ENOUGH_HEALTHY_RUNS} healthy runs are asked for.")
    return told
