"""Canaries in PostgreSQL: how far each is, what its answers were like, and who gets it.

Everybody may look; only who holds a canary's row moves it, and decides anew once it does. What
dies while it holds the row gives it back with its connection, and has moved nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from services.canaries import (
    PROMOTED,
    ROLLED_BACK,
    STATES,
    Canary,
    Decision,
    Standing,
    Step,
    decide,
)
from services.database import Database, Session
from services.plan_store import PAGE, SCHEMA_LOCK

Fields = dict[str, Any]
#: Answers and failures of a stage of a canary.
Counts = Mapping[tuple[str, int], tuple[int, int]]

CREATE = """
CREATE TABLE IF NOT EXISTS canaries (
    canary_id text PRIMARY KEY,
    workload text NOT NULL,
    version text NOT NULL,
    stages text NOT NULL,
    max_error_share double precision NOT NULL,
    min_requests integer NOT NULL,
    max_hold_s double precision NOT NULL,
    error_share double precision NOT NULL,
    state text NOT NULL DEFAULT 'running',
    reason text NOT NULL DEFAULT '',
    stage integer NOT NULL DEFAULT 0,
    percent double precision NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    stage_since timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz
);
CREATE UNIQUE INDEX IF NOT EXISTS canaries_one_at_a_time ON canaries (workload)
    WHERE state = 'running';
