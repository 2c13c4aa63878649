"""The result of an overload analysis: as data, and as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from harness.errors import ExitCode
from harness.knee import Knee
from harness.model import Outcome, Scenario
from harness.overload import MIN_RATIO, Overload, Step
from harness.staircase import as_data, latency_limits_s
from harness.units import show_duration

CODES = {
    Outcome.PASS: ExitCode.PASS,
    Outcome.FAIL: ExitCode.FAIL,
    Outcome.INCONCLUSIVE: ExitCode.INCONCLUSIVE,
}
HELD = {True: "held", False: "broke", None: "void"}


def as_document(
    scenario: Scenario, searched: Knee | None, steps: Sequence[Step], judged: Overload
) -> dict[str, Any]:
    """The result as JSON-ready data; ``searched`` is None where somebody gave the knee."""
    code, ratio, hysteresis = CODES[judged.outcome], judged.ratio, judged.hysteresis
    return {
        "scenario": scenario.name,
        "objectives": [o.text for o in scenario.objectives],
        "good_within_s": {"others": scenario.load.timeout_s, **latency_limits_s(scenario)},
        "confidence": 0.95,
        "knee": {
            "rate_per_s": judged.knee.rate_per_s,
            "searched": searched is not None,
            "low_per_s": None if searched is None else searched.low_per_s,
            "high_per_s": None if searched is None else searched.high_per_s,
            **_goodput(judged.knee),
        },
        "top": {"rate_per_s": judged.top.rate_per_s, **_goodput(judged.top)},
        "ratio": None if ratio is None else {**asdict(ratio), "limit": MIN_RATIO},
        "hysteresis": None if hysteresis is None else asdict(hysteresis),
        "came_back": judged.came_back,
        "verdict": {
            "name": code.name,
            "exit_code": int(code),
            "reasons": [asdict(reason) for reason in judged.reasons],
        },
        "steps": [as_data(step) for step in steps],
    }


def _goodput(step: Step) -> dict[str, float]:
    return {
        "goodput_per_s": step.goodput_per_s,
        "goodput_low_per_s": step.low_per_s,
        "goodput_high_per_s": step.high_per_s,
    }


def table(document: Mapping[str, Any]) -> str:
    """The result as text."""
    lines = [_step(step) for step in document["steps"]]
    lines.append(f"good are answers within {_limits(document['good_within_s'])}")
    knee, top, ratio = document["knee"], document["top"], document["ratio"]
    for name, side in (("knee", knee), ("top", top)):
        lines.append(
            f"goodput at the {name}, {side['rate_per_s']:.4g}/s: {side['goodput_per_s']:.4g}/s "
            f"({side['goodput_low_per_s']:.4g} to {side['goodput_high_per_s']:.4g}/s)"
        )
    if ratio is not None:
        lines.append(
            f"ratio: {ratio['value']:.0%}, with 95 % confidence {ratio['low']:.0%} to "
            f"{ratio['high']:.0%}; at least {ratio['limit']:.0%} is wanted"
        )
    lines.append(_hysteresis(document["hysteresis"]))
    for reason in document["verdict"]["reasons"]:
        remedy = f" {reason['remedy']}" if reason["remedy"] else ""
        lines.append(f"{reason['code']}: {reason['message']}.{remedy}")
    lines.append(f"{document['verdict']['name']}: {_in_short(document)}")
    return "\n".join(lines)


def _step(step: Mapping[str, Any]) -> str:
    sure = "" if step["sure"] or step["held"] is None else " (not sure)"
    way = "up  " if step["rising"] else "down"
    return (
        f"{way} {step['rate_per_s']:>8.4g}/s  good {step['goodput_per_s']:>8.4g}/s  "
        f"{HELD[step['held']]}{sure}  {step['because']}"
    )


def _limits(limits: Mapping[str, float]) -> str:
    parts = [f"{show_duration(s)} ({name})" for name, s in limits.items() if name != "others"]
    return ", ".join([*parts, f"{show_duration(limits['others'])} (any other)"])


def _hysteresis(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "hysteresis: cannot be told, the objectives did not both hold and break"
    edges = (
        f"held up to {found['held_per_s']:.4g}/s and broke at {found['broke_per_s']:.4g}/s on "
        "the way up"
    )
    step = f"known to one step of {found['resolution_per_s']:.4g}/s"
    if found["held_again_per_s"] is None:
        return f"{edges}; never held again: hysteresis of at least {found['low_per_s']:.4g}/s"
    back = f"held again from {found['held_again_per_s']:.4g}/s on the way down"
    return f"{edges}; {back}: hysteresis {found['width_per_s']:.4g}/s, {step}"


def _in_short(document: Mapping[str, Any]) -> str:
    match document["verdict"]["name"]:
        case "PASS":
            return "the goodput holds beyond the knee, and it comes back"
        case "FAIL":
            codes = {reason["code"] for reason in document["verdict"]["reasons"]}
            parts = ["the goodput collapses beyond the knee"] * ("goodput_collapse" in codes)
            parts += ["it does not come back by itself"] * ("does_not_come_back" in codes)
            return ", and ".join(parts)
        case _:
            return "not decided; what would decide it is said above"
