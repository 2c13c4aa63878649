"""From stored evidence to the documents that people and machines read. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from harness.baseline import differences
from harness.chart import timeline
from harness.checks import all_checks
from harness.evidence import Evidence
from harness.recovery_checks import recoveries
from harness.result import Facts, document
from harness.timeline import first, phases
from harness.verdict import judge_run


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What a run comes to: the published result, and the seconds to draw."""

    result: Mapping[str, Any]
    timeline: Mapping[str, Any]


def conclude(evidence: Evidence, facts: Facts) -> Conclusion:
    """Judge the evidence; the same evidence and facts always give the same conclusion."""
    windows = phases(evidence.events, evidence.faults, evidence.scenario.phases)
    checks = all_checks(evidence, windows)
    verdict = judge_run(evidence, checks, windows)
    up = first(evidence.events, "stack_up")
    parts = {} if up is None else {key: up.data[key] for key in ("versions", "defects")}
    compared = replace(
        facts,
        candidate={**facts.candidate, "stack": parts},
        compared_with=tuple(run.run_id for run in evidence.baselines),
        differences=differences(checks, evidence.baselines),
    )
    found = recoveries(evidence, windows)
    result = document(compared, evidence, windows, checks, found, verdict)
    return Conclusion(result, timeline(evidence, windows))
