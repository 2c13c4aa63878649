"""Canaries on a real database: users are moved in stages, and back when it goes wrong."""

from __future__ import annotations

import concurrent.futures
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
from control_platform import (
    CANARIES,
    FREEZES,
    WORKLOADS,
    Platform,
    metric,
    own_database,
    platform,
    sql,
    window,
)
from service_process import Answer, ask, command, free_port, is_well

from tests.data_servers import DataServer
from tests.real import eventually

pytestmark = pytest.mark.stack

HOUR_S = 3600


@pytest.fixture(scope="module")
def database() -> Iterator[DataServer]:
    with own_database() as found:
        yield found


@pytest.fixture(scope="module")
def well(database: DataServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with platform(tmp_path_factory.mktemp("well"), database) as found:
        yield found


def stages(*pairs: tuple[float, float]) -> list[dict[str, float]]:
    return [{"percent": percent, "lasts_s": lasts_s} for percent, lasts_s in pairs]


QUICK = stages((0, 0.1), (50, 0.1), (100, 0.1))
HALF = stages((50, HOUR_S), (100, HOUR_S))


def canary(number: int, **changes: Any) -> dict[str, Any]:
    """A good one of a workload of this number, that needs no users; its key is new."""
    usual = {"stages": QUICK, "min_requests": 0, "version": "v2"}
    return {"canary_id": token_hex(6), "workload": workload(number), **usual, **changes}


def workload(number: int) -> str:
    return f"workload-{number:04d}"


def start(port: int, body: dict[str, Any]) -> str:
    answer = ask(port, CANARIES, body)
    assert answer.status == 201, answer.body
    assert answer.headers["location"] == f"{CANARIES}/{body['canary_id']}"
    return str(body["canary_id"])


def told(port: int, canary_id: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ask(port, f"{CANARIES}/{canary_id}").body)
    return found


def ended(port: int, canary_id: str) -> str:
    """The state of a canary that is over."""
    return eventually(
        lambda: (state := told(port, canary_id)["state"]) != "running" and str(state), "it is over"
    )


def use(port: int, number: int, user: str) -> Answer:
    return ask(port, f"{WORKLOADS}/{workload(number)}/route?user={user}")


def track(answer: Answer) -> tuple[int, str, str]:
    fields = json.loads(answer.body)
    return answer.status, fields["track"], fields["version"]


def test_a_good_version_gets_ever_more_users_and_then_all(well: Platform) -> None:
    before = metric(well.port, "canary_promotions_total")
    assert track(use(well.port, 1, "ann")) == (200, "stable", "v1")
    canary_id = start(well.port, canary(1))
    assert ended(well.port, canary_id) == "promoted"
    assert {track(use(well.port, 1, f"user-{n}")) for n in range(20)} == {(200, "stable", "v2")}
    found = told(well.port, canary_id)
    assert (found["stage"], found["percent"], found["version"]) == (2, 100, "v2")
    assert metric(well.port, "canary_promotions_total") == before + 1


def test_a_broken_version_is_taken_back_and_nobody_gets_it_any_more(well: Platform) -> None:
    counted = r'canary_rollbacks_total\{reason="errors"\}'
    before = metric(well.port, counted)
    canary_id = start(well.port, canary(2, stages=HALF, error_share=1, version="broken"))
    seen: list[tuple[int, str, str]] = []

    def is_taken_back() -> bool:
        seen.append(track(use(well.port, 2, token_hex(4))))
        return bool(told(well.port, canary_id)["state"] == "rolled-back")

    eventually(is_taken_back, "it is taken back")
    assert set(seen) == {(200, "stable", "v1"), (502, "canary", "broken")}
    found = told(well.port, canary_id)
    assert (found["reason"], found["stage"]) == ("errors", 0)
    assert found["failures"] == found["requests"] >= 3
    assert {track(use(well.port, 2, f"user-{n}")) for n in range(20)} == {(200, "stable", "v1")}
    assert metric(well.port, counted) == before + 1
    assert metric(well.port, "canary_rollback_duration_seconds_count") >= 1


def test_a_user_who_has_the_new_version_keeps_it(well: Platform) -> None:
    start(well.port, canary(3, stages=HALF))
    users = [f"user-{n}" for n in range(20)]
    first, again = ([track(use(well.port, 3, user)) for user in users] for _ in range(2))
    assert first == again
    assert {version for _, version, _ in first} == {"stable", "canary"}


def test_a_version_without_users_is_not_promoted(well: Platform) -> None:
    lonely = canary(4, stages=stages((100, 0)), min_requests=1, max_hold_s=0.3)
    canary_id = start(well.port, lonely)
    assert ended(well.port, canary_id) == "rolled-back"
    assert told(well.port, canary_id)["reason"] == "no-traffic"


def test_in_a_freeze_nothing_goes_on_but_a_broken_version_is_taken_back(well: Platform) -> None:
    good = start(well.port, canary(5, stages=stages((50, HOUR_S), (100, 0))))
    broken = start(well.port, canary(6, stages=stages((100, HOUR_S)), error_share=1))
    opened = ask(well.port, FREEZES, window(-5, HOUR_S))
    number = json.loads(opened.body)["id"]
    try:
        aged = "UPDATE canaries SET stage_since = now() - interval '1 hour' WHERE canary_id = :key"
        well.sql(aged, key=good)
        refused = ask(well.port, CANARIES, canary(7))
        assert (refused.status, json.loads(refused.body)["error"]) == (423, "frozen")
        assert [use(well.port, 6, f"user-{n}").status for n in range(3)] == [502] * 3
        assert ended(well.port, broken) == "rolled-back"
        assert told(well.port, good)["state"] == "running"
    finally:
        ask(well.port, f"{FREEZES}/{number}", method="DELETE")
    assert ended(well.port, good) == "promoted"


def test_the_same_canary_again_is_the_same_canary(well: Platform) -> None:
    body = canary(8, stages=HALF)
    start(well.port, body)
    assert ask(well.port, CANARIES, body).status == 200
    other = ask(well.port, CANARIES, {**body, "version": "v3"})
    assert (other.status, json.loads(other.body)["error"]) == (409, "canary-id-taken")


def test_a_workload_has_one_canary_at_a_time(well: Platform) -> None:
    body = canary(9, stages=HALF)
    with concurrent.futures.ThreadPoolExecutor(8) as clients:
        sent = [
            clients.submit(ask, well.port, CANARIES, {**body, "canary_id": token_hex(6)})
            for _ in range(8)
        ]
    answers = [each.result() for each in sent]
    assert Counter(a.status for a in answers) == {201: 1, 409: 7}
    errors = {json.loads(a.body).get("error") for a in answers if a.status == 409}
    assert errors == {"canary-running"}


def test_canaries_are_listed_by_state(well: Platform) -> None:
    running = start(well.port, canary(10, stages=HALF))
    promoted = start(well.port, canary(11))
    assert ended(well.port, promoted) == "promoted"

    def listed(query: str) -> set[str]:
        found = json.loads(ask(well.port, f"{CANARIES}{query}").body)["canaries"]
        return {each["canary_id"] for each in found}

    assert running in listed("")
    assert promoted not in listed("")
    assert promoted in listed("?state=promoted")
    assert ask(well.port, f"{CANARIES}?state=lost").status == 400


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (f"{CANARIES}/nobody", None, 404),
        (f"{WORKLOADS}/nobody/route", None, 404),
        (CANARIES, canary(12, workload="nobody"), 404),
        (CANARIES, canary(12, stages=[]), 400),
        (CANARIES, [], 400),
    ],
    ids=["no canary", "no workload", "a canary of nothing", "no stages", "no object"],
)
def test_what_is_not_there_or_no_canary_is_refused(
    well: Platform, path: str, body: object, status: int
) -> None:
    assert ask(well.port, path, body).status == status


