"""Jobs as real processes on a real Redis and PostgreSQL: each accepted one is done, once."""

import json
import os
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from secrets import token_hex
from typing import Any

import psutil
import pytest
from service_process import Answer, ask, command, free_port, is_well, service
from silence import way_to

from harness.files import project_root
from harness.stacks.provision import python_for_services
from tests import data_servers

pytestmark = pytest.mark.stack

SQUARE = [[0, 0], [10, 0], [10, 10], [0, 10]]
WITHIN_S = 180


def until(holds: Callable[[], bool], what: str, within_s: float = WITHIN_S) -> None:
    deadline_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.05)


@dataclass(frozen=True)
class Database:
    """One database of a PostgreSQL: fronts that share one would do each other's jobs."""

    dsn: str
    process: subprocess.Popen[bytes]

    def ask(self, statement: str) -> list[Any]:
        native = pytest.importorskip("pg8000.native")
        address, _, name = self.dsn.rpartition("@")[2].partition("/")
        host, _, port = address.rpartition(":")
        session = native.Connection("owner", host, name, int(port), data_servers.PASSWORD)
        try:
            return list(session.run(statement) or [])
        finally:
            session.close()

    def results(self) -> Counter[str]:
        """How often each job has a result."""
        return Counter(row[0] for row in self.ask("SELECT job_id FROM job_results"))


@pytest.fixture(scope="module")
def server() -> Iterator[Database]:
    with data_servers.postgres(max_connections=60) as found:
        # The owner, who may make tables.
        yield Database(found.url.replace("shop:", "owner:", 1), found.process)


def of_its_own(server: Database) -> Database:
    name = f"d{token_hex(4)}"
    server.ask(f"CREATE DATABASE {name}")
    return replace(server, dsn=f"{server.dsn.rpartition('/')[0]}/{name}")


@pytest.fixture
def database(server: Database) -> Database:
    return of_its_own(server)


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with data_servers.redis(maxclients=100) as server:
        yield server.url


@contextmanager
def front(folder: Path, database: Database, redis: str, **extra: str) -> Iterator[int]:
    addresses = {"POSTGRES_DSN": database.dsn, "REDIS_URL": redis}
    with service("jobs", folder, **{**addresses, **extra}) as port:
        until(lambda: ask(port, "/readyz").status == 200, "jobs are taken")
        yield port


@contextmanager
def worker(
    folder: Path, database: Database, redis: str, **extra: str
) -> Iterator[subprocess.Popen[bytes]]:
    port = free_port()
    settings = {"PORT": str(port), "POSTGRES_DSN": database.dsn, "REDIS_URL": redis, "JOB_MS": "1"}
    log = folder / f"worker-{port}.log"
    with command("jobs_worker", log, **{**settings, **extra}) as process:
        try:
            until(lambda: is_well(port), "the worker is well")
            until(lambda: ask(port, "/readyz").status == 200, "the worker is ready")
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()


@dataclass(frozen=True)
class Platform:
    front: int
    database: Database


@pytest.fixture(scope="module")
def platform(
    tmp_path_factory: pytest.TempPathFactory, server: Database, redis_url: str
) -> Iterator[Platform]:
    """Front and worker, both well."""
    folder, database = tmp_path_factory.mktemp("jobs"), of_its_own(server)
    with ExitStack() as stack:
        stack.enter_context(worker(folder, database, redis_url))
        yield Platform(stack.enter_context(front(folder, database, redis_url)), database)


def submit(port: int, job_id: str, outline: object = SQUARE) -> Answer:
    return ask(port, "/jobs", {"job_id": job_id, "outline": outline})


def state(port: int, job_id: str) -> str:
    return str(json.loads(ask(port, f"/jobs/{job_id}").body).get("state", ""))


def all_done(port: int, job_ids: list[str]) -> bool:
    return all(state(port, job_id) == "done" for job_id in job_ids)


def metric(port: int, line: str) -> float:
    found = re.search(rf"^{line} (\S+)$", ask(port, "/metrics").body, re.MULTILINE)
    assert found is not None, line
    return float(found[1])


def names(count: int) -> list[str]:
    prefix = token_hex(4)
    return [f"{prefix}-{number:03d}" for number in range(count)]


def test_an_accepted_job_is_done_and_its_area_is_right(platform: Platform) -> None:
    (job_id,) = names(1)
    told = submit(platform.front, job_id, [[0, 0], [4, 0], [0, 3]])
    assert (told.status, json.loads(told.body)) == (202, {"job_id": job_id, "state": "waiting"})
    until(lambda: state(platform.front, job_id) == "done", "the job is done")
    assert json.loads(ask(platform.front, f"/jobs/{job_id}").body)["area_m2"] == 6.0
    assert platform.database.results()[job_id] == 1


