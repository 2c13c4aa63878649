"""Policies and overload of the control API: what nobody can decide about is not allowed."""

from __future__ import annotations

import concurrent.futures
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from control_platform import (
    FREEZES,
    NOBODY,
    POLICIES,
    Platform,
    metric,
    own_database,
    platform,
    window,
)
from policy_cases import WELL
from service_process import Answer, ask, service

from tests.data_servers import DataServer
from tests.load.site import Site, answer, hang_up, served, truncated
from tests.real import eventually

pytestmark = pytest.mark.stack

VIEWER = {**WELL, "role": "viewer"}


def verdict(allow: bool, *reasons: str) -> Callable[[Any, int], None]:
    """An agent that always says this."""
    body = json.dumps({"result": {"allow": allow, "reasons": reasons}}).encode()
    return lambda handler, _: answer(handler, body=body, Content_Type="application/json")


def says(body: bytes, status: int = 200) -> Callable[[Any, int], None]:
    return lambda handler, _: answer(handler, status, body, Content_Type="application/json")


@pytest.fixture(scope="module")
def database() -> Iterator[DataServer]:
    with own_database() as found:
        yield found


@pytest.fixture(scope="module")
def agent() -> Iterator[tuple[Site, str]]:
    site = Site()
    with served(site) as url:
        yield site, url