def test_fifty_at_once_are_each_moved_once_by_two_replicas(
    well: Platform, database: DataServer, tmp_path: Path
) -> None:
    with platform(tmp_path, database) as other:
        names = ("canary_advances_total", "canary_promotions_total")
        both = (well.port, other.port)
        before = [sum(metric(port, name) for port in both) for name in names]
        bodies = [canary(100 + number) for number in range(50)]
        with concurrent.futures.ThreadPoolExecutor(8) as clients:
            ids = list(clients.map(lambda body: start(well.port, body), bodies))
        assert {ended(well.port, each) for each in ids} == {"promoted"}
        after = [sum(metric(port, name) for port in both) for name in names]
    assert [a - b for a, b in zip(after, before, strict=True)] == [100, 50]
    query = "SELECT count(*) FROM releases WHERE workload = ANY(:names)"
    assert well.sql(query, names=[body["workload"] for body in bodies]) == [[50]]  # type: ignore[arg-type]


def test_a_replica_that_is_killed_leaves_no_canary_stuck(
    well: Platform, database: DataServer, tmp_path: Path
) -> None:
    port = free_port()
    log = tmp_path / "killed.log"
    with command("control_api", log, PORT=str(port), POSTGRES_DSN=database.url) as killed:
        eventually(lambda: is_well(port) and ask(port, "/readyz").status == 200, "it is ready")
        slow = stages((50, 1), (100, 1))
        ids = [start(port, canary(200 + number, stages=slow)) for number in range(20)]
        killed.kill()
        killed.wait()
    assert {ended(well.port, each) for each in ids} == {"promoted"}


def test_the_gauge_says_how_many_there_are(well: Platform) -> None:
    start(well.port, canary(300, stages=HALF))
    running = well.sql("SELECT count(*) FROM canaries WHERE state = 'running'")[0][0]
    eventually(
        lambda: metric(well.port, re.escape('canaries{state="running"}')) == running,
        "the gauge is up to date",
    )


def test_defect_canary_blind_promotes_what_is_broken(database: DataServer, tmp_path: Path) -> None:
    sql(database, "CREATE SCHEMA blind")
    own = replace(database, url=f"{database.url}?search_path=blind")
    with platform(tmp_path, own, DEFECTS="canary-blind") as found:
        broken = canary(1, stages=stages((100, 1)), error_share=1)
        canary_id = start(found.port, broken)
        assert [use(found.port, 1, f"user-{n}").status for n in range(10)] == [502] * 10
        assert ended(found.port, canary_id) == "promoted"
        assert track(use(found.port, 1, "ann")) == (502, "stable", "v2")
