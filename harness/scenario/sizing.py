"""How large a pool of users an arrival rate needs. Pure arithmetic."""

from __future__ import annotations

import math

FEWEST_USERS, MOST_USERS = 10, 2000
RAMP_UP_S = 10.0  #: to a rate that somebody else's system has not met yet


def users_needed(arrivals_per_s: float, timeout_s: float) -> int:
    """Pool size that a total outage just fills: every arrival waits out its timeout.

    By Little's law rate x timeout are in flight then; a quarter more keeps the pool from
    being the bottleneck. Bounded so that a slip in a scenario cannot exhaust the machine.
    """
    return min(MOST_USERS, max(FEWEST_USERS, math.ceil(arrivals_per_s * timeout_s * 1.25)))
