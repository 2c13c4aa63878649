"""Moving canaries from stage to stage, and counting what their answers were like."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict

from services.canaries import Step
from services.canary_store import CanaryStore
from services.database import DatabaseError
from services.metrics import (
    CANARIES,
    CANARY_ADVANCES,
    CANARY_PROMOTIONS,
    CANARY_ROLLBACK_DURATION,
    CANARY_ROLLBACKS,
)

#: Together they are how long a version that is proven bad goes on being asked.
COUNT_EVERY_S = 0.1
LOOK_EVERY_S = 0.2
REPORT_EVERY_S = 1.0


class AnswerCounter:
    """Answers of new versions, counted here and added to the table all at once.

    What a replica has counted and not added when it dies is lost: a tenth of a second of it.

    Args:
        store: Where the table is.
    """

    def __init__(self, store: CanaryStore) -> None:
        self._store = store
        self._counts: dict[tuple[str, int], tuple[int, int]] = defaultdict(lambda: (0, 0))

    def add(self, canary_id: str, stage: int, requests: int, failures: int) -> None:
        """So many more, given in this stage."""
        before = self._counts[canary_id, stage]
        self._counts[canary_id, stage] = before[0] + requests, before[1] + failures

    async def flush(self) -> None:
        """Add them to the table; what surely was not added is kept for the next time."""
        counts, self._counts = self._counts, defaultdict(lambda: (0, 0))
        try:
            if counts:
                await self._store.count(counts)
        except DatabaseError as error:
            if error.is_unknown:  # twice would be worse than not at all
                return
            for (canary_id, stage), (requests, failures) in counts.items():
                self.add(canary_id, stage, requests, failures)

    async def run(self) -> None:
        """Add for ever."""
        while True:
            await self.flush()
            await asyncio.sleep(COUNT_EVERY_S)


class CanaryExecutor:
    """Moves whatever canary is due; several may work beside each other.

    Args:
        store: Where the canaries are.
    """

    def __init__(self, store: CanaryStore) -> None:
        self._store = store

    async def run(self) -> None:
        """Work for ever; a database that is away is waited for."""
        while True:
            with contextlib.suppress(DatabaseError):  # counted where it failed
                await self.move_due()
            await asyncio.sleep(LOOK_EVERY_S)

    async def move_due(self) -> None:
        """Move all that are due now; raises DatabaseError."""
        for canary_id in await self._store.due():
            moved = await self._store.move(canary_id)
            if moved is None:  # another replica was faster
                continue
            step, reason = moved.decision.step, moved.decision.reason
            if step is Step.ADVANCE:
                CANARY_ADVANCES.inc()
            elif step is Step.PROMOTE:
                CANARY_PROMOTIONS.inc()
            elif step is Step.ROLL_BACK:
                CANARY_ROLLBACKS.labels(reason).inc()
                if moved.failing_for_s is not None:
                    CANARY_ROLLBACK_DURATION.observe(moved.failing_for_s)

    async def report(self) -> None:
        """Export how many canaries there are, for ever."""
        while True:
            try:
                for state, count in (await self._store.counts()).items():
                    CANARIES.labels(state).set(count)
            except DatabaseError:
                CANARIES.clear()  # unknown is not what it was
            await asyncio.sleep(REPORT_EVERY_S)
