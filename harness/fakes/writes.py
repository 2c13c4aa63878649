"""A store of writes onto a simulated world."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from harness.descriptor import StackDescriptor
from harness.durability.ledger import Ledger
from harness.durability.reconciliation import Copy
from harness.durability.series import WriteSeries
from harness.errors import ReadBackError
from harness.fakes.world import World


@dataclass
class FakeWrites:
    """Keeps what the world says of it or of a replica; with ``store_problem`` nothing is read."""

    world: World

    def mark(self, series: WriteSeries, stack: StackDescriptor) -> None:
        """Note where it ends."""
        self.world.calls.append(f"mark {series.name} of {stack.id}")
        self._refuse()

    def read(self, series: WriteSeries, keys: Collection[str]) -> tuple[Copy, ...]:
        """What is there now."""
        self.world.calls.append(f"read {len(keys)} of {series.name}")
        self._refuse()
        return self.world.replicas.get(series.name, self.world.copies)(self.world)

    def ledger(self) -> Ledger | None:
        """What was put on record."""
        return self.world.ledger

    def _refuse(self) -> None:
        if self.world.store_problem:
            raise ReadBackError(self.world.store_problem)