def test_a_job_that_is_sent_three_times_is_done_once(platform: Platform) -> None:
    (job_id,) = names(1)
    assert [submit(platform.front, job_id).status for _ in range(3)] == [202] * 3
    until(lambda: state(platform.front, job_id) == "done", "the job is done")
    assert submit(platform.front, job_id).status == 202
    assert platform.database.results()[job_id] == 1


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ([], "JSON object"),
        ({"outline": SQUARE}, "job_id"),
        ({"job_id": "", "outline": SQUARE}, "job_id"),
        ({"job_id": "j" * 201, "outline": SQUARE}, "job_id"),
        ({"job_id": 7, "outline": SQUARE}, "job_id"),
        ({"job_id": "j\0", "outline": SQUARE}, "job_id"),
        ({"job_id": "j"}, "outline"),
        ({"job_id": "j", "outline": SQUARE[:2]}, "3 to 1000 points"),
        ({"job_id": "j", "outline": [[0, 0]] * 1001}, "3 to 1000 points"),
        ({"job_id": "j", "outline": [[0, 0], [1, 1], [2]]}, "outline[2]"),
        ({"job_id": "j", "outline": [[0, 0], [1, "1"], [2, 2]]}, "outline[1]"),
        ({"job_id": "j", "outline": [[True, 0], [1, 1], [2, 2]]}, "outline[0]"),
        ({"job_id": "j", "outline": [[0, 0], [1, 1], [2e6, 2]]}, "outline[2]"),
        ({"job_id": "j", "outline": [[0, 0], [1, 1], [float("nan"), 2]]}, "outline[2]"),
    ],
    ids=[
        "a list",
        "no id",
        "an empty id",
        "too long an id",
        "a number as id",
        "an id that no database can store",
        "no outline",
        "two points",
        "too many points",
        "half a point",
        "a text in a point",
        "a boolean in a point",
        "a point too far away",
        "a point that is no number",
    ],
)
def test_what_is_no_job_is_refused_with_the_reason(
    platform: Platform, body: object, words: str
) -> None:
    refused = ask(platform.front, "/jobs", body)
    assert refused.status == 400
    assert words in refused.body


def test_a_job_that_nobody_sent_is_unknown(platform: Platform) -> None:
    assert ask(platform.front, "/jobs/no-such-job").status == 404


def test_the_status_page_and_what_it_reads(platform: Platform) -> None:
    page = ask(platform.front, "/")
    assert (page.status, page.headers["content-type"]) == (200, "text/html")
    assert 'fetch("/status"' in page.body
    assert set(json.loads(ask(platform.front, "/status").body)) == {
        "done",
        "waiting",
        "freshness_s",
    }


@contextmanager
def mortal_redis(port: int) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    with data_servers.redis(maxclients=100, port=port) as server:
        yield server.url, server.process


def test_jobs_are_taken_while_the_broker_is_away_and_done_when_it_is_there(
    tmp_path: Path, database: Database
) -> None:
    jobs = names(20)
    port = free_port()
    url = f"redis://:{data_servers.QUOTED}@127.0.0.1:{port}/0"
    with front(tmp_path, database, url) as port_of_front:
        assert [submit(port_of_front, job).status for job in jobs] == [202] * len(jobs)
        until(
            lambda: metric(port_of_front, "data_freshness_seconds") > 2,
            "the data are behind by 2 s",
        )
        assert {state(port_of_front, job) for job in jobs} == {"waiting"}
        assert ask(port_of_front, "/readyz").status == 200
        with mortal_redis(port), worker(tmp_path, database, url):
            until(lambda: all_done(port_of_front, jobs), "all are done")
            until(lambda: metric(port_of_front, "data_freshness_seconds") < 2, "and fresh again")
    assert database.results() == Counter(jobs)


