"""Objectives on how many requests failed in a run: ``predict.failed <= 40``. Pure.

Counted from steady to the end of the run, whatever phase each request was due in. It is a census:
the requests of this run are all there are to judge.
"""

from __future__ import annotations

import numpy as np

from harness.evidence import Evidence
from harness.judge import MIN_CENSUS, Windows, counted, unmet
from harness.model import Check, Objective, Phase, Threshold, Window
from harness.samples import RequestOutcome, is_bad, outcome_counts, within


def failure_check(
    objective: Objective, condition: Threshold, windows: Windows, evidence: Evidence
) -> Check:
    """The failed requests of a journey against their limit."""
    samples = evidence.samples
    records = None if samples is None else samples.of(condition.subject)
    if samples is None or records is None:
        known = "nothing" if samples is None else ", ".join(samples.names()) or "nothing"
        because = f"the load recorded nothing called {condition.subject!r}; it recorded {known}"
        remedy = "Use one of these names in the objective, or give the request that name."
        return unmet(objective, "", "no_samples", because, remedy)
    inside = within(records, _counted(windows))
    failed = inside[is_bad(inside)]
    count, own = len(failed), int(np.sum(failed["outcome"] == RequestOutcome.GENERATOR))
    holds = condition.op.holds(count, condition.limit.value)
    because = f"{count:,} of {len(inside):,} requests failed"
    if count:
        kinds = (f"{number:,} {name}" for name, number in outcome_counts(failed).items())
        because += f" ({', '.join(kinds)})"
    doubt = _doubt(evidence, windows, len(inside)) if holds else None
    if not holds and condition.op.holds(count - own, condition.limit.value):
        doubt = ("load_saturated", "the target never saw those of the generator's own", "")
    if doubt is not None:
        code, why, remedy = doubt
        return unmet(objective, "", code, f"{because}; but {why}", remedy)
    return counted(objective, condition, count, because, of=len(inside))


def _counted(windows: Windows) -> Window:
    """From steady to the end; the phases lie side by side."""
    judged = [window for phase, window in windows.items() if phase is not Phase.WARMUP]
    if not judged:
        return Window(start=0.0, end=0.0)
    return Window(start=min(w.start for w in judged), end=max(w.end for w in judged))


def _doubt(evidence: Evidence, windows: Windows, requests: int) -> tuple[str, str, str] | None:
    """Code, reason and remedy where too little happened for a small count to mean anything."""
    needed = (Phase.STEADY, Phase.FAULT) if evidence.scenario.injects else (Phase.STEADY,)
    missing = next((phase for phase in needed if phase not in windows), None)
    if missing is not None:
        return "phase_not_reached", f"the run never reached {missing}", ""
    if requests < MIN_CENSUS:
        return "insufficient_samples", "that many are too few to pass on", "Lengthen the phases."
    return None
