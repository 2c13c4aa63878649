"""In-memory stand-ins for every port: one simulated world with a clock that only waits move.

They ship with the package, so that anybody can try a lifecycle without a single process::

    world = World()
    evidence = run(lab(world, scenario))

The world behaves: a fault makes the answers degraded while it is on. Tests break one thing.
"""

from __future__ import annotations

from harness.fakes.ports import (
    FakeChaos,
    FakeClock,
    FakeFaults,
    FakeLoad,
    FakeMetrics,
    FakeReceiver,
    FakeStack,
    FakeStop,
    FakeStore,
    FakeWatcher,
)
from harness.fakes.world import EPOCH, World, healthy
from harness.fakes.writes import FakeWrites
from harness.model import Scenario
from harness.ports import Lab

__all__ = ["EPOCH", "World", "healthy", "lab"]


def lab(world: World, scenario: Scenario) -> Lab:
    """The ports onto a world for one scenario."""
    return Lab(
        scenario=scenario,
        clock=FakeClock(world),
        stop=FakeStop(world),
        stack=FakeStack(world),
        load=FakeLoad(world),
        chaos=FakeChaos(world),
        faults=FakeFaults(world),
        metrics=None if scenario.client_side_only else FakeMetrics(world),
        store=FakeStore(world),
        watcher=FakeWatcher(world),
        writes=FakeWrites(world),
        receiver=FakeReceiver(world),
    )
