"""Plans, workloads and freeze windows in PostgreSQL."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from services.database import Database, Session
from services.plans import STATES, SUCCEEDED, FreezeWindow, Outcome, Plan, outcome
from services.policies import Facts

SCHEMA_LOCK = 7_269_342  # any number, the same for all instances
PAGE = 1000

CREATE = """
CREATE TABLE IF NOT EXISTS workloads (
    name text PRIMARY KEY,
    replicas integer NOT NULL,
    changes bigint NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS action_plans (
    plan_id text PRIMARY KEY,
    workload text NOT NULL,
    action text NOT NULL,
    step integer NOT NULL,
    state text NOT NULL DEFAULT 'accepted',
    error text NOT NULL DEFAULT '',
    submitted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz
);
CREATE INDEX IF NOT EXISTS action_plans_waiting ON action_plans (submitted_at)
    WHERE state = 'accepted';
CREATE TABLE IF NOT EXISTS plan_effects (
    plan_id text NOT NULL,
    workload text NOT NULL,
    action text NOT NULL,
    step integer NOT NULL,
    executed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE IF NOT EXISTS freeze_windows (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    reason text NOT NULL
);
"""
ONCE = "CREATE UNIQUE INDEX IF NOT EXISTS plan_effects_once ON plan_effects (plan_id)"
NOT_ONCE = "DROP INDEX IF EXISTS plan_effects_once"
SEED = """
INSERT INTO workloads (name, replicas)
SELECT 'workload-' || lpad(number::text, 4, '0'), 1 FROM generate_series(1, $1::integer) AS number
ON CONFLICT (name) DO NOTHING
"""

SUBMIT = """
INSERT INTO action_plans (plan_id, workload, action, step)
SELECT $1, $2, $3, $4
WHERE NOT EXISTS (SELECT FROM freeze_windows WHERE starts_at <= now() AND now() < ends_at)
ON CONFLICT (plan_id) DO NOTHING
RETURNING plan_id
"""
FIND = "SELECT * FROM action_plans WHERE plan_id = $1"
CLAIM = """
SELECT plan_id, workload, action, step FROM action_plans
WHERE state = 'accepted'
    AND NOT EXISTS (SELECT FROM freeze_windows WHERE starts_at <= now() AND now() < ends_at)
ORDER BY submitted_at LIMIT 1
"""
LOCKED = " FOR UPDATE SKIP LOCKED"
WORKLOAD = "SELECT replicas FROM workloads WHERE name = $1 FOR UPDATE"
EFFECT = """
INSERT INTO plan_effects (plan_id, workload, action, step) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING RETURNING plan_id
"""
CHANGE = "UPDATE workloads SET replicas = $2, changes = changes + 1 WHERE name = $1"
FINISH = """
UPDATE action_plans SET state = $2, error = $3, finished_at = clock_timestamp() WHERE plan_id = $1
RETURNING extract(epoch FROM finished_at - submitted_at)::float8 AS took_s
"""
COUNT = "SELECT state, count(*) AS plans FROM action_plans GROUP BY state"
PUT_WORKLOAD = """
INSERT INTO workloads (name, replicas) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET replicas = $2, changes = workloads.changes + 1
RETURNING name, replicas, changes
"""
GET_WORKLOAD = "SELECT name, replicas, changes FROM workloads WHERE name = $1"
LIST_WORKLOADS = """
SELECT name, replicas, changes FROM workloads WHERE name > $1 ORDER BY name LIMIT $2
"""
FACTS = """
SELECT (SELECT replicas FROM workloads WHERE name = $1) AS replicas,
    EXISTS (SELECT FROM freeze_windows WHERE starts_at <= now() AND now() < ends_at) AS frozen
"""
ADD_FREEZE = """
INSERT INTO freeze_windows (starts_at, ends_at, reason) VALUES ($1, $2, $3)
RETURNING id, starts_at, ends_at, reason
"""
LIST_FREEZES = """
SELECT id, starts_at, ends_at, reason FROM freeze_windows WHERE ends_at > now() ORDER BY starts_at
"""
END_FREEZE = "DELETE FROM freeze_windows WHERE id = $1 RETURNING id"
FROZEN_UNTIL = """
SELECT max(ends_at) AS ends_at FROM freeze_windows WHERE starts_at <= now() AND now() < ends_at
"""
REPLICAS = """
SELECT application_name AS replica,
    coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn), 0)::float8 AS lag_bytes