@pytest.fixture(scope="module")
def asking(
    database: DataServer, agent: tuple[Site, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    """A control API that asks the agent."""
    folder = tmp_path_factory.mktemp("asking")
    with platform(folder, database, OPA_URL=agent[1], OPA_TIMEOUT_MS="200") as found:
        yield found


@pytest.fixture
def site(agent: tuple[Site, str], asking: Platform) -> Iterator[Site]:
    """The agent, well before and after."""
    agent[0].behave = verdict(True)
    eventually(lambda: ask(asking.port, POLICIES, WELL).status == 200, "the agent is asked")
    yield agent[0]


def decided(found: Answer) -> tuple[int, Any]:
    return found.status, json.loads(found.body)


@pytest.mark.parametrize(
    ("allow", "reasons"), [(True, []), (False, ["frozen", "malformed"])], ids=["yes", "no"]
)
def test_the_agent_decides(asking: Platform, site: Site, allow: bool, reasons: list[str]) -> None:
    site.behave = verdict(allow, *reasons)
    wanted = {"allow": allow, "reasons": reasons, "engine": "opa"}
    assert decided(ask(asking.port, POLICIES, VIEWER)) == (200, wanted)


def test_the_agent_is_told_the_question_and_what_the_control_plane_knows(
    asking: Platform, site: Site
) -> None:
    asked: list[tuple[str, Any]] = []

    def listen(handler: Any, number: int) -> None:
        asked.append((handler.path, json.loads(handler.body)))
        verdict(True)(handler, number)

    site.behave = listen
    lie = {"facts": {"frozen": False, "replicas": 9}}
    ask(asking.port, POLICIES, {**WELL, "workload": "nobody", **lie})
    facts = {"frozen": False, "replicas": None}
    wanted = {"input": {**WELL, "workload": "nobody", "facts": facts}}
    assert asked == [("/v1/data/control/verdict", wanted)]


UNDECIDED = [
    ("an error", says(b"{}", 500)),
    ("too many requests", says(b"{}", 429)),
    ("an agent without a policy", says(b"{}")),
    ("a yes that is no verdict", says(b'{"result": true}')),
    ("a yes without reasons", says(b'{"result": {"allow": true}}')),
    ("a yes, and why not", verdict(True, "frozen")),
    ("no JSON", says(b"<html>")),
    ("half an answer", truncated),
    ("the connection ends", hang_up),
]


@pytest.mark.parametrize("behave", [row[1] for row in UNDECIDED], ids=[row[0] for row in UNDECIDED])
def test_what_is_no_verdict_allows_nothing(
    asking: Platform, site: Site, behave: Callable[[Any, int], None]
) -> None:
    counted = r'policy_decisions_total\{decision="undecided",engine="opa"\}'
    before = metric(asking.port, counted)
    site.behave = behave
    found = ask(asking.port, POLICIES, WELL)
    assert decided(found) == (503, {"error": "policy-undecided"})
    assert found.headers["retry-after"] == "1"
    assert metric(asking.port, counted) == before + 1


def test_an_agent_that_hangs_is_not_waited_for_and_soon_not_asked(
    asking: Platform, site: Site
) -> None:
    release = threading.Event()
    timed_out = r'upstream_calls_total\{outcome="timeout",service="control-api",upstream="opa"\}'

    def hang(handler: Any, _: int) -> None:
        release.wait(30)
        handler.close_connection = True

    site.behave = hang
    try:
        found = [ask(asking.port, POLICIES, WELL).status for _ in range(20)]
        assert set(found) == {503}
        # Five tell that it is away; after that one is tried each second, and the rest is refused.
        assert 5 <= metric(asking.port, timed_out) < 20
    finally:
        release.set()
    site.behave = verdict(True)
    eventually(lambda: ask(asking.port, POLICIES, WELL).status == 200, "it is asked again")


def test_without_an_agent_the_control_plane_decides(database: DataServer, tmp_path: Path) -> None:
    with platform(tmp_path, database) as found:

        def said(**changes: Any) -> list[str]:
            status, fields = decided(ask(found.port, POLICIES, {**WELL, **changes}))
            assert (status, fields["engine"]) == (200, "built-in")
            assert fields["allow"] == (not fields["reasons"])
            return list(fields["reasons"])

        assert said() == []
        assert said(role="viewer") == ["viewers-change-nothing"]
        assert said(workload="nobody") == ["unknown-workload"]
        number = json.loads(ask(found.port, FREEZES, window(-5, 3600)).body)["id"]
        try:
            assert said() == ["frozen"]
        finally:
            ask(found.port, f"{FREEZES}/{number}", method="DELETE")
        assert ask(found.port, POLICIES, {**WELL, "hour": 24}).status == 400
        assert ask(found.port, POLICIES, []).status == 400


@pytest.mark.parametrize(
    ("defects", "status", "fields"),
    [
        ("", 503, {"error": "policy-undecided"}),
        ("policy-open", 200, {"allow": True, "reasons": [], "engine": "built-in"}),
    ],
    ids=["nothing is allowed", "the defect allows it"],
)
def test_without_the_facts(
    tmp_path: Path, defects: str, status: int, fields: dict[str, Any]
) -> None:
    dsn = f"postgresql://shop:shop@{NOBODY}/shop"
    with service("control_api", tmp_path, POSTGRES_DSN=dsn, DEFECTS=defects) as port:
        assert decided(ask(port, POLICIES, VIEWER)) == (status, fields)


def test_defect_policy_open_allows_what_the_agent_did_not_decide(
    database: DataServer, tmp_path: Path
) -> None:
    environment = {"OPA_URL": f"http://{NOBODY}", "DEFECTS": "policy-open"}
    with platform(tmp_path, database, **environment) as found:
        status, fields = decided(ask(found.port, POLICIES, VIEWER))
        assert (status, fields["allow"]) == (200, True)


@pytest.mark.parametrize(
    ("defects", "refused"), [("", 4), ("no-shedding", 0)], ids=["it sheds", "the defect does not"]
)
def test_what_is_too_much_at_a_time_is_refused_at_once(
    database: DataServer, agent: tuple[Site, str], tmp_path: Path, defects: str, refused: int
) -> None:
    site, url = agent
    release, waiting = threading.Event(), threading.Semaphore(0)

    def wait(handler: Any, number: int) -> None:
        waiting.release()
        release.wait(30)
        verdict(True)(handler, number)

    site.behave = wait
    extra = {"OPA_URL": url, "OPA_TIMEOUT_MS": "30000", "MAX_IN_FLIGHT": "2", "DEFECTS": defects}
    with (
        platform(tmp_path, database, **extra) as found,
        concurrent.futures.ThreadPoolExecutor(6) as clients,
    ):
        try:
            slow = [clients.submit(ask, found.port, POLICIES, WELL) for _ in range(2)]
            assert all(waiting.acquire(timeout=10) for _ in slow)
            more = [clients.submit(ask, found.port, POLICIES, WELL) for _ in range(4)]
            if refused:
                answers = [each.result() for each in more]
                assert {decided(each)[1]["error"] for each in answers} == {"overloaded"}
                assert {each.headers["retry-after"] for each in answers} == {"1"}
            else:
                assert all(waiting.acquire(timeout=10) for _ in more)
            shed = r'shed_requests_total\{service="control-api"\}'
            assert metric(found.port, shed) == refused
            assert ask(found.port, "/readyz").status == 200
        finally:
            release.set()
        assert {each.result().status for each in slow} == {200}