def test_a_broker_that_is_killed_and_comes_back_empty_loses_and_doubles_nothing(
    tmp_path: Path, database: Database
) -> None:
    jobs = names(60)
    port = free_port()
    url = f"redis://:{data_servers.QUOTED}@127.0.0.1:{port}/0"
    quick = {"JOB_RESEND_S": "1"}
    slow = {"JOB_MS": "250", "JOB_THREADS": "2"}
    with ExitStack() as stack:
        with mortal_redis(port) as (_, first):
            front_port = stack.enter_context(front(tmp_path, database, url, **quick))
            stack.enter_context(worker(tmp_path, database, url, **slow))
            assert [submit(front_port, job).status for job in jobs[:40]] == [202] * 40
            until(lambda: len(database.results()) > 3, "some are done")
            first.kill()
            first.wait()
            assert [submit(front_port, job).status for job in jobs[40:]] == [202] * 20
        assert len(database.results()) < 40
        stack.enter_context(mortal_redis(port))
        until(lambda: all_done(front_port, jobs), "all are done")
    assert database.results() == Counter(jobs)


#: Gives up the first time, as Celery does where the broker dies while a job is acknowledged.
GIVES_UP_ONCE = """
import os, sys
from celery.worker import WorkController
from services import jobs_worker

if len(sys.argv) > 1 and not os.path.exists(sys.argv[1]):
    open(sys.argv[1], "x").close()
    WorkController.start = lambda self: setattr(self, "exitcode", 1)
jobs_worker.main()
"""


def test_a_worker_that_has_given_up_begins_anew(
    tmp_path: Path, database: Database, redis_url: str
) -> None:
    url, jobs, gave_up = redis_url.replace("/0", "/2"), names(5), tmp_path / "gave-up"
    addresses = {"POSTGRES_DSN": database.dsn, "REDIS_URL": url, "PORT": str(free_port())}
    with (
        front(tmp_path, database, url) as port,
        subprocess.Popen(
            [str(python_for_services()), "-c", GIVES_UP_ONCE, str(gave_up)],
            cwd=project_root() / "stack",
            env={"PATH": os.environ["PATH"], **addresses, "JOB_MS": "1"},
        ) as process,
    ):
        try:
            assert [submit(port, job).status for job in jobs] == [202] * 5
            until(lambda: all_done(port, jobs), "all are done")
            assert gave_up.exists()
        finally:
            process.terminate()
        assert process.wait(WITHIN_S) == 0
    assert database.results() == Counter(jobs)


def test_a_broker_that_falls_silent_is_left_and_found_again(
    tmp_path: Path, database: Database
) -> None:
    before, meanwhile = names(5), names(5)
    with data_servers.redis(maxclients=100) as broker, ExitStack() as stack:
        way = stack.enter_context(way_to(int(broker.address.rpartition(":")[2])))
        url = broker.url.replace(broker.address, f"127.0.0.1:{way.port}")
        stack.enter_context(worker(tmp_path, database, url))
        port = stack.enter_context(front(tmp_path, database, url))
        assert [submit(port, job).status for job in before] == [202] * 5
        until(lambda: all_done(port, before), "all are done")
        way.silent.set()
        assert [submit(port, job).status for job in meanwhile] == [202] * 5
        sent_in_vain = r'jobs_sent_total\{outcome="broker-away"\}'
        until(lambda: metric(port, sent_in_vain) > 0, "the front has noticed")
        way.silent.clear()
        until(lambda: all_done(port, meanwhile), "the worker has noticed, too")
    assert database.results() == Counter(before + meanwhile)


def test_a_worker_that_is_killed_at_work_loses_and_doubles_nothing(
    tmp_path: Path, database: Database, redis_url: str
) -> None:
    jobs = names(12)
    url = redis_url.replace("/0", "/1")
    slow = {"JOB_MS": "1000", "JOB_THREADS": "2"}
    with front(tmp_path, database, url, JOB_RESEND_S="1") as port:
        with worker(tmp_path, database, url, **slow) as first:
            assert [submit(port, job).status for job in jobs] == [202] * len(jobs)
            until(lambda: len(database.results()) > 1, "some are done")
            first.send_signal(signal.SIGKILL)
            first.wait()
        assert len(database.results()) < len(jobs)
        with worker(tmp_path, database, url):
            until(lambda: all_done(port, jobs), "all are done")
    assert database.results() == Counter(jobs)


