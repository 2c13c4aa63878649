"""Prometheus rules of a scenario's objectives: error ratios and burn-rate alerts. Pure.

Each SLI that is a ratio (``good`` or ``bad`` and ``total``) and has a limit in steady gives
recording rules of its error ratio over seven windows and two alerts on how fast it burns its
error budget, each on a long and a short window: Google's Site Reliability Workbook, chapter 5,
"Multiwindow, Multi-Burn-Rate Alerts", table 5-8.

A run lasts minutes, and those windows hours. For a test stack every window, and the period of
the SLO with them, can be divided by one number: the burn rates stay the same. Such rules have
other names and labels, so that nobody takes them for those of production.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.model import Op, Phase, Scenario, Threshold, Unit
from harness.promql import duration_s, over
from harness.slis import Sli
from harness.units import show_duration

PERIOD_S = 30 * 86_400.0
RECORD = "slo:sli_error:ratio_rate"
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
SCALED_INTERVAL = "1s"  # the shortest scaled windows are seconds
HOUR_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Burn:
    """``budget`` of the error budget spent within the long window is worth an alert.

    The short window, a twelfth of the long one, ends the alert soon after the trouble.
    """

    severity: str
    budget: float
    long: str
    long_s: float
    short: str

    def rate(self, period_s: float) -> float:
        """How many times as fast as allowed that burns."""
        return round(self.budget * period_s / self.long_s, 6)


BURNS = (
    Burn(severity="page", budget=0.02, long="1h", long_s=HOUR_S, short="5m"),
    Burn(severity="page", budget=0.05, long="6h", long_s=6 * HOUR_S, short="30m"),
    Burn(severity="ticket", budget=0.10, long="1d", long_s=24 * HOUR_S, short="2h"),
    Burn(severity="ticket", budget=0.10, long="3d", long_s=72 * HOUR_S, short="6h"),
)

#: Pages and tickets have names of their own: they go different ways, and end at different times.
PACES = {"page": "Fast", "ticket": "Slow"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """A rule file as plain data, and what it leaves out, named."""

    document: dict[str, Any]
    left_out: tuple[str, ...]

    @property
    def empty(self) -> bool:
        """Whether there is no rule at all."""
        return not self.document["groups"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slo:
    """What the rules of one scenario are made with.

    ``period_s`` is the window of the SLO, over which its error budget is counted; ``scale``
    what every window is divided by (1: as in production); ``runbook`` goes with each alert.
    """

    scenario: Scenario
    period_s: float = PERIOD_S
    scale: int = 1
    runbook: str = ""

    @property
    def name(self) -> str:
        """The beginning of the names of its groups."""
        return (
            f"slo-{self.scenario.name}" if self.scale == 1 else f"slo-scaled-{self.scenario.name}"
        )

    def window(self, text: str) -> str:
        """A window of the workbook as it is here."""
        if self.scale == 1:
            return text
        milliseconds = round(duration_s(text) * 1000 / self.scale)
        if milliseconds % 1000:
            return f"{milliseconds}ms"
        return show_duration(milliseconds / 1000)

    @property
    def period(self) -> str:
        """The window of the SLO in words."""
        seconds = self.period_s / self.scale
        return f"{seconds / 86_400:g} days" if seconds >= 86_400 else show_duration(round(seconds))

    def labels(self, sli: Sli) -> dict[str, str]:
        """What tells the series and alerts of one SLI from others."""
        found = {"slo": sli.name, "scenario": self.scenario.name}
        return found if self.scale == 1 else {**found, "scale": str(self.scale)}

    def group(self, name: str, rules: list[dict[str, Any]]) -> dict[str, Any]:
        """A group of rules."""
        if self.scale == 1:
            return {"name": name, "rules": rules}
        return {"name": name, "interval": SCALED_INTERVAL, "rules": rules}


def rules_of(
    scenario: Scenario, period_s: float = PERIOD_S, *, scale: int = 1, runbook: str = ""
) -> Rules:
    """The rules of every SLI of a scenario that they can be made of; see :class:`Slo`."""
    slo = Slo(scenario=scenario, period_s=period_s, scale=scale, runbook=runbook)
    groups: list[dict[str, Any]] = []
    left_out: list[str] = []
    for sli in scenario.slis.values():
        target = _target(sli, scenario)
        if not sli.total:
            left_out.append(f"{sli.name}: only `good` or `bad` with `total` has an error budget")
        elif target is None:
            left_out.append(f"{sli.name}: no objective in steady gives it a target")
        elif not 0 < target < 1:
            left_out.append(f"{sli.name}: a target of {target:.6g} leaves no error budget to burn")
        else:
            try:
                recording = [_recording(sli, slo, slo.window(window)) for window in WINDOWS]
            except ValueError as error:
                left_out.append(f"{sli.name}: its query does not go over other windows: {error}")
                continue
            name = f"{slo.name}-{sli.name}"
            alerts, silent = _alerts(sli, slo, target)
            left_out += silent
            groups.append(slo.group(f"{name}-ratios", recording))
            if alerts:
                groups.append(slo.group(f"{name}-alerts", alerts))
    return Rules(document={"groups": groups}, left_out=tuple(left_out))


def _target(sli: Sli, scenario: Scenario) -> float | None:
    """The strictest share of good events that an objective in steady asks for."""
    wanted = (Op.GE, Op.GT) if sli.good else (Op.LE, Op.LT)
    limits = [
        c.limit.value
        for c in (o.condition for o in scenario.objectives)
        if isinstance(c, Threshold)
        and c.subject == sli.name
        and Phase.STEADY in c.phases
        and c.limit.unit in (Unit.RATIO, Unit.NUMBER)
        and c.op in wanted
    ]
    if not limits:
        return None
    return max(limits) if sli.good else round(1 - min(limits), 12)


def _recording(sli: Sli, slo: Slo, window: str) -> dict[str, Any]:
    """The share of bad events; what nobody counted is 0 while there was anything to count."""
    part, total = over(sli.good or sli.bad, window), over(sli.total, window)
    share = f"(({part}) or 0 * ({total})) / ({total})"
    return {
        "record": f"{RECORD}{window}",
        "expr": f"1 - {share}" if sli.good else share,
        "labels": slo.labels(sli),
    }


def _alerts(sli: Sli, slo: Slo, target: float) -> tuple[list[dict[str, Any]], list[str]]:
    """One alert a severity, and the burn rates that could never be reached."""
    allowed = round(1 - target, 12)
    found, silent = [], []
    for severity in dict.fromkeys(burn.severity for burn in BURNS):
        burns = [b for b in BURNS if b.severity == severity]
        able = [b for b in burns if b.rate(slo.period_s) * allowed < 1]
        silent += [
            f"{sli.name}: {b.budget:.0%} of the budget within {slo.window(b.long)} would need more "
            "errors than there are requests, so no alert asks for it"
            for b in burns
            if b not in able
        ]
        if able:
            found.append(_alert(sli, slo, severity, able, target))
    return found, silent


def _alert(sli: Sli, slo: Slo, severity: str, burns: list[Burn], target: float) -> dict[str, Any]:
    labels = slo.labels(sli)
    matchers = ",".join(f'{key}="{value}"' for key, value in labels.items())
    allowed = round(1 - target, 12)
    parts = [" and ".join(_above(b, slo, matchers, allowed)) for b in burns]
    rates = " or ".join(
        f"{b.rate(slo.period_s):g}x over {slo.window(b.long)} and {slo.window(b.short)}"
        for b in burns
    )
    scaled = "" if slo.scale == 1 else "Scaled"
    return {
        "alert": f"{_camel(sli.name)}ErrorBudgetBurn{PACES[severity]}{scaled}",
        "expr": " or ".join(f"({part})" for part in parts),
        "labels": {**labels, "severity": severity},
        "annotations": {
            "summary": f"{sli.name} burns its error budget too fast.",
            "description": (
                f"The target is {target:.10g} over {slo.period}; errors are "
                f"{{{{ $value | humanizePercentage }}}}, and the budget burns at {rates}."
            ),
            **({"runbook": slo.runbook} if slo.runbook else {}),
        },
    }


def _above(burn: Burn, slo: Slo, matchers: str, allowed: float) -> Iterator[str]:
    for window in map(slo.window, (burn.long, burn.short)):
        yield f"{RECORD}{window}{{{matchers}}} > {burn.rate(slo.period_s):g} * {allowed:g}"


def _camel(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", name))
