"""The result of a search for the knee: as data, and as text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from harness.capacity import StepPlan
from harness.knee import Ending, Knee
from harness.model import Scenario


def as_document(scenario: Scenario, knee: Knee, plan: StepPlan, cap: str) -> dict[str, Any]:
    """The result as JSON-ready data."""
    high = knee.high_per_s
    return {
        "scenario": scenario.name,
        "under": plan.under,
        "objectives": [o.text for o in scenario.objectives],
        "ending": str(knee.ending),
        "knee_per_s": knee.rate_per_s,
        "low_per_s": knee.low_per_s,
        "high_per_s": high if math.isfinite(high) else None,
        "confidence": 0.95,
        "highest_allowed": cap,
        "step": {"warmup_s": plan.warmup_s, "hold_s": plan.hold_s},
        "steps": [asdict(answer) for answer in knee.answers],
    }


def table(document: Mapping[str, Any]) -> str:
    """The result as text."""
    lines = [line(number, step) for number, step in enumerate(document["steps"], 1)]
    lines.append(_knee_words(document))
    if document.get("normal") is not None and document["ending"] == Ending.FOUND:
        lines.append(_left_words(document))
    return "\n".join(lines)


def _left_words(document: Mapping[str, Any]) -> str:
    """How much of the normal knee is left, at worst and at best by both intervals."""
    normal = document["normal"]
    share = document["knee_per_s"] / normal["knee_per_s"]
    bounds = [document["low_per_s"], normal["high_per_s"], document["high_per_s"]]
    span = ""
    if None not in bounds:
        low, high = bounds[0] / bounds[1], bounds[2] / normal["low_per_s"]
        span = f" ({low:.0%} to {high:.0%})"
    return (
        f"with {document['under']}: {document['knee_per_s']:.4g} of {normal['knee_per_s']:.4g}/s, "
        f"{share:.0%}{span}, beside the search {normal['search']}"
    )


def _knee_words(document: Mapping[str, Any]) -> str:
    low, high = document["low_per_s"], document["high_per_s"]
    upper = "beyond what was offered" if high is None else f"{high:.4g}/s"
    where = f" under {document['under']}" if document["under"] else ""
    match document["ending"]:
        case Ending.FOUND:
            return (
                f"knee{where}: {document['knee_per_s']:.4g}/s, "
                f"with 95 % confidence {low:.4g}/s to {upper}"
            )
        case Ending.ABOVE:
            return f"knee{where}: at or above {low:.4g}/s; {_ceiling(document)}"
        case Ending.BELOW:
            return f"knee{where}: below {upper}: the objectives never held"
        case _:
            return (
                f"knee{where}: not decided in {len(document['steps'])} steps; "
                f"{low:.4g}/s to {upper}. Allow more --steps, or a longer --hold."
            )


def _ceiling(document: Mapping[str, Any]) -> str:
    """Why nothing higher was asked: what may be offered, or what the generator could offer."""
    void = [step for step in document["steps"] if step["held"] is None]
    beyond = [step for step in void if step["rate_per_s"] > document["low_per_s"]]
    if not beyond:
        return f"the search may not go beyond {document['highest_allowed']}"
    lowest = min(beyond, key=lambda step: float(step["rate_per_s"]))
    return f"of {lowest['rate_per_s']:.4g}/s nothing is known: {lowest['because']}"


def line(number: int, step: Mapping[str, Any]) -> str:
    """One step, also while the search goes on."""
    held = {True: "held", False: "broke", None: "void"}[step["held"]]
    sure = "" if step["sure"] or step["held"] is None else " (not sure)"
    return f"step {number:>2}  {step['rate_per_s']:>8.4g}/s  {held}{sure}  {step['because']}"
