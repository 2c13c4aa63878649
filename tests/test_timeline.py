"""Which time belongs to which phase, from what happened."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model import Event, FaultRecord, Phase, PhasePlan, Window
from harness.timeline import (
    LOAD_STARTED,
    LOAD_STOPPING,
    RECOVERY_ENDED,
    fault_window,
    first,
    phases,
)
from tests.builders import (
    AFTER,
    CALLED,
    END,
    HEAL_PROVEN,
    STEADY,
    ZERO,
    event,
    events,
    fault,
    kill,
)

PLAN = PhasePlan(warmup_s=5, steady_s=30, recovery_s=15, after_s=10)


def window(start: float, end: float) -> Window:
    return Window(start=start, end=end)


WHOLE = {
    Phase.WARMUP: window(ZERO, STEADY),
    Phase.STEADY: window(STEADY, CALLED),
    Phase.FAULT: window(CALLED, HEAL_PROVEN),
    Phase.RECOVERY: window(HEAL_PROVEN, AFTER),
    Phase.AFTER: window(AFTER, END),
}


def early(end: float) -> tuple[Event, ...]:
    return (event(LOAD_STARTED, ZERO, zero=ZERO), event(LOAD_STOPPING, end))


CASES: dict[str, tuple[tuple[Event, ...], tuple[FaultRecord, ...], dict[Phase, Window]]] = {
    "a whole run has all five, side by side": (events(), (fault(),), WHOLE),
    "a load test without a fault has two": (
        events(without=[RECOVERY_ENDED]),
        (),
        {Phase.WARMUP: WHOLE[Phase.WARMUP], Phase.STEADY: window(STEADY, END)},
    ),
    "a run stopped in warm-up has one": (
        early(ZERO + 3),
        (),
        {Phase.WARMUP: window(ZERO, ZERO + 3)},
    ),
    "a run stopped in steady has two, the last one cut": (
        early(STEADY + 3),
        (),
        {Phase.WARMUP: WHOLE[Phase.WARMUP], Phase.STEADY: window(STEADY, STEADY + 3)},
    ),
    "a fault that was never proven healed lasts to the end": (
        events(without=[RECOVERY_ENDED]),
        (fault(heal_proven_at=None),),
        {
            Phase.WARMUP: WHOLE[Phase.WARMUP],
            Phase.STEADY: WHOLE[Phase.STEADY],
            Phase.FAULT: window(CALLED, END),
        },
    ),
    "one unhealed fault of two keeps recovery from beginning": (
        events(without=[RECOVERY_ENDED]),
        (fault(), fault(id="f2", heal_proven_at=None)),
        {
            Phase.WARMUP: WHOLE[Phase.WARMUP],
            Phase.STEADY: WHOLE[Phase.STEADY],
            Phase.FAULT: window(CALLED, END),
        },
    ),
    "several faults: from the first call to the last proof": (
        events(),
        (
            fault(called_at=CALLED + 2, heal_proven_at=HEAL_PROVEN + 3),
            fault(id="f2", heal_proven_at=HEAL_PROVEN - 4),
        ),
        {
            **WHOLE,
            Phase.FAULT: window(CALLED, HEAL_PROVEN + 3),
            Phase.RECOVERY: window(HEAL_PROVEN + 3, AFTER),
        },
    ),
    "a fault that never got to its call begins with its intent": (
        events(),
        (fault(called_at=None, intended_at=CALLED - 1),),
        {
            **WHOLE,
            Phase.STEADY: window(STEADY, CALLED - 1),
            Phase.FAULT: window(CALLED - 1, HEAL_PROVEN),
        },
    ),
    "a kill ends when the target is read back": (events(), (kill(),), WHOLE),
    "recovery that never ended has no after": (
        events(without=[RECOVERY_ENDED]),
        (fault(),),
        {
            **{p: WHOLE[p] for p in (Phase.WARMUP, Phase.STEADY, Phase.FAULT)},
            Phase.RECOVERY: window(HEAL_PROVEN, END),
        },
    ),
    "a fault during warm-up leaves no steady phase": (
        events(),
        (fault(called_at=ZERO + 2, heal_proven_at=ZERO + 4),),
        {
            Phase.WARMUP: window(ZERO, STEADY),
            Phase.FAULT: window(ZERO + 2, ZERO + 4),
            Phase.RECOVERY: window(ZERO + 4, AFTER),
            Phase.AFTER: WHOLE[Phase.AFTER],
        },
    ),
    "a load that never started has none": (events(without=[LOAD_STARTED]), (fault(),), {}),
    "a load whose end nobody saw has none": (events(without=[LOAD_STOPPING]), (fault(),), {}),
    "no events, no phases": ((), (), {}),
    "a load that began at no number has only what is certain": (
        (event(LOAD_STARTED, ZERO, zero="nan"), event(LOAD_STOPPING, END)),
        (),
        {},
    ),
}


@pytest.mark.parametrize(("happened", "faults", "expected"), CASES.values(), ids=CASES)
def test_phases(
    happened: tuple[Event, ...], faults: tuple[FaultRecord, ...], expected: dict[Phase, Window]
) -> None:
    assert phases(happened, faults, PLAN) == expected


@given(st.floats(0.5, 90))
def test_phases_lie_side_by_side_wherever_the_load_ends(length_s: float) -> None:
    end = ZERO + length_s
    happened = tuple(e for e in events(without=[LOAD_STOPPING]) if e.at <= end)
    found = phases((*happened, event(LOAD_STOPPING, end)), (fault(),), PLAN)
    borders = list(found.values())
    assert all(a.end == b.start for a, b in pairwise(borders))
    assert (borders[0].start, borders[-1].end) == (ZERO, end)
    assert all(w.length_s > 0 for w in borders)


WINDOWS = {
    "from the proof to the proof": ((fault(),), window(CALLED + 0.2, HEAL_PROVEN)),
    "nothing was injected": ((), None),
    "nothing was proven": ((fault(proven_at=None),), None),
    "nothing was healed": ((fault(heal_proven_at=None),), None),
}


@pytest.mark.parametrize(("faults", "expected"), WINDOWS.values(), ids=WINDOWS)
def test_the_fault_window(faults: tuple[FaultRecord, ...], expected: Window | None) -> None:
    found = fault_window(faults)
    assert (found is None) == (expected is None)
    if found is not None and expected is not None:
        assert (found.start, found.end) == pytest.approx((expected.start, expected.end))


def test_the_first_event_of_a_kind() -> None:
    both = (event("a", 1), event("b", 2), event("a", 3))
    assert (first(both, "a"), first(both, "c")) == (both[0], None)


RESTORED = {
    "a heal that was proven": (fault(), True),
    "a heal that was not": (fault(heal_proven_at=None), False),
    "a heal that was only called for": (fault(healed_at=None, heal_proven_at=None), False),
    "a proof older than the last bite": (fault(last_seen_at=HEAL_PROVEN + 1), False),
    "a proof older than the injection, which came late": (
        fault(heal_proven_at=CALLED - 1),
        False,
    ),
    "an injection that was never called for, but healed all the same": (
        fault(called_at=None, injected_at=None, proven_at=None, last_seen_at=None),
        True,
    ),
}


@pytest.mark.parametrize(("record", "restored"), RESTORED.values(), ids=RESTORED)
def test_a_fault_is_undone_when_its_heal_is_proven_after_all_signs_of_it(
    record: FaultRecord, restored: bool
) -> None:
    assert record.restored is restored
