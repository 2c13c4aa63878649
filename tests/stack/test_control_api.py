"""The control API on real servers: what is accepted is kept, and carried out once."""

from __future__ import annotations

import concurrent.futures
import json
import re
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
from control_platform import (
    FREEZES,
    NOBODY,
    PLANS,
    WORKLOADS,
    Platform,
    connected,
    metric,
    own_database,
    platform,
    sql,
    window,
)
from service_process import ask, command, free_port, service

from tests import data_servers
from tests.data_servers import DataServer
from tests.real import eventually

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def database() -> Iterator[DataServer]:
    with own_database() as found:
        yield found


@pytest.fixture(scope="module")
def cache() -> Iterator[DataServer]:
    with data_servers.redis(maxclients=100) as found:
        yield found


@pytest.fixture(scope="module")
def well(
    database: DataServer, cache: DataServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("well")
    with platform(folder, database, cache.url, RATE_LIMIT_BURST="1000") as found:
        yield found


def test_an_accepted_plan_is_carried_out(well: Platform) -> None:
    before = well.replicas("workload-0001")
    answer = well.submit(plan_id="first", step=2)
    assert (answer.status, json.loads(answer.body)["state"]) == (202, "accepted")
    assert answer.headers["location"] == f"{PLANS}/first"
    assert well.finished("first") == "succeeded"
    assert well.replicas("workload-0001") == before + 2


def test_a_plan_that_is_accepted_is_committed_before_the_answer(well: Platform) -> None:
    plan_id = json.loads(well.submit().body)["plan_id"]
    query = "SELECT count(*) FROM action_plans WHERE plan_id = :plan_id"
    assert well.sql(query, plan_id=plan_id) == [[1]]


def test_an_instance_that_starts_stops_no_other_that_works(
    well: Platform, cache: DataServer, tmp_path: Path
) -> None:
    """It holds the lock of no table while it waits for another: that would be a deadlock."""
    waiting = (
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'plan_effects'::regclass"
    )
    settings = {"POSTGRES_DSN": well.database.url, "REDIS_URL": cache.url}
    with connected(well.database, "owner") as worker, ExitStack() as running:
        worker.run("SET deadlock_timeout = '1ms'")  # it is the first to be told
        worker.run("BEGIN")
        worker.run("LOCK TABLE plan_effects IN ROW EXCLUSIVE MODE")
        port = running.enter_context(service("control_api", tmp_path, **settings))
        eventually(lambda: well.sql(waiting)[0][0], "it waits for the table")
        worker.run("LOCK TABLE action_plans IN ROW EXCLUSIVE MODE")
        worker.run("COMMIT")
        eventually(lambda: ask(port, "/readyz").status == 200, "it is ready")


def test_the_same_plan_again_is_the_same_plan(well: Platform) -> None:
    before = well.replicas("workload-0002")
    with concurrent.futures.ThreadPoolExecutor(8) as clients:
        again = [
            clients.submit(well.submit, plan_id="same", workload="workload-0002") for _ in range(20)
        ]
    assert {each.result().status for each in again} == {202}
    assert well.finished("same") == "succeeded"
    assert well.replicas("workload-0002") == before + 1
    assert well.effects("same") == {"same": 1}


def test_another_plan_under_a_known_key_is_refused(well: Platform) -> None:
    well.submit(plan_id="taken")
    answer = well.submit(plan_id="taken", step=3)
    assert (answer.status, json.loads(answer.body)["error"]) == (409, "plan-id-taken")


def test_two_instances_carry_out_each_plan_once(
    well: Platform, cache: DataServer, tmp_path: Path
) -> None:
    with platform(tmp_path, well.database, cache.url) as other:
        prefix = token_hex(4)
        ids = [f"{prefix}-{number}" for number in range(100)]
        with concurrent.futures.ThreadPoolExecutor(8) as clients:
            sent = [
                clients.submit(p.submit, plan_id=i, workload="workload-0003")
                for i, p in zip(ids, [well, other] * 50, strict=True)
            ]
        assert {each.result().status for each in sent} == {202}
        assert {well.finished(each) for each in ids} == {"succeeded"}
    assert well.effects(prefix) == Counter(ids)
    assert well.replicas("workload-0003") == 1 + 100


@pytest.mark.parametrize(
    ("plan", "error"),
    [
        ({"workload": "nobody"}, "there is no workload 'nobody'"),
        ({"step": -100}, "replicas cannot become -"),
    ],
    ids=["an unknown workload", "fewer than none"],
)
def test_a_plan_that_cannot_be_carried_out_fails_and_says_why(
    well: Platform, plan: dict[str, Any], error: str
) -> None:
    plan_id = token_hex(4)
    assert well.submit(plan_id=plan_id, **plan).status == 202
    assert well.finished(plan_id) == "failed"
    assert error in json.loads(ask(well.port, f"{PLANS}/{plan_id}").body)["error"]
    assert not well.effects(plan_id)


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ({"workload": None}, "`workload` must be a text"),
        ({"workload": ""}, "`workload` must be a text"),
        ({"workload": "x" * 201}, "`workload` must be a text"),
        ({"workload": "a\0b"}, "`workload` must be a text"),
        ({"plan_id": 3}, "`plan_id` must be a text"),
        ({"plan_id": ""}, "`plan_id` must be a text"),
        ({"action": "explode"}, "must be one of scale, restart"),
        ({"step": None}, "`step` says how many replicas"),
        ({"step": 0}, "`step` says how many replicas"),
        ({"step": 101}, "from -100 to 100"),
        ({"step": True}, "whole number"),
        ({"step": 1.5}, "whole number"),
        ({"action": "restart"}, "for `scale` only"),
    ],
    ids=[
        "no workload",
        "an empty workload",
        "a long workload",
        "a character that no table keeps",
        "a key that is a number",
        "an empty key",
        "an unknown action",
        "no step",
        "a step of nothing",
        "too large a step",
        "a boolean",
        "half a replica",
        "a restart with a step",
    ],
)
def test_what_is_no_plan_is_refused_with_the_reason(
    well: Platform, plan: dict[str, Any], words: str
) -> None:
    answer = well.submit(**plan)
    assert answer.status == 400
    assert words in answer.body


