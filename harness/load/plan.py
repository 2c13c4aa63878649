"""What the harness hands to each load process, and the arrivals that are its share.

Pure but for the random generator that it seeds: the same plan gives the same arrivals and
journeys in every process, whatever their number.
"""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass

from harness import arrival_text
from harness.arrivals import Plan, Replay
from harness.schedule import Schedule

ENVIRONMENT = "HARNESS_LOAD_PLAN"  #: the plan's file, for a process of this machine
MASTER = "HARNESS_LOAD_MASTER"  #: the run's folder, for the master of workers on other hosts
JOIN = "HARNESS_LOAD_JOIN"  #: seconds to look for a master, for a worker on another host
HTTP_REQUESTS = "HARNESS_LOAD_HTTP"  #: what the built-in profile sends


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """What one load process needs to know.

    Args:
        folder: Where it writes its samples.
        arrivals: The whole plan of arrivals as text; None for a closed loop.
        times_s: The instants of a replay.
        users: This process's users: the pool that arrivals are served from, or a closed loop.
        timeout_s: A user gives up this long after the send.
        seed: For the gaps of Poisson arrivals and the choice of journeys.
        worker: Number of this process, from 0.
        workers: How many share the arrivals.
    """

    folder: str
    arrivals: str | None
    timeout_s: float
    users: int
    seed: int
    times_s: tuple[float, ...] = ()
    worker: int = 0
    workers: int = 1

    def schedule(self) -> Schedule | None:
        """The arrivals of all processes together; None for a closed loop."""
        offered = self.offered()
        return None if offered is None else Schedule(offered, random.Random(self.seed))

    def offered(self) -> Plan | None:
        """The plan of arrivals; None for a closed loop."""
        if self.arrivals is None:
            return None
        plan = arrival_text.parse(self.arrivals)
        if isinstance(plan, Replay):
            return Replay(path=plan.path, speed=plan.speed, times_s=self.times_s)
        return plan

    def dump(self) -> str:
        """The plan as JSON text."""
        return json.dumps(asdict(self), sort_keys=True)


def load(text: str) -> LoadPlan:
    """Parse :meth:`LoadPlan.dump`."""
    document = json.loads(text)
    return LoadPlan(**document | {"times_s": tuple(document["times_s"])})


def share_of(users: int, worker: int, workers: int) -> int:
    """How many of the users one worker has; all of them together have each one once."""
    return len(range(worker, users, workers))