CREATE TABLE IF NOT EXISTS canary_answers (
    canary_id text NOT NULL,
    stage integer NOT NULL,
    requests bigint NOT NULL,
    failures bigint NOT NULL,
    first_failure_at timestamptz,
    PRIMARY KEY (canary_id, stage)
);
CREATE TABLE IF NOT EXISTS releases (
    workload text PRIMARY KEY,
    version text NOT NULL,
    error_share double precision NOT NULL,
    released_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
"""
IS_FROZEN = "EXISTS (SELECT FROM freeze_windows WHERE starts_at <= now() AND now() < ends_at)"
START = f"""
INSERT INTO canaries (canary_id, workload, version, stages, max_error_share, min_requests,
    max_hold_s, error_share, percent)
SELECT $1::text, $2::text, $3::text, $4::text, $5::float8, $6::integer, $7::float8, $8::float8,
    $9::float8
WHERE NOT {IS_FROZEN} AND EXISTS (SELECT FROM workloads WHERE name = $2)
ON CONFLICT DO NOTHING
RETURNING canary_id
"""  # noqa: S608 - made of constants
WHY_NOT = """
SELECT EXISTS (SELECT FROM workloads WHERE name = $1) AS known,
    (SELECT max(ends_at) FROM freeze_windows WHERE starts_at <= now() AND now() < ends_at)
        AS frozen_until
"""
STANDING = f"""
SELECT c.*, coalesce(a.requests, 0) AS requests, coalesce(a.failures, 0) AS failures,
    extract(epoch FROM clock_timestamp() - c.stage_since)::float8 AS age_s,
    extract(epoch FROM clock_timestamp() - a.first_failure_at)::float8 AS failing_for_s,
    {IS_FROZEN} AS frozen
FROM canaries c LEFT JOIN canary_answers a ON a.canary_id = c.canary_id AND a.stage = c.stage
"""  # noqa: S608 - made of constants
FIND = f"{STANDING} WHERE c.canary_id = $1"
LIST = f"{STANDING} WHERE c.state = $1 ORDER BY c.started_at DESC, c.canary_id LIMIT $2"
RUNNING = f"{STANDING} WHERE c.state = 'running' ORDER BY c.stage_since"
CLAIM = """
SELECT canary_id FROM canaries WHERE canary_id = $1 AND state = 'running'
FOR UPDATE SKIP LOCKED
"""
ADVANCE = """
UPDATE canaries SET stage = $2, percent = $3, stage_since = clock_timestamp()
WHERE canary_id = $1
"""
FINISH = """
UPDATE canaries SET state = $2, reason = $3, finished_at = clock_timestamp()
WHERE canary_id = $1
"""
RELEASE = """
INSERT INTO releases (workload, version, error_share) VALUES ($1, $2, $3)
ON CONFLICT (workload) DO UPDATE
SET version = excluded.version, error_share = excluded.error_share, released_at = clock_timestamp()
"""
# In one order, whoever counts: two that count the same canaries must not wait for each other.
COUNT = """
INSERT INTO canary_answers (canary_id, stage, requests, failures, first_failure_at)
SELECT canary_id, stage, requests, failures,
    CASE WHEN failures > 0 THEN clock_timestamp() END
FROM unnest($1::text[], $2::integer[], $3::bigint[], $4::bigint[])
    AS counted (canary_id, stage, requests, failures)
ORDER BY canary_id, stage
ON CONFLICT (canary_id, stage) DO UPDATE SET
    requests = canary_answers.requests + excluded.requests,
    failures = canary_answers.failures + excluded.failures,
    first_failure_at = coalesce(canary_answers.first_failure_at, excluded.first_failure_at)
"""
STATE_COUNT = "SELECT state, count(*) AS canaries FROM canaries GROUP BY state"
ROUTE = """
SELECT coalesce(r.version, 'v1') AS version, coalesce(r.error_share, 0)::float8 AS error_share,
    c.canary_id, c.version AS canary_version, c.error_share AS canary_error_share,
    c.percent, c.stage
FROM workloads w
LEFT JOIN releases r ON r.workload = w.name
LEFT JOIN canaries c ON c.workload = w.name AND c.state = 'running'
WHERE w.name = $1
"""


class NotStartedError(Exception):
    """A canary cannot be started now.

    Args:
        known: Whether there is such a workload.
        frozen_until: When the freeze ends; None when there is none.
    """

    def __init__(self, known: bool, frozen_until: datetime | None) -> None:
        super().__init__("the canary cannot be started")
        self.known = known
        self.frozen_until = frozen_until


@dataclass(frozen=True)
class Moved:
    """What was done with a canary; ``failing_for_s`` is since its first failure was counted."""

    decision: Decision
    failing_for_s: float | None = None


class CanaryStore:
    """The tables.

    Args:
        database: Where they are, beside those of plans and workloads.
        blind: The defect: failures of a new version count for nothing.
    """

    def __init__(self, database: Database, blind: bool = False) -> None:
        self._database = database
        self._blind = blind

    async def define(self) -> None:
        """Make the tables; raises DatabaseError."""
        async with self._database.session() as session, session.alone(SCHEMA_LOCK):
            for statement in CREATE.split(";")[:-1]:
                await session.rows("define", statement)

    async def start(self, canary: Canary) -> Fields | None:
        """Start a canary; on return it is committed.

        Returns:
            None when it is new, else what was there under its key before.

        Raises:
            DatabaseError: It is nowhere, or nobody can tell.
            NotStartedError: There is no such workload, another canary of it is running, or a
                freeze window is open.
        """
        async with self._database.session() as session:
            row = await session.row("start_canary", START, *_columns(canary))
            if row is not None:
                return None
            if before := await session.row("find_canary", FIND, canary.canary_id):
                return dict(before)
            why = await session.row("start_canary", WHY_NOT, canary.workload)
        raise NotStartedError(
            known=bool(why and why["known"]), frozen_until=why["frozen_until"] if why else None
        )

    async def find(self, canary_id: str) -> Fields | None:
        """A canary with its standing; raises DatabaseError."""
        async with self._database.session() as session:
            row = await session.row("find_canary", FIND, canary_id)
        return None if row is None else dict(row)

    async def in_state(self, state: str) -> list[Fields]:
        """Those in a state, the last ones first, a page of them; raises DatabaseError."""
        async with self._database.session() as session:
            return [dict(row) for row in await session.rows("canaries", LIST, state, PAGE)]

    async def due(self) -> list[str]:
        """Keys of the running ones that are not to be held; raises DatabaseError."""
        async with self._database.session() as session:
            rows = await session.rows("due_canaries", RUNNING)
        return [row["canary_id"] for row in rows if self._decided(row).step is not Step.HOLD]

    async def move(self, canary_id: str) -> Moved | None:
        """Hold the canary's row, decide, and do it: all of it or nothing.

        Returns:
            What was done; None when somebody else holds it, or it is over.

        Raises:
            DatabaseError: Nobody can tell; what was not committed is decided again.
        """
        async with self._database.session() as session, session.transaction():
            if await session.row("claim_canary", CLAIM, canary_id) is None:
                return None
            # Read after it was claimed: what was read before may be another stage's.
            row = await session.row("find_canary", FIND, canary_id)
            if row is None:
                return None
            decision = self._decided(row)
            await _do(session, canary_of(row), row["stage"], decision)
            return Moved(decision, row["failing_for_s"])

    def _decided(self, row: Any) -> Decision:
        standing = Standing(
            stage=row["stage"],
            age_s=row["age_s"],
            requests=row["requests"],
            failures=0 if self._blind else row["failures"],
            frozen=row["frozen"],
        )
        return decide(canary_of(row), standing)

    async def count(self, counts: Counts) -> None:
        """Add answers and failures of stages; raises DatabaseError."""
        keys = sorted(counts)
        columns = (
            [canary_id for canary_id, _ in keys],
            [stage for _, stage in keys],
            [counts[key][0] for key in keys],
            [counts[key][1] for key in keys],
        )
        async with self._database.session() as session:
            await session.rows("count_answers", COUNT, *columns)

    async def counts(self) -> dict[str, int]:
        """How many canaries there are, by state; raises DatabaseError."""
        async with self._database.session() as session:
            rows = await session.rows("count_canaries", STATE_COUNT)
        return dict.fromkeys(STATES, 0) | {row["state"]: row["canaries"] for row in rows}

    async def route(self, workload: str) -> Fields | None:
        """What answers for a workload now, None for an unknown one; raises DatabaseError."""
        async with self._database.session() as session:
            row = await session.row("route", ROUTE, workload)
        return None if row is None else dict(row)


def canary_of(row: Any) -> Canary:
    """The canary in a row."""
    return Canary.of({**dict(row), "stages": json.loads(row["stages"])})


def _columns(canary: Canary) -> tuple[object, ...]:
    return (
        canary.canary_id,
        canary.workload,
        canary.version,
        json.dumps([asdict(stage) for stage in canary.stages]),
        canary.max_error_share,
        canary.min_requests,
        canary.max_hold_s,
        canary.error_share,
        canary.stages[0].percent,
    )


async def _do(session: Session, canary: Canary, stage: int, decision: Decision) -> None:
    """Within the transaction that holds the canary."""
    key = canary.canary_id
    if decision.step is Step.ADVANCE:
        percent = canary.stages[stage + 1].percent
        await session.rows("advance_canary", ADVANCE, key, stage + 1, percent)
    elif decision.step is Step.PROMOTE:
        await session.rows("finish_canary", FINISH, key, PROMOTED, "")
        release = (canary.workload, canary.version, canary.error_share)
        await session.rows("release", RELEASE, *release)
    elif decision.step is Step.ROLL_BACK:
        await session.rows("finish_canary", FINISH, key, ROLLED_BACK, decision.reason)