@pytest.mark.parametrize("body", [[], "text", 3], ids=["a list", "a text", "a number"])
def test_what_is_no_object_is_refused(well: Platform, body: object) -> None:
    for path in (PLANS, FREEZES):
        assert ask(well.port, path, body).status == 400


@pytest.mark.parametrize(
    "path", [f"{PLANS}/nobody", f"{WORKLOADS}/nobody", f"{FREEZES}/7"], ids=str
)
def test_what_is_not_there_is_not_found(well: Platform, path: str) -> None:
    method = "DELETE" if path.startswith(FREEZES) else "GET"
    assert ask(well.port, path, method=method).status == 404


def test_workloads_are_put_and_listed(well: Platform) -> None:
    assert ask(well.port, f"{WORKLOADS}/zzz", {"replicas": 7}, "PUT").status == 200
    assert well.replicas("zzz") == 7
    listed = json.loads(ask(well.port, f"{WORKLOADS}?after=workload-0999").body)["workloads"]
    assert [each["name"] for each in listed] == ["workload-1000", "zzz"]
    assert ask(well.port, f"{WORKLOADS}/zzz", {"replicas": -1}, "PUT").status == 400


def test_in_a_freeze_no_plan_is_taken_and_none_is_carried_out(well: Platform) -> None:
    plan_id = token_hex(4)
    opened = ask(well.port, FREEZES, window(-5, 3600))
    number = json.loads(opened.body)["id"]
    try:
        answer = well.submit(plan_id=plan_id)
        assert (opened.status, answer.status) == (201, 423)
        assert 3000 < int(answer.headers["retry-after"]) <= 3600
        assert ask(well.port, f"{PLANS}/{plan_id}").status == 404
        insert = "INSERT INTO action_plans (plan_id, workload, action, step)"
        well.sql(f"{insert} VALUES (:plan_id, 'workload-0001', 'scale', 1)", plan_id=plan_id)
        assert well.submit(plan_id=plan_id).status == 202  # it was accepted before
        assert well.state(plan_id) == "accepted"
        assert number in [
            w["id"] for w in json.loads(ask(well.port, FREEZES).body)["freeze_windows"]
        ]
    finally:
        ended = ask(well.port, f"{FREEZES}/{number}", method="DELETE")
    assert ended.status == 204
    assert well.finished(plan_id) == "succeeded"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"starts_at": "tomorrow"}, "`starts_at` must be a time"),
        ({"ends_at": "2026-01-01T00:00:00"}, "offset from UTC"),
        ({"ends_at": "2020-01-01T00:00:00Z"}, "after `starts_at`"),
        ({"reason": ""}, "`reason` must be a text"),
    ],
    ids=["no time", "a time of nowhere", "the end before the start", "no reason"],
)
def test_what_is_no_freeze_window_is_refused(
    well: Platform, fields: dict[str, str], words: str
) -> None:
    answer = ask(well.port, FREEZES, {**window(3600, 60), **fields})
    assert answer.status == 400
    assert words in answer.body


def test_the_limit_is_exact_among_instances(
    database: DataServer, cache: DataServer, tmp_path: Path
) -> None:
    limits = {"RATE_LIMIT_PER_S": "0.001", "RATE_LIMIT_BURST": "25", "REDIS_TIMEOUT_MS": "5000"}
    own = cache.url.removesuffix("0") + "1"  # a database of Redis that no other test counts in
    folders = [tmp_path / name for name in ("one", "two")]
    with ExitStack() as both:
        for folder in folders:
            folder.mkdir()
        one, two = (both.enter_context(platform(f, database, own, **limits)) for f in folders)
        with concurrent.futures.ThreadPoolExecutor(8) as clients:
            sent = [clients.submit(p.submit) for p in [one, two] * 30]
        answers = [each.result() for each in sent]
        assert Counter(a.status for a in answers) == {202: 25, 429: 35}
        waits = {int(a.headers["retry-after"]) for a in answers if a.status == 429}
        assert waits <= set(range(900, 1001))
        counted = r'rate_limited_total\{service="control-api"\}'
        assert metric(one.port, counted) + metric(two.port, counted) == 35


