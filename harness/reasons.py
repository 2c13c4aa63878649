"""Reason codes: every way in which a run can be less than a pass, and what each means."""

from __future__ import annotations

from collections.abc import Mapping

REASONS: Mapping[str, str] = {
    "abort_condition": "A declared abort condition held, so the run was stopped: a FAIL.",
    "aborted": "An operator, a signal or a deadline stopped the run.",
    "activity_failed": "An activity of the experiment failed although its faults were proven.",
    "alert_fired_before": "The alert was firing before the fault, so it says nothing about it.",
    "check_error": "Judging this objective raised an error; it counts as not judged.",
    "clocks_apart": "The clocks of load workers on other hosts are known too badly to be compared.",
    "counter_reset": "A counter behind the SLI began anew: what was counted just before is lost.",
    "does_not_come_back": (
        "The objectives do not hold again at a rate that was borne on the way up: a FAIL."
    ),
    "durability_not_read": "The writes could not be read back, so nobody knows what is there.",
    "error": "The harness or its infrastructure failed during the run.",
    "experiment_not_recorded": "Chaos Toolkit left no journal of what it did.",
    "fault_not_applied": "No proof from outside that the fault bit.",
    "fault_not_held": "The fault was seen to bite for less than 95 % of its planned time.",
    "gap": "Prometheus has too few samples in this phase.",
    "goodput_collapse": (
        "Beyond the knee less than 90 % of the goodput at the knee is left: a FAIL."
    ),
    "hypothesis_not_met": "The experiment's own steady-state hypothesis was not met.",
    "impossible_times": "Requests ended before they were sent, or have no time at all.",
    "insufficient_samples": (
        "Too little to decide: in steady under 10 s, or too few effectively independent requests "
        "(299 for a p99); under 10 requests elsewhere."
    ),
    "knee_not_here": (
        "The rate that is said to be the knee is beyond it, so there is nothing to compare with."
    ),
    "leak": "It grows so fast that it reaches its limit within the time that it must last.",
    "ledger_damaged": "The ledger of writes is not whole: acknowledged ones may be missing.",
    "limit_violated": "The observed value is on the wrong side of its limit.",
    "load_lost": "The load generator died before its time.",
    "load_saturated": "The load generator itself was late: its latencies cannot be believed.",
    "many_series": "The SLI's query returned several series where one is needed.",
    "metrics_lost": "Prometheus stopped answering.",
    "nan": "The SLI was not a number where it was needed.",
    "no_acknowledged_writes": "No write was acknowledged, so that none is lost shows nothing.",
    "no_baseline": "There is no accepted run to compare with.",
    "no_data": "The SLI's query returned nothing.",
    "no_direction": "No objective says whether more of this SLI is better or worse.",
    "no_load": "The load generator recorded nothing.",
    "no_objective": "A journey that must be spared has no objective that says what well means.",
    "no_objectives": "No objective was judged that could fail.",
    "no_samples": "No request of this journey was due in this phase.",
    "no_such_alert": "Prometheus has no alert rule of this name.",
    "not_judged": "This kind of objective cannot be judged here, so it counts as not judged.",
    "not_observed": "One side of a comparison has no run that observed this metric.",
    "not_measured": "The run says nothing of a rate that its judgement rests on.",
    "not_overloaded": "The objectives held at the highest rate that was offered as well.",
    "not_positive": "A baseline of zero or less has no ratio to compare with.",
    "not_recovered": "The users were not well again when the observation ended.",
    "not_restored": "It is not proven that every fault is undone.",
    "not_settled": "The store was still changing when the writes were to be counted.",
    "not_watched_long_enough": "Watching ended before the objective's own time was over.",
    "nothing_injected": "Steady state did not hold, so nothing was injected.",
    "nothing_ran": "The run never reached its steady phase.",
    "offered_load_low": "Less than 95 % of the planned arrivals were sent outside the fault.",
    "phase_cut_short": "The run was stopped in this phase, before it could show more.",
    "phase_not_reached": "The run ended before this phase.",
    "recovery_not_judged": "No objective looks at the time after the fault.",
    "recovery_not_measured": "There is no proven fault and heal to count recovery from.",
    "regression": "Worse than the accepted runs by more than the margin and their own noise.",
    "relapsed": "Well again, but out of bounds once more later.",
    "rule_failed": "The alert's rule could not be evaluated, so its silence says nothing.",
    "samples_missing": "Less than 95 % of the planned arrivals of a phase are on record.",
    "steady_state_not_decided": "Steady state could not be decided, so nothing was injected.",
    "steady_state_not_judged": "No objective that may fail looks at the steady phase.",
    "steady_state_violated": "The objectives did not hold before the fault; nothing was injected.",
    "straddles_limit": "The limit lies inside the interval of the observed value.",
    "target_down": "A target behind the SLI or alert was down: it says nothing about the users.",
    "too_few_runs": "Too few runs to tell noise from change: ten accepted ones at least.",
    "unknown_label": "The SLI's query asks for a label that its metric does not have.",
    "unknown_metric": "Prometheus knows no metric of this name.",
    "within_noise": "Worse than the margin, but runs like the accepted ones do that by chance.",
    "witnesses_disagree": "Prometheus and the load say different things of the same in steady.",
    "worker_lost": "One of several load workers died or fell silent, so the load was not whole.",
    "writes_corrupted": "Writes are there, but not as they were sent.",
    "writes_duplicated": "Writes are there more than once.",
    "writes_lost": "Acknowledged writes are not there: a FAIL whatever the generator did.",
    "writes_reordered": "Writes of one group are not in the order in which they were made.",
    "writes_without_key": "Acknowledged writes have no key by which they could be looked for.",
}
