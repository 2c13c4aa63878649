"""Connection slots of real database servers: held, refused to others, and given back."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from harness import connection_slots, databases, faults, stressor
from harness.databases import SlotsExhaustedError
from harness.descriptor import Service, StackDescriptor
from harness.errors import FaultError
from harness.faults import pool_exhaustion, resources
from harness.faults import session as sessions
from harness.files import project_root, state_home
from harness.looks import look
from harness.recover import recover
from harness.undo import State, UndoLog, dump
from tests import data_servers
from tests.data_servers import PASSWORD, QUOTED, DataServer
from tests.real import eventually, free_port, write_descriptor

pytestmark = pytest.mark.stack

SLOTS = 12
STACK = "stack-with-data"
STARTERS = {
    "PostgreSQL": lambda: data_servers.postgres(max_connections=SLOTS),
    "Redis": lambda: data_servers.redis(maxclients=SLOTS),
}


#: What does not depend on the server.
one_will_do = pytest.mark.parametrize("server", ["Redis"], indirect=True)


@pytest.fixture(scope="module", params=STARTERS)
def server(request: pytest.FixtureRequest) -> Iterator[DataServer]:
    for name in ("pg8000", "redis"):
        pytest.importorskip(name, reason="the extra `databases` is not installed")
    with STARTERS[request.param]() as running:
        yield running


def make_stack(url: str, patch: pytest.MonkeyPatch) -> UndoLog:
    services = {
        "store": Service(name="store", url=url, health_path=""),
        "api": Service(name="api", url="http://127.0.0.1:1", health_path="/"),
    }
    write_descriptor(StackDescriptor(id=STACK, driver="local", base_url="", services=services))
    patch.setenv("HARNESS_STACK", STACK)
    patch.setenv("HARNESS_RUN_ID", "run-1")
    patch.setenv("HARNESS_EPOCH", "0")
    sessions.session.cache_clear()
    return UndoLog(STACK)


@pytest.fixture
def log(server: DataServer, own_state: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[UndoLog]:
    """The undo log of a stack with this server as its service ``store``."""
    log = make_stack(server.url, monkeypatch)
    yield log
    left = log.snapshot().open
    recover(log)
    sessions.session.cache_clear()
    for helper in resources._HELPERS:
        helper.wait(timeout=60)
    assert left == ()


def served(server: DataServer) -> bool:
    try:
        with contextlib.closing(databases.connect(server.url, "somebody")):
            return True
    except SlotsExhaustedError:
        return False


def secrets() -> list[Path]:
    return list((state_home() / "credentials").glob("*"))


def test_new_connections_are_refused_until_it_is_healed(server: DataServer, log: UndoLog) -> None:
    done = pool_exhaustion.inject("store")
    assert "a new connection was refused: " in str(done["proof"])
    assert f"{server.address} served a new connection just before" in str(done["proof"])
    assert not served(server)
    faults.hold("0.3s")
    (entry,) = log.snapshot().open
    assert (entry.state, entry.hold_s) == (State.PROVEN, 0.3)
    (healed,) = pool_exhaustion.heal("store")
    assert f"{server.address} served a new connection and counts none" in healed["proof"]
    assert served(server)
    assert (stressor.find(entry.id), secrets()) == ([], [])
    assert pool_exhaustion.heal("store") == []


def test_the_credentials_are_in_one_file_that_only_we_can_read(
    server: DataServer, log: UndoLog
) -> None:
    done = pool_exhaustion.inject("store")
    (entry,) = log.snapshot().open
    (helper,) = stressor.find(entry.id)
    told = [dump(entry), str(done), *helper.cmdline(), *helper.environ().values()]
    assert [text for text in told if PASSWORD in text or QUOTED in text] == []
    (secret,) = secrets()
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert stat.S_IMODE(secret.parent.stat().st_mode) == 0o700
    assert secret.read_text() == server.url
    assert PASSWORD not in str(pool_exhaustion.heal("store"))


def test_a_bound_below_the_servers_own_is_counted_by_the_server(
    server: DataServer, log: UndoLog
) -> None:
    done = pool_exhaustion.inject("store", connections="3")
    assert f"{server.address} counts 3 connections of the helper" in str(done["proof"])
    assert served(server)
    faults.hold("0.3s")
    pool_exhaustion.heal("store")


def test_a_slot_that_is_given_back_is_taken_too(server: DataServer, log: UndoLog) -> None:
    """A caller that was there before the fault ends its connection."""
    before = databases.connect(server.url, "a-caller")
    pool_exhaustion.inject("store")
    before.close()
    eventually(lambda: not served(server), "it is taken")
    faults.hold("0.3s")
    assert not served(server)
    pool_exhaustion.heal("store")


@one_will_do
def test_a_helper_that_somebody_ends_is_noticed(server: DataServer, log: UndoLog) -> None:
    pool_exhaustion.inject("store")
    (entry,) = log.snapshot().open
    stressor.end(entry.id, "")
    with pytest.raises(FaultError, match="stopped biting: its helper process does not run"):
        faults.hold("20s")
    pool_exhaustion.heal("store")


def test_a_server_that_is_full_already_is_refused(server: DataServer, log: UndoLog) -> None:
    with contextlib.ExitStack() as held:
        with contextlib.suppress(SlotsExhaustedError):
            for _ in range(SLOTS + 1):
                held.enter_context(contextlib.closing(databases.connect(server.url, "a-caller")))
        with pytest.raises(FaultError, match="It has no connection left before the fault"):
            pool_exhaustion.inject("store")
    assert log.snapshot().entries == ()
    eventually(lambda: served(server), "the callers are gone")


@one_will_do
def test_what_does_not_bite_leaves_nothing(
    server: DataServer, log: UndoLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_exhaustion, "PROVE_WITHIN_S", 0.0)
    monkeypatch.setattr(connection_slots, "TRIES", 1)
    monkeypatch.setattr(stressor, "CONNECTIONS", "cpu")  # of the wrong kind: it holds nothing
    with pytest.raises(FaultError, match="does not bite"):
        pool_exhaustion.inject("store", connections=1)
    (entry,) = log.snapshot().entries
    assert (entry.state, entry.proven_at, secrets()) == (State.HEALED, None, [])


INJECTOR = """
import sys
from harness import faults
from harness.faults import pool_exhaustion
pool_exhaustion.inject("store")
print("proven", flush=True)
faults.hold("60s")
"""


def killed_injector() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", INJECTOR], cwd=project_root(), stdout=subprocess.PIPE
    ) as injector:
        assert injector.stdout is not None
        assert injector.stdout.readline() == b"proven\n"
        injector.kill()


@one_will_do
def test_recover_proves_what_a_killed_injector_left(server: DataServer, log: UndoLog) -> None:
    killed_injector()
    (left,) = log.snapshot().open
    assert (left.kind, left.state) == ("pool_exhaustion", State.PROVEN)
    assert recover(log).clean
    assert "served a new connection" in log.read(left).heal_proof
    assert (served(server), secrets()) == (True, [])


@one_will_do
def test_the_guardian_heals_when_a_plain_injector_is_killed(
    server: DataServer, log: UndoLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HARNESS_RUN_ID")
    killed_injector()
    eventually(lambda: not log.snapshot().open, "the guardian has healed")
    assert served(server)


@one_will_do
def test_a_helper_that_hangs_is_ended_too(server: DataServer, log: UndoLog) -> None:
    pool_exhaustion.inject("store")
    (entry,) = log.snapshot().open
    (helper,) = stressor.find(entry.id)
    os.kill(helper.pid, signal.SIGSTOP)
    assert recover(log).clean
    assert not psutil.pid_exists(helper.pid) or helper.status() == psutil.STATUS_ZOMBIE
    assert served(server)


def test_a_wrong_password_is_told_without_it(server: DataServer) -> None:
    url = server.url.replace(QUOTED, "another-secret")
    with pytest.raises(FaultError, match=f"{server.address} does not let us in") as refused:
        databases.connect(url, "somebody")
    assert not isinstance(refused.value, SlotsExhaustedError)
    assert "another-secret" not in str(refused.value)


# -- without a server


@pytest.fixture
def nowhere(own_state: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[UndoLog]:
    yield make_stack(f"redis://:pw@127.0.0.1:{free_port()}", monkeypatch)
    sessions.session.cache_clear()


REFUSED = {
    "a service that is no database": ("api", 10, r"No database server is known at http://127"),
    "no such service": ("nobody", 10, "has no service 'nobody'; it has api, store"),
    "no connection at all": ("store", 0, "0 connections must be from 1 to 5000"),
    "more than the bound": ("store", 5001, "5001 connections must be from 1 to 5000"),
    "a server that is not there": ("store", 10, r"127\.0\.0\.1:\d+ does not let us in"),
}


@pytest.mark.parametrize("row", REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_done_is_refused_before_anything_starts(
    nowhere: UndoLog, row: tuple[str, int, str]
) -> None:
    target, connections, words = row
    with pytest.raises(FaultError, match=words):
        pool_exhaustion.inject(target, connections)
    assert nowhere.snapshot().entries == ()
    assert secrets() == []


ADDRESSES = {
    "postgresql://u:p@db.example:6000/shop": "db.example:6000",
    "postgres://db.example/shop": "db.example:5432",
    "redis://:p@cache.example": "cache.example:6379",
    "rediss://cache.example:1": "cache.example:1",
}


@pytest.mark.parametrize(("url", "place"), ADDRESSES.items(), ids=ADDRESSES.values())
def test_a_server_is_named_without_credentials(url: str, place: str) -> None:
    assert databases.place(url) == place


@pytest.mark.parametrize("url", ["", "http://u:hidden@x", "mysql://u:hidden@db", "redis:///1"])
def test_what_is_no_known_server_is_refused_without_its_credentials(url: str) -> None:
    with pytest.raises(FaultError, match="No database server is known at") as refused:
        databases.place(url)
    assert "hidden" not in str(refused.value)


def test_an_sslmode_that_is_not_known_is_refused() -> None:
    url = f"postgresql://u@127.0.0.1:{free_port()}/shop?sslmode=prefer"
    with pytest.raises(FaultError, match="sslmode 'prefer' must be one of disable, require, veri"):
        databases.connect(url, "somebody")


def test_a_client_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(FaultError, match=r"needs the package redis. Install it with `pip inst"):
        databases.connect("redis://127.0.0.1:1", "somebody")


def arguments(path: Path, address: str) -> dict[str, str]:
    return {"token": "pool_exhaustion-of-nobody", "path": str(path), "address": address}


def test_one_that_never_started_is_released(tmp_path: Path) -> None:
    nothing = arguments(tmp_path / "none", "127.0.0.1:1")
    connection_slots.release(nothing)
    assert "its credentials are gone: it never ran" in connection_slots.prove_released(nothing)


def test_a_server_that_is_gone_has_no_slots_to_give_back(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("redis://127.0.0.1:1")
    proof = connection_slots.prove_released(arguments(path, f"127.0.0.1:{free_port()}"))
    assert "nothing listens at" in proof
    assert not path.exists()


@one_will_do
def test_a_proof_that_takes_longer_than_the_lease_renews_it(
    server: DataServer, log: UndoLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.faults import injection

    monkeypatch.setattr(injection, "LEASE_S", 1.0)
    leases: list[float] = []

    def slow_look(*of_entry: object) -> object:
        leases.append(log.snapshot().open[0].lease_until)
        seen = look(*of_entry)  # type: ignore[arg-type]
        return seen if len(set(leases)) > 2 else type(seen)(False, "not yet")

    monkeypatch.setattr(injection, "look", slow_look)
    pool_exhaustion.inject("store", connections=2)
    assert leases == sorted(leases)
    (entry,) = log.snapshot().open
    assert entry.lease_until >= (entry.proven_at or 0) + 1.0
    pool_exhaustion.heal("store")
