"""From checks and the run's own story to a verdict on three axes, and to an exit code. Pure.

PASS needs everything on a closed list; one valid violation is a FAIL; the rest is
INCONCLUSIVE, each with a reason that a machine can read and a remedy for a person.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness import evidence as kinds
from harness.arrivals import Arrivals
from harness.errors import ExitCode
from harness.evidence import Evidence
from harness.judge import Windows, lag_p99_s
from harness.model import (
    HYPOTHESIS,
    Check,
    Condition,
    FaultRecord,
    Gate,
    Outcome,
    Phase,
    Reason,
    RecoveryLimit,
    Restoration,
    Scenario,
    Termination,
    Threshold,
    Verdict,
    Window,
    worst,
)
from harness.samples import Kind, LoadSamples, Records, RequestOutcome, impossible, within
from harness.sustained import SATURATED_LAG_S, advice
from harness.timeline import first

MIN_OFFERED = 0.95
MIN_HELD = 0.95
MOST_CLOCK_ERROR_S = 0.1  #: phases and recovery are told to this; latencies are of one clock each
POISSON_SIGMAS = 5.0  #: so far below its mean a Poisson count is once in three million windows


def judge_run(evidence: Evidence, checks: Sequence[Check], windows: Windows) -> Verdict:
    """The verdict of one run."""
    termination = _termination(evidence)
    restoration = _restoration(evidence)
    failures = _failures(evidence, checks)
    gaps = _gaps(evidence, checks, windows, termination, restoration)
    if failures:
        outcome = Outcome.FAIL
    elif gaps:
        outcome = Outcome.INCONCLUSIVE
    else:
        gated = tuple(c.outcome for c in checks if c.gates)
        outcome = worst(gated)
    return Verdict(
        evidence=outcome,
        termination=termination,
        restoration=restoration,
        reasons=(*failures, *gaps),
    )


def exit_code(verdict: Verdict) -> ExitCode:
    """The first that matches, in the order that the exit codes are declared in."""
    if verdict.restoration is Restoration.DIRTY:
        return ExitCode.DIRTY
    if verdict.termination is Termination.ERROR:
        return ExitCode.ERROR
    if verdict.evidence is Outcome.FAIL:
        return ExitCode.FAIL
    if verdict.termination is Termination.ABORTED:
        return ExitCode.ABORTED
    return ExitCode.PASS if verdict.evidence is Outcome.PASS else ExitCode.INCONCLUSIVE


def _termination(evidence: Evidence) -> Termination:
    if first(evidence.events, kinds.ERROR) is not None:
        return Termination.ERROR
    stopped = (kinds.ABORTED, kinds.CONDITION_TRIPPED)
    if any(first(evidence.events, kind) is not None for kind in stopped):
        return Termination.ABORTED
    return Termination.COMPLETED


def _restoration(evidence: Evidence) -> Restoration:
    """Clean needs a last look that found nothing; no look is not clean."""
    restored = first(evidence.events[::-1], kinds.RESTORED)
    looked_clean = restored is not None and restored.data.get("clean") is True
    left = [f for f in evidence.faults if not f.restored]
    clean = looked_clean and not left and not evidence.unreadable
    return Restoration.CLEAN if clean else Restoration.DIRTY


def _failures(evidence: Evidence, checks: Sequence[Check]) -> tuple[Reason, ...]:
    reasons = []
    tripped = first(evidence.events, kinds.CONDITION_TRIPPED)
    if tripped is not None:
        message = f"stopped because {tripped.data['text']} held"
        reasons.append(Reason("abort_condition", message))
    stopped = first(evidence.events, kinds.STEADY_STOPPED)
    for check in checks:
        if check.outcome is Outcome.FAIL and check.gates:
            early = stopped is not None and check.phase == Phase.STEADY
            code = "steady_state_violated" if early else check.code or "limit_violated"
            reasons.append(Reason(code, _sentence(check)))
    return tuple(reasons)


def _sentence(check: Check) -> str:
    where = f" ({check.phase})" if check.phase else ""
    return f"{check.objective}{where}: {check.because}"


def _gaps(
    evidence: Evidence,
    checks: Sequence[Check],
    windows: Windows,
    termination: Termination,
    restoration: Restoration,
) -> tuple[Reason, ...]:
    """Everything that a pass would need and that is not there."""
    reasons = [*_interruptions(evidence)]
    if restoration is Restoration.DIRTY:
        reasons.append(_not_restored(evidence))
    if Phase.STEADY not in windows:
        reasons.append(Reason("nothing_ran", "the run never reached its steady phase"))
    if not any(c.gates for c in checks):
        message = "no objective was judged that could fail"
        reasons.append(Reason("no_objectives", message, "Add objectives to the scenario."))
    if evidence.scenario.injects and termination is Termination.COMPLETED:
        reasons += _fault_gaps(evidence)
        reasons += _unjudged(evidence, checks)
    reasons += _load_gaps(evidence, windows)
    for check in checks:
        if check.outcome is Outcome.INCONCLUSIVE and check.gates:
            reasons.append(Reason(check.code, _sentence(check), check.remedy))
    return tuple(reasons)


_INTERRUPTIONS = (
    (kinds.METRICS_LOST, "metrics_lost", "Look at the Prometheus log of the stack."),
    (kinds.LOAD_LOST, "load_lost", "Look at load.log in the run folder."),
)


def _interruptions(evidence: Evidence) -> list[Reason]:
    reasons = []
    for kind, code, remedy in _INTERRUPTIONS:
        event = first(evidence.events, kind)
        if event is not None:
            shared = kind == kinds.LOAD_LOST and evidence.scenario.load.shared
            message = str(event.data["message"])
            reasons.append(Reason("worker_lost" if shared else code, message, remedy))
    stopped = first(evidence.events, kinds.STEADY_STOPPED)
    if stopped is not None and stopped.data["outcome"] == Outcome.INCONCLUSIVE:
        message = "steady state could not be decided, so nothing was injected"
        reasons.append(Reason("steady_state_not_decided", message))
        if "code" in stopped.data:
            code, why = str(stopped.data["code"]), str(stopped.data["message"])
            reasons.append(Reason(code, why, "Check the query under `slis:`."))
    elif stopped is not None:
        message = "steady state did not hold, so nothing was injected"
        reasons.append(Reason("nothing_injected", message))
    aborted = first(evidence.events, kinds.ABORTED)
    if aborted is not None:
        reasons.append(Reason("aborted", f"stopped by {aborted.data['by']}"))
    error = first(evidence.events, kinds.ERROR)
    if error is not None:
        reasons.append(Reason("error", str(error.data["message"])))
    return reasons


def _not_restored(evidence: Evidence) -> Reason:
    """Why the target does not count as whole again."""
    left = [f"{f.kind} on {f.target}" for f in evidence.faults if not f.restored]
    message = f"not proven healed: {', '.join((*left, *evidence.unreadable))}"
    if not left and not evidence.unreadable:
        message = "the last look did not find the target clean, or there was none"
    return Reason("not_restored", message, "Run `harness recover`.")


def _unjudged(evidence: Evidence, checks: Sequence[Check]) -> list[Reason]:
    """Well before and well again after: a pass needs something that could have said no."""
    reasons = []
    if not any(c.phase == Phase.STEADY and c.gates for c in checks):
        waived = any(c.phase == Phase.STEADY and c.waiver for c in checks)
        message = f"no objective{_THAT_GATES[waived]} says what steady state is"
        remedy = "Add an objective `during steady`."
        reasons.append(Reason("steady_state_not_judged", message, remedy))
    gating = [o for o in evidence.scenario.objectives if o.gate is Gate.FAIL]
    looking = {o.text for o in gating if _looks_after(o.condition)}
    waived_after = {c.objective for c in checks if c.waiver and c.phase in _AFTERWARDS} & looking
    if looking == waived_after:
        message = f"no objective{_THAT_GATES[bool(looking)]} looks at the time after the fault"
        remedy = "Add `recovery < 30s`, or an objective `during after`."
        reasons.append(Reason("recovery_not_judged", message, remedy))
    return reasons


_THAT_GATES = {False: "", True: " that is not waived"}
_AFTERWARDS = (Phase.AFTER, "end", "")  # phases of checks on the time after the fault


def _looks_after(condition: Condition) -> bool:
    if isinstance(condition, Threshold):
        return condition.at_end or Phase.AFTER in condition.phases
    return isinstance(condition, RecoveryLimit)


def _fault_gaps(evidence: Evidence) -> list[Reason]:
    if first(evidence.events, kinds.STEADY_STOPPED) is not None:
        return []  # nothing was to be injected
    reasons = []
    failed = [a for a in evidence.activities if a.status != "succeeded"]
    if not evidence.faults:
        message = "no fault was injected"
        if failed:
            message += f": {failed[0].name}: {failed[0].error or failed[0].status}"
        reasons.append(Reason("fault_not_applied", message, "Look at chaos.log."))
    elif len(evidence.faults) < len(evidence.scenario.faults):
        message = f"{len(evidence.faults)} of {len(evidence.scenario.faults)} faults were injected"
        reasons.append(Reason("fault_not_applied", message, "Look at chaos.log."))
    if not evidence.activities:
        message = "the experiment left no journal, so nobody knows whether it ran to its end"
        reasons.append(Reason("experiment_not_recorded", message, "Look at chaos.log."))
    for fault in evidence.faults:
        reasons += _one_fault(fault, failed[0].error if failed else "")
    unmet = [a for a in failed if a.section == HYPOTHESIS]
    if unmet and evidence.faults:
        message = f"the experiment's own hypothesis {unmet[0].name!r}: {unmet[0].error}"
        remedy = "Say it as an objective: then it is judged all along, and by its samples."
        reasons.append(Reason("hypothesis_not_met", message, remedy))
    if failed and evidence.faults and not reasons:
        message = f"{failed[0].section} {failed[0].name!r} {failed[0].status}: {failed[0].error}"
        reasons.append(Reason("activity_failed", message, "Look at chaos.log."))
    return reasons


def _one_fault(fault: FaultRecord, error: str) -> list[Reason]:
    name = f"{fault.kind} on {fault.target}"
    if fault.proven_at is None:
        message = f"{name} was not proven to bite" + (f": {error}" if error else "")
        return [Reason("fault_not_applied", message, "Look at chaos.log.")]
    if not fault.held:
        return []
    if not fault.hold_s:
        return [Reason("fault_not_held", f"{name} was never held")]
    until = fault.last_seen_at or fault.proven_at
    held_s = until - fault.proven_at
    if fault.heal_called_at is not None:
        held_s = min(held_s, fault.heal_called_at - fault.proven_at)
    if held_s < MIN_HELD * fault.hold_s:
        message = f"{name} was seen to bite for {held_s:.1f} s of {fault.hold_s:.1f} s planned"
        return [Reason("fault_not_held", message, "Look at chaos.log.")]
    return []


def _load_gaps(evidence: Evidence, windows: Windows) -> list[Reason]:
    """Offered load outside the fault: by the time of sending, against the schedule."""
    samples = evidence.samples
    if samples is None or len(samples.records) == 0:
        return [Reason("no_load", "the load generator recorded nothing", "Look at load.log.")]
    if not samples.intact:
        shared = evidence.scenario.load.shared
        code = "worker_lost" if shared else "load_lost"
        return [Reason(code, "the load generator died on the way", "Look at load.log.")]
    if samples.clock_error_s > MOST_CLOCK_ERROR_S:
        return [_clocks_apart(samples.clock_error_s)]
    journeys = samples.of_kind(Kind.JOURNEY)
    reasons = _missing(evidence, samples, journeys, windows)
    sent_at = journeys["sent"][journeys["outcome"] != RequestOutcome.UNSENT]
    for phase in (Phase.STEADY, Phase.AFTER):
        window = windows.get(phase)
        if window is None:
            continue
        planned = _planned(evidence, samples, windows, window)
        sent = int(((sent_at >= window.start) & (sent_at < window.end)).sum())
        if sent < MIN_OFFERED * planned:
            message = f"{sent:,} of {planned:,} planned arrivals were sent during {phase}"
            if lag_p99_s(journeys) > SATURATED_LAG_S:
                reasons.append(Reason("load_saturated", message, advice(samples, window)))
                continue
            held = f"This machine held about {sent / window.length_s:.0f}/s."
            reasons.append(Reason("offered_load_low", message, f"Lower the arrival rate. {held}"))
    return reasons


def _clocks_apart(error_s: float) -> Reason:
    message = (
        f"times of load workers on other hosts are known to {error_s * 1000:.0f} ms only, "
        f"and {MOST_CLOCK_ERROR_S * 1000:.0f} ms are allowed"
    )
    remedy = "Let the hosts keep time by NTP, and the workers reach the master by a shorter way."
    return Reason("clocks_apart", message, remedy)


def _planned(evidence: Evidence, samples: LoadSamples, windows: Windows, window: Window) -> int:
    """Arrivals due by the scenario, whatever schedule the generator believes it was given."""
    start = min(each.start for each in windows.values())
    return max(samples.planned(window), _surely_planned(evidence.scenario, start, window))


def _surely_planned(scenario: Scenario, start: float, window: Window) -> int:
    """Arrivals that the scenario's own plan has at least, by no count of the generator's.

    A recording is in no scenario file, and a closed loop plans nothing.
    """
    plan = scenario.load.arrivals
    if not isinstance(plan, Arrivals):
        return 0
    mean = plan.expected(window.start - start, window.end - start)
    least = mean - POISSON_SIGMAS * math.sqrt(mean) if plan.poisson else mean
    return max(0, int(least))


def _missing(
    evidence: Evidence, samples: LoadSamples, journeys: Records, windows: Windows
) -> list[Reason]:
    """A census needs everybody: each arrival leaves a record, even one that was never sent."""
    reasons = []
    mad = int(impossible(samples.records).sum())
    if mad:
        message = f"{mad:,} of {len(samples.records):,} records have times that cannot be"
        reasons.append(Reason("impossible_times", message, "Look at load.log."))
    for phase, window in windows.items():
        planned, found = _planned(evidence, samples, windows, window), len(within(journeys, window))
        if phase is not Phase.WARMUP and found < MIN_OFFERED * planned:
            message = f"{found:,} of {planned:,} arrivals due during {phase} are on record"
            reasons.append(Reason("samples_missing", message, "Look at load.log."))
    return reasons
