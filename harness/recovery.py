"""Time to recover, as an interval: from what users met, request by request.

A second is out of bounds when a rolling five-second bin around it violates a condition and
the second itself does. Recovery is the first instant from which none is, for as long as
``sustained`` asks. Low counts from the last bad request and the proven event, high from the
answer to the first good request after it and the call that caused the event. Where only a
share of the requests failed, one good answer proves little: high waits for as many as would
have shown a further failure with 95 % probability.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.model import Recovery, RecoveryFrom
from harness.samples import Records

BIN_S = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Flagged:
    """One condition on one subject: which of its requests violate it, and how many may.

    ``violates`` has one flag per record; ``allowed`` is the share that is within bounds.
    """

    records: Records
    violates: NDArray[np.bool_]
    allowed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The event that recovery counts from: when it was called for and when it was proven."""

    kind: RecoveryFrom
    called_at: float
    proven_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """An end of trouble, in Unix seconds.

    Attributes:
        trouble_until: The last that was bad; None where that was never seen.
        good_at: The first that was good after it, ...
        answered_at: ... and when the answer to that was there.
    """

    trouble_until: float | None
    good_at: float
    answered_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How a subject fared after the event that is counted from, as a :class:`Recovery`."""

    subject: str
    origin: Origin
    sustained_s: float

    def never_degraded(self) -> Recovery:
        """It was never out of bounds."""
        return self._told("not_degraded")

    def not_well_until(self, end: float) -> Recovery:
        """It was not well again when watching ended."""
        return self._told("not_recovered", (max(0.0, end - self.origin.proven_at), None))

    def well(self, turn: Turn) -> Recovery:
        """It was well again, for good."""
        if turn.good_at <= self.origin.called_at:
            return self._told("mitigated", (0.0, 0.0), turn.good_at)
        return self._told("recovered", self._span(turn), turn.good_at)

    def well_for_a_time(self, turn: Turn, last: Turn | None) -> Recovery:
        """It was well again and bad once more, until the last turn if there was one."""
        settled = None if last is None else self._span(last)
        return self._told("relapsed", self._span(turn), turn.good_at, settled)

    def _span(self, turn: Turn) -> tuple[float, float]:
        if turn.good_at <= self.origin.called_at:
            return 0.0, 0.0
        since = self.origin.proven_at
        low = 0.0 if turn.trouble_until is None else max(0.0, turn.trouble_until - since)
        return low, max(low, turn.answered_at - self.origin.called_at)

    def _told(
        self,
        state: str,
        span: tuple[float | None, float | None] = (None, None),
        at: float | None = None,
        settled: tuple[float, float] | None = None,
    ) -> Recovery:
        return Recovery(
            subject=self.subject,
            state=state,
            origin=self.origin.kind,
            low_s=span[0],
            high_s=span[1],
            sustained_s=self.sustained_s,
            recovered_at=at,
            settled_s=settled,
        )


def out_of_bounds(condition: Flagged, start: float, seconds: int) -> NDArray[np.bool_]:
    """Which of the seconds from ``start`` on are out of bounds for one condition."""
    offset = condition.records["intended"] - start
    inside = (offset >= 0) & (offset < seconds)  # a start that is no number is in no second
    total = np.bincount(offset[inside].astype(np.int64), minlength=seconds)
    bad = np.bincount(offset[inside & condition.violates].astype(np.int64), minlength=seconds)
    alone = bad > condition.allowed * total
    found = np.zeros(seconds, bool)
    for first in range(max(1, seconds - BIN_S + 1)):
        window = slice(first, first + BIN_S)
        if bad[window].sum() > condition.allowed * total[window].sum():
            found[window] |= alone[window]
    return found


def judge_recovery(
    subject: str,
    conditions: Sequence[Flagged],
    *,
    injected_at: float,
    origin: Origin,
    observed_until: float,
    sustained_s: float,
) -> Recovery:
    """When a subject was well again after a fault.

    Args:
        subject: The journey, or what stands for all of them.
        conditions: What "well" means; all must hold.
        injected_at: When the first injecting call was made.
        origin: The event to count from.
        observed_until: End of the time in which the subject was watched.
        sustained_s: How long it must stay well.
    """
    seconds = max(1, int(np.ceil(observed_until - injected_at)))
    bad = np.zeros(seconds, bool)
    for condition in conditions:
        bad |= out_of_bounds(condition, injected_at, seconds)
    course = Course(subject=subject, origin=origin, sustained_s=sustained_s)
    if not bad.any():
        return course.never_degraded()
    turns = _turns(conditions, bad, injected_at, observed_until, origin, sustained_s)
    if not turns:
        return course.not_well_until(observed_until)
    last_bad = int(np.flatnonzero(bad)[-1])
    if last_bad == min(turns):
        return course.well(turns[last_bad])
    return course.well_for_a_time(turns[min(turns)], turns.get(last_bad))


def _turns(
    conditions: Sequence[Flagged],
    bad: NDArray[np.bool_],
    start: float,
    observed_until: float,
    origin: Origin,
    sustained_s: float,
) -> dict[int, Turn]:
    """Each bad second after which all was well for ``sustained_s``, and how trouble ended there.

    A lull while the fault is still held is no recovery from the heal: only what is well
    after the event that is counted from counts.
    """
    found = {}
    places = np.flatnonzero(bad).tolist()
    following = [*places[1:], None]
    for place, upcoming in zip(places, following, strict=True):
        if upcoming == place + 1:
            continue
        turn = _edges(conditions, start + place, start + place + 1, start)
        if turn is None:
            continue
        well_until = observed_until if upcoming is None else start + upcoming
        if well_until - max(turn.good_at, origin.called_at) >= sustained_s:
            found[place] = turn
    return found


def _edges(conditions: Sequence[Flagged], start: float, end: float, began: float) -> Turn | None:
    """Last violating request of the last bad second, the first fine one after it, its answer.

    ``began`` is when the injection was called for. None when nothing fine came after it:
    silence is not recovery.
    """
    last_bad = start
    fine: list[float] = []
    answered: list[float] = []
    for condition in conditions:
        at = condition.records["intended"]
        violating = at[condition.violates & (at >= start) & (at < end)]
        if len(violating):
            last_bad = max(last_bad, float(violating.max()))
    for condition in conditions:
        at = condition.records["intended"]
        after = condition.records[~condition.violates & (at > last_bad)]
        after = after[np.argsort(after["intended"], kind="stable")]
        needed = _good_needed(_failing(at, condition.violates, began, last_bad))
        if len(after) < needed:
            return None
        fine.append(float(after["intended"][needed - 1]))
        # It may be due in the outage and be met after it: only an answer proves anything.
        answered.append(float(after["completed"][:needed].max()))
    return Turn(trouble_until=last_bad, good_at=max(fine), answered_at=max(answered))


def _failing(
    at: NDArray[np.float64], violates: NDArray[np.bool_], began: float, last_bad: float
) -> float:
    """The share that failed until the last bad request, over the trouble as far as it goes.

    At least a second, at most a bin, and never from before the injection: what was well then
    would make a short outage look like a faint one.
    """
    hit = at[violates & (at > last_bad - BIN_S) & (at <= last_bad)]
    if not (hit > last_bad - 1).any():
        return 0.0  # this condition held already
    since = max(began, min(last_bad - 1, float(np.min(hit))))
    return float(violates[(at >= since) & (at <= last_bad)].mean())


def _good_needed(failing: float) -> int:
    """Good requests in a row that hardly occur while this share of them fails."""
    if not 0 < failing < 1:
        return 1
    return math.ceil(math.log(0.04) / math.log1p(-failing))


def silent(records: Records, start: float, end: float) -> bool:
    """Whether nothing was recorded for so long that nobody can tell how the subject was.

    Five seconds, or ten times what its requests are apart, whichever is longer.
    """
    at = np.sort(records["intended"][records["intended"] < end])
    if end <= start or not (at >= start).any():
        return True
    apart_s = float(end - at[0]) / len(at)
    watched = np.concatenate(([start], at[at >= start], [end]))
    return float(np.diff(watched).max()) > max(BIN_S, 10 * apart_s)
