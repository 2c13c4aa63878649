"""A waiver: somebody answers for a known violation of one check until a day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from harness.errors import InvalidError


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """Which check is waived, why, by whom, and until when.

    ``check`` is the waiver's own line in its canonical spelling, ``objective`` the whole
    objective that it is a part of; ``phases`` are those that it covers, none where the
    objective names none. ``expires`` is the last day (UTC) on which it holds.
    """

    check: str
    objective: str
    phases: tuple[str, ...]
    reason: str
    owner: str
    expires: date

    def __post_init__(self) -> None:
        """Refuse a waiver that nobody answers for."""
        if not self.reason.strip() or not self.owner.strip():
            raise InvalidError(f"The waiver of {self.check!r} needs a reason and an owner.")

    def names(self, objective: str, phase: str) -> bool:
        """Whether it is about this check."""
        return objective == self.objective and (not self.phases or phase in self.phases)

    def expired(self, today: date) -> bool:
        """Whether its last day is over."""
        return today > self.expires


class WaiverState(StrEnum):
    """What became of a waiver in a run."""

    APPLIED = "applied"
    UNUSED = "unused"
    EXPIRED = "expired"
