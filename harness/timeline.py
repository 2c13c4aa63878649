"""Which time belongs to which phase: from what happened, not from what was planned.

The phases that were reached lie side by side without a gap, so that no request escapes
judgement. The fault phase begins with the first call that injects and ends with the last
heal that is proven: what users feel between the call and its proof is the fault's doing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.model import Event, FaultRecord, Phase, PhasePlan, Window

LOAD_STARTED = "load_started"
RECOVERY_ENDED = "recovery_ended"
LOAD_STOPPING = "load_stopping"


def first(events: Sequence[Event], kind: str) -> Event | None:
    """The first event of a kind."""
    return next((e for e in events if e.kind == kind), None)


def phases(
    events: Sequence[Event], faults: Sequence[FaultRecord], plan: PhasePlan
) -> Mapping[Phase, Window]:
    """The phases that this run reached, each with its window.

    A run that was stopped early has fewer of them; the last one ends when the load ended.
    """
    started, stopping = first(events, LOAD_STARTED), first(events, LOAD_STOPPING)
    if started is None or stopping is None:
        return {}
    begin, end = float(str(started.data["zero"])), stopping.at
    called = [f.called_at or f.intended_at for f in faults]
    healed = [f.heal_proven_at for f in faults if f.heal_proven_at is not None]
    recovered = first(events, RECOVERY_ENDED)
    borders = [(Phase.WARMUP, begin), (Phase.STEADY, begin + plan.warmup_s)]
    if called:
        borders.append((Phase.FAULT, min(called)))
        if len(healed) == len(faults):
            borders.append((Phase.RECOVERY, max(healed)))
        if recovered is not None:
            borders.append((Phase.AFTER, recovered.at))
    windows = {}
    for (phase, start), (_, until) in zip(borders, [*borders[1:], (None, end)], strict=True):
        window = Window(start=min(start, end), end=min(until, end))
        if window.length_s > 0:
            windows[phase] = window
    return windows


def fault_window(faults: Sequence[FaultRecord]) -> Window | None:
    """From the first proven injection to the last proven heal; None when nothing was proven."""
    proven = [f.proven_at for f in faults if f.proven_at is not None]
    healed = [f.heal_proven_at for f in faults if f.heal_proven_at is not None]
    if not proven or not healed:
        return None
    return Window(start=min(proven), end=max(healed))
