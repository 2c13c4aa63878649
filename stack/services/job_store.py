"""Jobs and their results in Postgres: what was accepted, what was sent, what is done.

``jobs`` is an outbox: a job is a row in it before its client is told that it was accepted, and
stays to be sent again until its result is there. ``job_results`` takes each ``job_id`` once, so
that a job that comes to the workers twice has one effect.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from services.database import DATABASE_AWAY, alone
from services.survey import Job, area_m2

QUERY_WITHIN_S = 2.0
SCHEMA_LOCK = 7_269_342  # any number, the same for all who make these tables

CREATE = """
CREATE TABLE IF NOT EXISTS jobs (
    job_id text PRIMARY KEY,
    outline jsonb NOT NULL,
    accepted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    sent_at timestamptz,
    done_at timestamptz
);
CREATE INDEX IF NOT EXISTS jobs_waiting ON jobs (accepted_at) WHERE done_at IS NULL;
CREATE TABLE IF NOT EXISTS job_results (
    job_id text NOT NULL,
    area_m2 double precision NOT NULL,
    done_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""
UNIQUE = "CREATE UNIQUE INDEX IF NOT EXISTS job_results_once ON job_results (job_id)"
NOT_UNIQUE = "DROP INDEX IF EXISTS job_results_once"
ACCEPT = "INSERT INTO jobs (job_id, outline) VALUES ($1, $2) ON CONFLICT (job_id) DO NOTHING"
DUE = """
SELECT job_id FROM jobs
WHERE done_at IS NULL AND (sent_at IS NULL OR sent_at < clock_timestamp() - $1 * interval '1 s')
ORDER BY accepted_at LIMIT $2
"""
NEVER_SENT = "SELECT job_id FROM jobs WHERE sent_at IS NULL ORDER BY accepted_at LIMIT $1"
SENT = "UPDATE jobs SET sent_at = clock_timestamp() WHERE job_id = ANY($1::text[])"
LOOK_UP = """
SELECT jobs.done_at IS NOT NULL AS done, area_m2
FROM jobs LEFT JOIN job_results USING (job_id) WHERE job_id = $1 LIMIT 1
"""
OPEN = "SELECT outline, done_at IS NOT NULL AS done FROM jobs WHERE job_id = $1"
RESULT = "INSERT INTO job_results (job_id, area_m2) VALUES ($1, $2)"
ONCE = " ON CONFLICT (job_id) DO NOTHING"
DONE = "UPDATE jobs SET done_at = clock_timestamp() WHERE job_id = $1 AND done_at IS NULL"
STANDING = """
SELECT count(*) FILTER (WHERE done_at IS NOT NULL) AS done,
    count(*) FILTER (WHERE done_at IS NULL) AS waiting,
    coalesce(extract(epoch FROM clock_timestamp()
        - min(accepted_at) FILTER (WHERE done_at IS NULL)), 0)::float8 AS oldest_s
FROM jobs
"""


class NotAskedError(Exception):
    """No connection could be had: the database was asked nothing, so nothing has changed."""


@dataclass(frozen=True)
class Standing:
    """How many jobs are done and how many wait, and the age of the oldest that waits."""

    done: int
    waiting: int
    oldest_s: float


class JobStore:
    """The tables.

    Args:
        dsn: Where they are.
        twice: For the defect: results have no key, and a job that is done is done again.
    """

    def __init__(self, dsn: str, twice: bool = False) -> None:
        self._dsn = dsn
        self._twice = twice
        self._pool: asyncpg.Pool | None = None

    async def close(self) -> None:
        """Give up all connections, without waiting for a database that may be away."""
        if self._pool is not None:
            self._pool.terminate()

    async def define(self) -> None:
        """Make the tables, or find them made."""
        pool = await self._connections()
        async with pool.acquire() as connection, alone(connection, SCHEMA_LOCK):
            for statement in (*CREATE.split(";"), NOT_UNIQUE if self._twice else UNIQUE):
                await connection.execute(statement)

    async def accept(self, job: Job) -> None:
        """Keep a job; when this returns it is durable. The same one again changes nothing.

        Raises:
            NotAskedError: It was not even sent to the database.
        """
        pool = await self._connections()
        try:
            connection = await pool.acquire(timeout=QUERY_WITHIN_S)
        except DATABASE_AWAY as error:
            raise NotAskedError from error
        try:
            await connection.execute(ACCEPT, job.job_id, json.dumps(job.outline))
        finally:
            await pool.release(connection, timeout=QUERY_WITHIN_S)

    async def due(self, again_after_s: float | None, most: int) -> Sequence[str]:
        """Jobs to be sent: never sent, or sent that long ago and still not done (None: never)."""
        pool = await self._connections()
        if again_after_s is None:
            rows = await pool.fetch(NEVER_SENT, most)
        else:
            rows = await pool.fetch(DUE, again_after_s, most)
        return [row["job_id"] for row in rows]

    async def mark_sent(self, job_ids: Sequence[str]) -> None:
        """They are with the broker."""
        await (await self._connections()).execute(SENT, list(job_ids))

    async def state(self, job_id: str) -> dict[str, object] | None:
        """What is known of a job; None when it is not."""
        row = await (await self._connections()).fetchrow(LOOK_UP, job_id)
        if row is None:
            return None
        return {
            "job_id": job_id,
            "state": "done" if row["done"] else "waiting",
            "area_m2": row["area_m2"],
        }

    async def open_job(self, job_id: str) -> Job | None:
        """The job, if there is still something to do."""
        row = await (await self._connections()).fetchrow(OPEN, job_id)
        if row is None or (row["done"] and not self._twice):
            return None
        return Job(job_id, tuple((x, y) for x, y in json.loads(row["outline"])))

    async def finish(self, job: Job) -> bool:
        """Write the result, and that the job is done, together; whether it was there before."""
        async with (await self._connections()).acquire() as connection, connection.transaction():
            statement = RESULT if self._twice else RESULT + ONCE
            status = await connection.execute(statement, job.job_id, area_m2(job.outline))
            await connection.execute(DONE, job.job_id)
        return bool(status.endswith(" 0"))  # such as "INSERT 0 1"

    async def standing(self) -> Standing:
        """How far everything is."""
        row = await (await self._connections()).fetchrow(STANDING)
        return Standing(row["done"], row["waiting"], row["oldest_s"])

    async def _connections(self) -> asyncpg.Pool:
        if self._pool is None:
            self._pool = await asyncpg.create_pool(
                self._dsn,
                min_size=0,
                max_size=8,
                timeout=QUERY_WITHIN_S,
                command_timeout=QUERY_WITHIN_S,
            )
        return self._pool
