"""What a comparison of runs is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from harness.errors import ExitCode
from harness.measures import LOWER_IS_WORSE, Metric
from harness.objectives import quantile_of
from harness.scales import Scale


class Finding(StrEnum):
    """What a comparison says of one metric."""

    REGRESSION = "regression"
    UNDECIDED = "undecided"
    NO_CHANGE = "no change shown"
    IMPROVEMENT = "improvement"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What counts as a change, and how large a one must not go unseen.

    ``margin`` is of ratios, ``points`` of shares; ``margins`` are those of single metrics. A
    worsening of ``unseen`` times the margin has to be excluded before no change is claimed.
    ``only`` restricts the comparison to some metrics; ``worse_if_lower`` says so of SLIs.
    """

    margin: float = 0.10
    points: float = 0.005
    unseen: float = 2.0
    margins: Mapping[Metric, float] = field(default_factory=dict)
    named: frozenset[Metric] = frozenset()
    only: frozenset[Metric] | None = None
    worse_if_lower: Mapping[str, bool] = field(default_factory=dict)

    def margin_of(self, metric: Metric) -> float:
        """The least worsening of a metric that counts."""
        general = self.points if metric.scale is Scale.POINTS else self.margin
        return self.margins.get(metric, general)

    def falls(self, metric: Metric) -> bool | None:
        """Whether a metric gets worse as it falls; None where nobody said."""
        if metric.stat in LOWER_IS_WORSE:
            return True
        if metric.scale is Scale.POINTS or quantile_of(metric.stat) is not None:
            return False
        return self.worse_if_lower.get(metric.subject)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One metric of a comparison.

    ``change`` with its 95 % interval is a ratio (0.2: +20 %) or, for shares, a difference
    (0.01: one point). ``smallest`` is the worsening that these runs would have shown in 85 %
    of such comparisons, ``needed`` how many new runs (or pairs) would show ``sought`` as often.
    """

    metric: Metric
    named: bool
    finding: Finding
    because: str
    code: str = ""
    old: float | None = None
    new: float | None = None
    change: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    old_runs: int = 0
    new_runs: int = 0
    sought: float | None = None
    smallest: float | None = None
    needed: int | None = None
    drifts: bool = False
    outliers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The whole of it; ``left_out`` and ``not_comparable`` are never silent."""

    new: tuple[str, ...]
    old: tuple[str, ...]
    paired: bool
    rows: tuple[Row, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    not_comparable: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """As of a run: FAIL for a regression, INCONCLUSIVE where what matters is undecided."""
        if self.not_comparable or not self.rows:
            return ExitCode.INCONCLUSIVE
        if any(row.finding is Finding.REGRESSION for row in self.rows):
            return ExitCode.FAIL
        matters = [row for row in self.rows if row.named] or self.rows
        undecided = any(row.finding is Finding.UNDECIDED for row in matters)
        return ExitCode.INCONCLUSIVE if undecided else ExitCode.PASS