FROM pg_stat_replication WHERE state = 'streaming'
"""

Fields = dict[str, Any]


class FrozenError(Exception):
    """No plan is taken now.

    Args:
        until: When the freeze ends; None when it has just ended.
    """

    def __init__(self, until: datetime | None) -> None:
        super().__init__("a freeze window is open")
        self.until = until


class PlanStore:
    """The tables.

    Args:
        database: Where they are.
        locks: Whether a plan that is being carried out is locked; without is the defect.
    """

    def __init__(self, database: Database, locks: bool = True) -> None:
        self._database = database
        self._locks = locks

    async def define(self, workloads: int) -> None:
        """Make the tables and so many workloads; raises DatabaseError."""
        async with self._database.session() as session, session.alone(SCHEMA_LOCK):
            for statement in (*CREATE.split(";")[:-1], ONCE if self._locks else NOT_ONCE):
                await session.rows("define", statement)
            await session.rows("define", SEED, workloads)

    async def submit(self, plan: Plan) -> bool:
        """Write a plan; on return it is committed. False when this ``plan_id`` was there before.

        Raises:
            DatabaseError: It is nowhere, or nobody can tell.
            FrozenError: A freeze window is open, and the plan is new.
        """
        async with self._database.session() as session:
            fields = (plan.plan_id, plan.workload, plan.action, plan.step)
            if await session.row("submit", SUBMIT, *fields) is not None:
                return True
            if await session.row("find", FIND, plan.plan_id) is not None:
                return False
            window = await session.row("frozen", FROZEN_UNTIL)
        raise FrozenError(window["ends_at"] if window else None)

    async def find(self, plan_id: str) -> Fields | None:
        """A plan with its state; raises DatabaseError."""
        return await self._one("find", FIND, plan_id)

    async def execute_next(self) -> tuple[Outcome, float] | None:
        """Claim a plan, carry it out and mark it done, all of it or nothing.

        Returns:
            How it ended and seconds since its submission; None when none may be carried out.

        Raises:
            DatabaseError: Nobody can tell; whatever was not committed is claimed again.
        """
        async with self._database.session() as session, session.transaction():
            row = await session.row("claim", CLAIM + LOCKED if self._locks else CLAIM)
            return None if row is None else await _carry_out(session, Plan(*row))

    async def counts(self) -> dict[str, int]:
        """How many plans there are, by state; raises DatabaseError."""
        rows = await self._all("count", COUNT)
        return dict.fromkeys(STATES, 0) | {row["state"]: row["plans"] for row in rows}

    async def replicas(self) -> dict[str, float]:
        """Bytes that each streaming replica is behind; raises DatabaseError."""
        return {r["replica"]: r["lag_bytes"] for r in await self._all("replicas", REPLICAS)}

    async def put_workload(self, name: str, replicas: int) -> Fields:
        """Make or change a workload; raises DatabaseError."""
        return (await self._all("put_workload", PUT_WORKLOAD, name, replicas))[0]

    async def workload(self, name: str) -> Fields | None:
        """A workload; raises DatabaseError."""
        return await self._one("workload", GET_WORKLOAD, name)

    async def workloads(self, after: str) -> list[Fields]:
        """A page of workloads whose names come after one; raises DatabaseError."""
        return await self._all("workloads", LIST_WORKLOADS, after, PAGE)

    async def facts(self, workload: str) -> Facts:
        """What policies go by, beside what they are asked; raises DatabaseError."""
        row = (await self._all("facts", FACTS, workload))[0]
        return Facts(frozen=row["frozen"], replicas=row["replicas"])

    async def add_freeze(self, window: FreezeWindow) -> Fields:
        """Open a freeze window; raises DatabaseError."""
        fields = (window.starts_at, window.ends_at, window.reason)
        return (await self._all("add_freeze", ADD_FREEZE, *fields))[0]

    async def freezes(self) -> list[Fields]:
        """Windows that have not ended; raises DatabaseError."""
        return await self._all("freezes", LIST_FREEZES)

    async def end_freeze(self, number: int) -> bool:
        """Close a window; False when there is none. Raises DatabaseError."""
        return await self._one("end_freeze", END_FREEZE, number) is not None

    async def _one(self, name: str, query: str, *arguments: object) -> Fields | None:
        found = await self._all(name, query, *arguments)
        return found[0] if found else None

    async def _all(self, name: str, query: str, *arguments: object) -> list[Fields]:
        async with self._database.session() as session:
            return [dict(row) for row in await session.rows(name, query, *arguments)]


async def _carry_out(session: Session, plan: Plan) -> tuple[Outcome, float]:
    """Within the transaction that holds the plan."""
    row = await session.row("workload", WORKLOAD, plan.workload)
    end = outcome(plan, row["replicas"] if row else None)
    if end.state == SUCCEEDED:
        fields = (plan.plan_id, plan.workload, plan.action, plan.step)
        # Known already: somebody carried it out, and only its state was put back.
        if await session.row("effect", EFFECT, *fields) is not None:
            await session.rows("change", CHANGE, plan.workload, end.replicas)
    finished = await session.row("finish", FINISH, plan.plan_id, end.state, end.error)
    return end, finished["took_s"] if finished else 0.0


def is_same(plan: Plan, found: Fields) -> bool:
    """Whether a stored plan is the one that was sent."""
    return Plan(*(found[name] for name in ("plan_id", "workload", "action", "step"))) == plan
