"""A control API of its own with its database, for the tests beside this file."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from service_process import Answer, ask, service

from tests import data_servers
from tests.data_servers import PASSWORD, DataServer
from tests.real import eventually

PLANS = "/api/v1/action-plans"
WORKLOADS = "/api/v1/workloads"
FREEZES = "/api/v1/freeze-windows"
CANARIES = "/api/v1/canaries"
POLICIES = "/api/v1/policies/evaluate"
NOBODY = "127.0.0.1:9"


@dataclass(frozen=True)
class Platform:
    """A control API, and the database behind it."""

    port: int
    database: DataServer

    def submit(self, **fields: Any) -> Answer:
        """One plan; what is not given is well."""
        plan = {"workload": "workload-0001", "action": "scale", "step": 1}
        return ask(self.port, PLANS, {k: v for k, v in (plan | fields).items() if v is not None})

    def state(self, plan_id: str) -> str:
        answer = ask(self.port, f"{PLANS}/{plan_id}")
        return str(json.loads(answer.body)["state"]) if answer.status == 200 else ""

    def finished(self, plan_id: str) -> str:
        """The state of a plan that is over."""
        return eventually(
            lambda: (state := self.state(plan_id)) not in ("", "accepted") and state, "it is over"
        )

    def replicas(self, workload: str) -> int:
        return int(json.loads(ask(self.port, f"{WORKLOADS}/{workload}").body)["replicas"])

    def sql(self, query: str, **values: str) -> list[Any]:
        """Rows of a query that does not go through the service."""
        return sql(self.database, query, **values)

    def effects(self, prefix: str) -> Counter[str]:
        """How often each plan of this prefix was carried out."""
        query = "SELECT plan_id FROM plan_effects WHERE plan_id LIKE :prefix || '%'"
        return Counter(row[0] for row in self.sql(query, prefix=prefix))


def sql(database: DataServer, query: str, user: str = "shop", **values: str) -> list[Any]:
    with connected(database, user) as session:
        return list(session.run(query, **values) or [])


@contextmanager
def connected(database: DataServer, user: str = "shop") -> Iterator[Any]:
    """A session of the database."""
    native = pytest.importorskip("pg8000.native", reason="the extra `databases` is not installed")
    host, _, port = database.address.rpartition(":")
    session = native.Connection(user, host, "postgres", int(port), PASSWORD)
    try:
        yield session
    finally:
        session.close()


@contextmanager
def own_database() -> Iterator[DataServer]:
    """A PostgreSQL that the service may use."""
    with data_servers.postgres(max_connections=40) as found:
        sql(found, "GRANT CREATE ON DATABASE postgres TO shop", "owner")
        sql(found, "GRANT CREATE ON SCHEMA public TO shop", "owner")
        yield found


@contextmanager
def platform(
    folder: Path, database: DataServer, redis_url: str = "", **extra: str
) -> Iterator[Platform]:
    """A service that is ready."""
    environment = {"POSTGRES_DSN": database.url, "REDIS_URL": redis_url, **extra}
    with service("control_api", folder, **environment) as port:
        eventually(lambda: ask(port, "/readyz").status == 200, "the control API is ready")
        yield Platform(port, database)


def metric(port: int, line: str) -> float:
    found = re.search(rf"^{line} (\S+)$", ask(port, "/metrics").body, re.MULTILINE)
    assert found is not None, line
    return float(found[1])


def window(starts_in_s: float, lasts_s: float) -> dict[str, str]:
    starts = datetime.now(UTC) + timedelta(seconds=starts_in_s)
    ends = starts + timedelta(seconds=lasts_s)
    return {"starts_at": starts.isoformat(), "ends_at": ends.isoformat(), "reason": "a release"}
