"""Two witnesses of one thing: what the load measured, and what Prometheus says of it. Pure.

In an outage they should differ: a client sees the refusals that a server never counts. In
steady they should not, and where they do, the query or the histogram is at fault.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from harness.evidence import Evidence
from harness.judge import Windows
from harness.model import Phase, Window
from harness.objectives import quantile_of
from harness.samples import RequestOutcome, is_bad, latency_s, within
from harness.slis import Series, Sli
from harness.statistics import quantile_bounds

#: How far two ratios may be apart, and, where no bucket is known, two latencies.
RATIO_GAP, LATENCY_GAP = 0.01, 0.10
CAUSES = (
    "usual causes: the window of the query reaches beyond the phase, the query counts other "
    "requests or leaves failed ones out, the buckets are wide, or there is queueing before the "
    "server's clock starts"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """An SLI and its witness in one phase, both in the SLI's unit.

    ``allowed`` is how far apart they may be: the bucket that the quantile fell into.
    """

    sli: str
    witness: str
    phase: Phase
    prometheus: float
    load: float
    allowed: float

    @property
    def agree(self) -> bool:
        """Whether the gap is no larger than what is allowed."""
        return abs(self.prometheus - self.load) <= self.allowed

    @property
    def because(self) -> str:
        """What each of them says."""
        said = f"Prometheus says {self.prometheus:.4g}, the load says {self.load:.4g}"
        if self.agree:
            return f"{said}; up to {self.allowed:.3g} apart is no difference"
        return f"{said}, more than {self.allowed:.3g} apart; {CAUSES}"


def comparisons(evidence: Evidence, windows: Windows) -> tuple[Comparison, ...]:
    """Every SLI that names a witness, in each phase in which both saw something."""
    found = []
    for name, sli in evidence.scenario.slis.items():
        for phase, window in windows.items():
            one = compared(sli, phase, window, evidence)
            if name in evidence.series and one is not None:
                found.append(one)
    return tuple(found)


def compared(sli: Sli, phase: Phase, window: Window, evidence: Evidence) -> Comparison | None:
    """One SLI beside its witness; None where one of them saw nothing."""
    series = evidence.series.get(sli.name)
    load = _by_load(sli.witness, window, evidence)
    if not sli.witness or series is None or load is None:
        return None
    seen = [v for t, v in series.points if window.holds(t) and math.isfinite(v)]
    if not seen:
        return None
    return Comparison(
        sli=sli.name,
        witness=sli.witness,
        phase=phase,
        prometheus=median(seen),
        load=load,
        allowed=_allowed(sli, series, window, load),
    )


def _allowed(sli: Sli, series: Series, window: Window, load: float) -> float:
    if quantile_of(sli.witness.rpartition(".")[2]) is None:
        return RATIO_GAP
    widths = [high - low for t, low, high in series.bounds if window.holds(t)]
    return median(widths) if widths else LATENCY_GAP * load


def _by_load(witness: str, window: Window, evidence: Evidence) -> float | None:
    """The same statistic as the load saw it in this phase."""
    subject, _, stat = witness.rpartition(".")
    records = None if evidence.samples is None else evidence.samples.of(subject, stat)
    inside = None if records is None else within(records, window)
    if inside is None or len(inside) == 0:
        return None
    quantile = quantile_of(stat)
    if quantile is not None:
        observed, _, _ = quantile_bounds(latency_s(inside), quantile, float(len(inside)))
        return observed if math.isfinite(observed) else None
    shares: Mapping[str, float] = {
        "errors": float(is_bad(inside).mean()),
        "availability": float((~is_bad(inside)).mean()),
        "degraded": float((inside["outcome"] == RequestOutcome.DEGRADED).mean()),
    }
    return shares.get(stat)
