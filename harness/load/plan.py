"""The arrival plan that the harness hands to the load process, and its schedule.

Pure. The schedule is absolute: arrival ``k`` is due at a time that does not depend on how
the ones before it went.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass

ENVIRONMENT = "HARNESS_LOAD_PLAN"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """What the load process needs to know.

    Args:
        folder: Where it writes its samples.
        arrivals_per_s: Constant arrival rate.
        timeout_s: A user gives up this long after the send.
        max_in_flight: Users in the pool; further arrivals wait, and the wait counts.
        seed: For whatever the journeys draw at random.
    """

    folder: str
    arrivals_per_s: float
    timeout_s: float
    max_in_flight: int
    seed: int

    def due_s(self, k: int) -> float:
        """When arrival ``k`` (from 0) is due, in seconds from the start of the schedule."""
        return k / self.arrivals_per_s

    def planned(self, start_s: float, end_s: float) -> int:
        """How many arrivals are due in ``[start_s, end_s)`` of the schedule."""
        first = math.ceil(max(0.0, start_s) * self.arrivals_per_s - 1e-9)
        last = math.ceil(max(0.0, end_s) * self.arrivals_per_s - 1e-9)
        return max(0, last - first)

    def dump(self) -> str:
        """The plan as JSON text."""
        return json.dumps(asdict(self), sort_keys=True)


def load(text: str) -> LoadPlan:
    """Parse :meth:`LoadPlan.dump`."""
    return LoadPlan(**json.loads(text))
