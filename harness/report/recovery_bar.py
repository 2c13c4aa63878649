"""The time to recover as an interval on a line that also has its limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.report import svg
from harness.report.headline import recovery_words
from harness.report.tables import interval
from harness.report.words import value

Result = Mapping[str, Any]


def draw(number: int, result: Result, recovery: Mapping[str, Any]) -> str:
    """The drawing of one subject; ``number`` makes its id one of a kind."""
    limit = _limit(result, recovery)
    settled = recovery.get("settled") or {}
    low, high = settled.get("low", recovery["low"]), settled.get("high", recovery["high"])
    known = [v for v in (low, high, limit) if v is not None]
    longest = max(known, default=1.0) * 1.18 or 1.0
    left, width = svg.LEFT, svg.PLOT

    def x(seconds: float) -> float:
        return left + width * min(seconds / longest, 1)

    parts = [svg.rule(left, 34, left + width, 34, "tick"), svg.text(left, 54, "0 s")]
    if low is not None:
        end = longest if high is None else high
        span = max(x(end) - x(low), 5.0)
        ill = recovery["state"] in ("not_recovered", "relapsed") and not settled
        kind = "bad" if ill else "good"
        parts.append(svg.rule(left, 34, x(low), 34, "wait"))
        parts.append(svg.rect(x(low), 26, span, 16, f"interval {kind}"))
        late = x(low) > left + width * 0.75
        place, anchor = (x(low) + span, "end") if late else (x(low), "start")
        parts.append(
            svg.text(place, 19, interval({**recovery, **settled}), kind="strong", anchor=anchor)
        )
    if limit is not None:
        parts.append(svg.rule(x(limit), 22, x(limit), 46, "limit"))
        words = f"limit {value(limit, 's')}"
        parts.append(svg.text(x(limit), 60, words, kind="limit", anchor="middle"))
    told = recovery_words(recovery)
    return svg.document(f"recovery-{number}", f"Recovery of {recovery['sli']}", told, 66, parts)


def _limit(result: Result, recovery: Mapping[str, Any]) -> float | None:
    subject = "" if recovery["sli"] == "all" else f" of {recovery['sli']}"
    wanted = f"recovery{subject} <"
    limits = (c["limit"] for c in result["checks"] if c["objective"].startswith(wanted))
    return next((float(limit) for limit in limits if limit is not None), None)