@contextmanager
def refusing(database: Database, server: Database) -> Iterator[None]:
    """Connections end, and new ones are refused."""
    name = database.dsn.rpartition("/")[2]
    server.ask(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    server.ask(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname <> current_database()"
    )
    try:
        yield
    finally:
        server.ask(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


@contextmanager
def frozen(database: Database, server: Database) -> Iterator[None]:
    """Connections stay open, and nothing answers."""
    first = psutil.Process(server.process.pid)
    for process in (everyone := [first, *first.children(recursive=True)]):
        process.suspend()
    try:
        yield
    finally:
        for process in everyone:
            process.resume()


@pytest.mark.parametrize("away", [refusing, frozen])
def test_without_the_database_nothing_is_acknowledged(
    tmp_path: Path,
    database: Database,
    server: Database,
    redis_url: str,
    away: Callable[[Database, Database], AbstractContextManager[None]],
) -> None:
    (job_id,) = names(1)
    with front(tmp_path, database, redis_url) as port:
        with away(database, server):
            assert submit(port, job_id).status in (503, 504)
            assert ask(port, f"/jobs/{job_id}").status == 503
            assert ask(port, "/status").status == 503
            assert ask(port, "/readyz").status == 503
            assert ask(port, "/healthz").status == 200
            assert ask(port, "/").status == 200
            before = metric(port, "data_freshness_seconds")
            until(lambda: metric(port, "data_freshness_seconds") > before + 0.5, "the data age")
        until(lambda: ask(port, "/readyz").status == 200, "ready again")
        assert submit(port, job_id).status == 202


def test_a_database_that_comes_back_empty_gets_its_tables_without_a_restart(
    tmp_path: Path, database: Database, redis_url: str
) -> None:
    with front(tmp_path, database, redis_url) as port:
        database.ask("DROP TABLE jobs, job_results")
        until(lambda: ask(port, "/readyz").status == 200, "ready again")
        assert submit(port, "again").status == 202
        assert [row[0] for row in database.ask("SELECT job_id FROM jobs")] == ["again"]


def test_a_database_that_was_never_there_means_no_jobs(tmp_path: Path, redis_url: str) -> None:
    nowhere = "postgresql://shop:shop@127.0.0.1:9/shop"
    with service("jobs", tmp_path, POSTGRES_DSN=nowhere, REDIS_URL=redis_url) as port:
        assert submit(port, "j").status == 503
        assert ask(port, "/readyz").status == 503


def test_defect_acks_early_loses_what_the_broker_could_not_take(
    tmp_path: Path, database: Database
) -> None:
    jobs = names(5)
    port = free_port()
    url = f"redis://:{data_servers.QUOTED}@127.0.0.1:{port}/0"
    defect = {"DEFECTS": "acks-early"}
    with front(tmp_path, database, url, JOB_RESEND_S="1", **defect) as front_port:
        assert [submit(front_port, job).status for job in jobs] == [202] * len(jobs)
        failed = r'jobs_sent_total\{outcome="broker-away"\}'
        until(lambda: metric(front_port, failed) > 0, "sending has failed")
        with mortal_redis(port), worker(tmp_path, database, url, **defect):
            (later,) = names(1)
            assert submit(front_port, later).status == 202
            until(lambda: state(front_port, later) == "done", "a later job is done")
    assert not set(jobs) <= database.results().keys()


def test_defect_not_idempotent_jobs_writes_a_result_for_each_time_that_a_job_comes(
    tmp_path: Path, database: Database, redis_url: str
) -> None:
    (job_id,) = names(1)
    url = redis_url.replace("/0", "/2")
    defect = {"DEFECTS": "not-idempotent-jobs"}
    with (
        front(tmp_path, database, url, JOB_RESEND_S="0.3", **defect) as port,
        worker(tmp_path, database, url, JOB_MS="1500", **defect),
    ):
        assert submit(port, job_id).status == 202
        until(lambda: database.results()[job_id] > 1, "it is there twice")


@pytest.mark.parametrize("module", ["jobs", "jobs_worker"])
@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"DEFECTS": "nope"}, "DEFECTS names nope; known are"),
        ({"POSTGRES_DSN": ""}, "POSTGRES_DSN must be set"),
        ({"REDIS_URL": ""}, "REDIS_URL must be set"),
        ({"PORT": "none"}, "PORT is 'none'; it must be a number"),
    ],
    ids=["an unknown defect", "no database", "no broker", "no port"],
)
def test_a_wrong_setting_stops_it_before_it_listens(
    tmp_path: Path, module: str, environment: dict[str, str], message: str
) -> None:
    log = tmp_path / "log"
    right = {
        "PORT": str(free_port()),
        "POSTGRES_DSN": "postgresql://127.0.0.1:9/shop",
        "REDIS_URL": "redis://127.0.0.1:9/0",
    }
    with command(module, log, **{**right, **environment}) as process:
        assert process.wait(timeout=120) == 1
    assert f"refusing to start: {message}" in log.read_text()
    assert "Traceback" not in log.read_text()
