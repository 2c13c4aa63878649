"""Carrying out accepted plans, each once, for as long as the service runs."""

from __future__ import annotations

import asyncio

from services.database import DatabaseError
from services.metrics import (
    PLAN_DURATION,
    PLANS,
    PLANS_FINISHED,
    REPLICATION_LAG,
)
from services.plan_store import PlanStore

#: Plans of other instances, and those of a time when the database was away, are found by looking.
LOOK_EVERY_S = 0.2
RETRY_S = 0.2
REPORT_EVERY_S = 1.0


class PlanExecutor:
    """Carries out plans one after the other; several may run beside each other.

    Args:
        store: Where the plans are.
    """

    def __init__(self, store: PlanStore) -> None:
        self._store = store
        self._submitted = asyncio.Event()

    def wake(self) -> None:
        """There is a new plan."""
        self._submitted.set()

    async def run(self) -> None:
        """Work for ever; a database that is away is waited for."""
        while True:
            try:
                found = await self._store.execute_next()
            except DatabaseError:
                await asyncio.sleep(RETRY_S)  # counted where it failed
                continue
            if found is None:
                await self._rest()
                continue
            end, took_s = found
            PLANS_FINISHED.labels(end.state).inc()
            PLAN_DURATION.observe(took_s)

    async def _rest(self) -> None:
        self._submitted.clear()
        try:
            async with asyncio.timeout(LOOK_EVERY_S):
                await self._submitted.wait()
        except TimeoutError:
            return

    async def report(self) -> None:
        """Export how many plans there are, and how far replicas are behind, for ever."""
        while True:
            try:
                for state, count in (await self._store.counts()).items():
                    PLANS.labels(state).set(count)
                behind = await self._store.replicas()
                REPLICATION_LAG.clear()  # a replica that has gone is not one without lag
                for replica, lag_bytes in behind.items():
                    REPLICATION_LAG.labels(replica).set(lag_bytes)
            except DatabaseError:
                PLANS.clear()  # unknown is not what it was
                REPLICATION_LAG.clear()
            await asyncio.sleep(REPORT_EVERY_S)