def test_without_redis_the_limit_is_kept_alone(database: DataServer, tmp_path: Path) -> None:
    limits = {"RATE_LIMIT_PER_S": "0.001", "RATE_LIMIT_BURST": "3"}
    with platform(tmp_path, database, f"redis://{NOBODY}/0", **limits) as found:
        assert Counter(found.submit().status for _ in range(8)) == {202: 3, 429: 5}
        mark = 'fallback_total{reason="redis-unreachable",service="control-api"}'
        assert metric(found.port, re.escape(mark)) >= 5
        assert ask(found.port, "/readyz").status == 200


def test_without_a_database_it_lives_is_not_ready_and_refuses(tmp_path: Path) -> None:
    dsn = f"postgresql://shop:shop@{NOBODY}/shop"
    with service("control_api", tmp_path, POSTGRES_DSN=dsn) as port:
        assert ask(port, "/healthz").status == 200
        assert ask(port, "/readyz").status == 503
        plan = {"workload": "w", "action": "restart"}
        answer = ask(port, PLANS, plan)
        assert (answer.status, json.loads(answer.body)["error"]) == (503, "database-unreachable")
        assert ask(port, f"{PLANS}/x").status == 503
        assert "action_plans{" not in ask(port, "/metrics").body


def break_off(database: DataServer) -> None:
    """End every connection of the service, as a failover does."""
    sql(
        database,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE usename = 'shop' AND pid <> pg_backend_pid()",
        "owner",
    )


def test_connections_that_break_lose_and_double_no_accepted_plan(well: Platform) -> None:
    prefix = token_hex(4)
    ids = [f"{prefix}-{number}" for number in range(200)]
    with concurrent.futures.ThreadPoolExecutor(8) as clients:
        sent = {i: clients.submit(well.submit, plan_id=i, workload="workload-0004") for i in ids}
        for _ in range(10):
            break_off(well.database)
        statuses = {i: each.result().status for i, each in sent.items()}
    assert set(statuses.values()) <= {202, 503, 504}
    accepted = [i for i, status in statuses.items() if status == 202]
    assert accepted
    assert {well.finished(i) for i in accepted} == {"succeeded"}
    done = well.effects(prefix)
    assert set(accepted) <= done.keys()
    assert max(done.values()) == 1
    assert well.replicas("workload-0004") == 1 + len(done)


def test_defect_ack_before_commit_loses_what_it_acknowledged(tmp_path: Path) -> None:
    dsn = f"postgresql://shop:shop@{NOBODY}/shop"
    environment = {"POSTGRES_DSN": dsn, "DEFECTS": "ack-before-commit"}
    with service("control_api", tmp_path, **environment) as port:
        plan = {"plan_id": "p", "workload": "w", "action": "restart"}
        assert ask(port, PLANS, plan).status == 202
        assert ask(port, f"{PLANS}/p").status == 503


def test_defect_claim_without_lock_carries_plans_out_twice(
    database: DataServer, tmp_path: Path
) -> None:
    sql(database, "CREATE SCHEMA defect")
    own = replace(database, url=f"{database.url}?search_path=defect")
    with platform(tmp_path, own, DEFECTS="claim-without-lock", RATE_LIMIT_BURST="1000") as found:
        with concurrent.futures.ThreadPoolExecutor(8) as clients:
            sent = [clients.submit(found.submit) for _ in range(100)]
        ids = [json.loads(each.result().body)["plan_id"] for each in sent]
        assert {found.finished(each) for each in ids} == {"succeeded"}
        rows = found.sql("SELECT plan_id FROM defect.plan_effects")
    assert max(Counter(row[0] for row in rows).values()) > 1


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "POSTGRES_DSN must be set"),
        ({"POSTGRES_DSN": "x", "DEFECTS": "ack-befor"}, "DEFECTS names ack-befor; known are"),
        ({"POSTGRES_DSN": "x", "RATE_LIMIT_PER_S": "0"}, "RATE_LIMIT_PER_S is '0'"),
    ],
    ids=["no database", "an unknown defect", "no rate"],
)
def test_a_wrong_setting_stops_it_before_it_listens(
    tmp_path: Path, environment: dict[str, str], message: str
) -> None:
    log = tmp_path / "log"
    with command("control_api", log, PORT=str(free_port()), **environment) as process:
        assert process.wait(timeout=120) == 1
    assert f"refusing to start: {message}" in log.read_text()


def test_sigterm_ends_it_in_good_order(database: DataServer, tmp_path: Path) -> None:
    port = free_port()
    environment = {"PORT": str(port), "POSTGRES_DSN": database.url}
    with command("control_api", tmp_path / "log", **environment) as process:
        eventually(lambda: answers(port), "it answers")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


def answers(port: int) -> bool:
    try:
        return ask(port, "/readyz").status == 200
    except OSError:
        return False
