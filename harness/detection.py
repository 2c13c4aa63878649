"""Time to detect: from the onset of a fault to its alert pending, firing and received. Pure.

The onset is the proof of the injection. An alert's state is known where Prometheus was looked
at, so each time is an interval: from the last look at which it was not so to the first one at
which it was. What arrived is known by the receiver, as well as its clock is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.alerting import FIRING, AlertFacts, Delivery
from harness.evidence import Evidence
from harness.model import FaultRecord
from harness.slis import Series


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Seconds after the onset, between ``low`` and ``high``; never negative."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """How one alert told of one fault.

    ``state`` is ``detected``, ``not_detected``, ``fired_before`` (it fired already, so it says
    nothing of this fault) or ``unknown``. ``received`` is its first arrival at ``channel``.
    """

    fault: str
    state: str
    pending: Span | None = None
    firing: Span | None = None
    received: Span | None = None
    channel: str = ""


def detections(alert: str, evidence: Evidence) -> tuple[Detection, ...]:
    """One of each fault of the run, in their order."""
    series = evidence.alerts.get(alert)
    facts = evidence.alerting.get(alert, AlertFacts())
    faults = sorted(evidence.faults, key=called_at)
    found = []
    for number, fault in enumerate(faults):
        later = [called_at(f) for f in faults[number + 1 :] if called_at(f) > called_at(fault)]
        until = min(later, default=float("inf"))
        found.append(_detection(alert, fault, until, series, facts, first=number == 0))
    return tuple(found)


def called_at(fault: FaultRecord) -> float:
    """When its injection was asked for."""
    return fault.called_at or fault.intended_at


def _detection(
    alert: str,
    fault: FaultRecord,
    until: float,
    series: Series | None,
    facts: AlertFacts,
    *,
    first: bool,
) -> Detection:
    called, onset = called_at(fault), fault.proven_at
    if series is None or series.problem or onset is None:
        return Detection(fault=fault.id, state="unknown")
    looks = looks_of(series)
    firing = [t for t, value in series.points if value == 1]
    before = [t for t in looks if t < called]
    if any(t < called and (first or t == before[-1]) for t in firing):
        return Detection(fault=fault.id, state="fired_before")
    fired = [t for t in firing if called <= t < until]
    if not fired and not any(called <= t < until for t in looks):
        return Detection(fault=fault.id, state="unknown")
    fired_at = min(fired, default=until)
    waited = [t for t in facts.pending if called <= t < fired_at]
    already = bool(before) and before[-1] in facts.pending
    arrived = first_arrival(alert, facts.deliveries, called, until)
    return Detection(
        fault=fault.id,
        state="detected" if fired else "not_detected",
        pending=_span(min(waited), looks, series.step_s, onset) if waited and not already else None,
        firing=_span(fired_at, looks, series.step_s, onset) if fired else None,
        received=None if arrived is None else _after(arrived.low, arrived.high, onset),
        channel="" if arrived is None else arrived.channel,
    )


def first_arrival(
    alert: str, deliveries: Sequence[Delivery], since: float, until: float, channel: str = ""
) -> Delivery | None:
    """The first notification that an alert fires, at this channel or at any."""
    found = [
        d
        for d in deliveries
        if d.alert == alert
        and d.status == FIRING
        and not d.problem
        and since <= d.high
        and d.low < until
        and channel in ("", d.channel)
    ]
    return min(found, key=lambda d: d.high, default=None)


def looks_of(series: Series) -> list[float]:
    """The times at which Prometheus was looked at, whatever was seen."""
    return sorted({t for t, _ in series.points} | {t for t, _, _ in series.left_out})


def bounds(at: float, looks: Sequence[float], step_s: float) -> tuple[float, float]:
    """Between which times something changed that was seen at one of the looks."""
    return max((t for t in looks if t < at), default=at - step_s), at


def _span(at: float, looks: Sequence[float], step_s: float, onset: float) -> Span:
    return _after(*bounds(at, looks, step_s), onset)


def _after(low: float, high: float, onset: float) -> Span:
    return Span(low=max(0.0, low - onset), high=max(0.0, high - onset))
