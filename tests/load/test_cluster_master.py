"""The process of the pod with a load's master in it, over HTTP: whom it answers, and what."""

from __future__ import annotations

import contextlib
import hashlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import requests

from harness import __version__
from harness.errors import ExitCode
from harness.load import cluster_messages as told
from harness.load.cluster_master import ClusterMaster, _Server
from harness.load.cluster_messages import LoadOrder, LoadState, Position
from harness.load.plan import LoadPlan
from harness.load.records import SampleFiles
from harness.samples import RECORD, Kind, SeriesName
from tests.real import eventually, free_port

FIVE = np.zeros(5, RECORD).tobytes()
SECRET = "a secret of a test"
PLAN = LoadPlan(folder="", arrivals="50/s", timeout_s=2.0, users=30, seed=7, workers=2)
ORDER = LoadOrder(
    plan=PLAN, target="http://127.0.0.1:1", http=("GET /",), join_timeout_s=1.0, port=0
)


@pytest.fixture
def master(tmp_path: Path) -> ClusterMaster:
    return ClusterMaster(tmp_path, "127.0.0.1")


@pytest.fixture
def url(master: ClusterMaster) -> Iterator[str]:
    digest = hashlib.sha256(SECRET.encode()).hexdigest()
    with _Server("127.0.0.1", 0, digest, master) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def ask(url: str, path: str, body: bytes, secret: str = SECRET) -> requests.Response:
    return requests.post(f"{url}{path}", body, headers={told.SECRET_HEADER: secret}, timeout=10)


def look(url: str, *positions: Position, log: int = 0) -> LoadState:
    answer = ask(url, told.LOOK, told.question(positions, log))
    assert answer.status_code == 200, answer.text
    return told.state(answer.content)


REFUSED = {
    "without the secret": (told.LOOK, told.question((), 0), "", 403),
    "with another secret": (told.BEGIN, ORDER.dump(), "another", 403),
    "for what nobody answers": ("/etc/passwd", b"", SECRET, 404),
    "in another language": (told.LOOK, b"GET me in", SECRET, 409),
    "of another version": (
        told.LOOK,
        told.packed({"protocol": 99, "read": [], "log": 0}),
        SECRET,
        409,
    ),
}


@pytest.mark.parametrize(("path", "body", "secret", "status"), REFUSED.values(), ids=REFUSED.keys())
def test_who_asks_is_refused(path: str, body: bytes, secret: str, status: int, url: str) -> None:
    answer = ask(url, path, body, secret)
    assert answer.status_code == status
    assert answer.text
    assert look(url).joined == ()  # and everybody else is answered as before


def test_a_question_that_is_too_long_is_not_read(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(told, "MOST_BYTES", 10)
    assert ask(url, told.BEGIN, b"x" * 11).status_code == 400


def test_an_order_is_taken_once_and_may_be_said_again(master: ClusterMaster, url: str) -> None:
    for _ in range(2):
        assert ask(url, told.BEGIN, ORDER.dump()).status_code == 200
    other = LoadOrder(plan=PLAN, target="http://other", join_timeout_s=1.0, port=0)
    refused = ask(url, told.BEGIN, other.dump())
    assert (refused.status_code, refused.text) == (409, "another load was ordered before")
    assert look(url, Position(), Position()).error == ""


def test_an_order_that_cannot_be_carried_out_is_an_error_of_the_load(url: str) -> None:
    assert ask(url, told.BEGIN, b"half an order").status_code == 200
    assert "cannot be read" in look(url).error


def test_what_is_recorded_is_handed_over_from_where_the_run_has_read(
    master: ClusterMaster, url: str, tmp_path: Path
) -> None:
    ask(url, told.BEGIN, ORDER.dump())
    (tmp_path / "samples").mkdir()
    files = SampleFiles(tmp_path / "samples", 1)
    files.series(SeriesName(Kind.REQUEST, "buy"))
    files.records(FIVE)
    files.figures({"at": 1.0, "cpu_percent": 2.0})
    (tmp_path / "load.log").write_bytes(b"it began\nhalf a li")
    state = look(url, Position(), Position())
    first, second = state.pages
    assert (first.report.count, first.report.series, first.figures) == (0, (), 0)
    assert second.report.count == 5
    assert [series.name for series in second.report.series] == ["buy"]
    assert [line["at"] for line in second.report.figures] == [1.0]
    assert state.log == b"it began\n"
    files.records(FIVE[: 2 * RECORD.itemsize])
    files.close()
    read = Position(records=5, series=1, figures=second.figures)
    state = look(url, Position(), read, log=9)
    report = state.pages[1].report
    assert (report.first, report.count, report.series, report.figures) == (5, 2, (), ())
    assert not report.final
    assert state.log == b""


def test_one_answer_is_not_too_long(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(told, "MOST_RECORDS", 6)  # for two workers
    ask(url, told.BEGIN, ORDER.dump())
    (tmp_path / "samples").mkdir()
    files = SampleFiles(tmp_path / "samples")
    files.records(FIVE)
    files.close()
    counts, at = [], 0
    while count := look(url, Position(records=at), Position()).pages[0].report.count:
        counts.append(count)
        at += count
    assert counts == [3, 2]


def test_a_pod_that_nobody_asks_leaves(
    master: ClusterMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(told, "SILENT_S", 0.1)
    master.look(told.question((), 0))
    assert master.play() == ExitCode.ERROR


def test_a_pod_that_is_told_to_leave_before_its_order_leaves(master: ClusterMaster) -> None:
    master.leave()
    assert master.play() == ExitCode.ERROR


def test_the_program_answers_and_leaves_when_its_container_is_told_to() -> None:
    port = free_port()
    digest = hashlib.sha256(SECRET.encode()).hexdigest()
    argv = [sys.executable, "-m", "harness.load.cluster_master", "--bind", "127.0.0.1"]
    argv += ["--port", str(port), "--secret-sha256", digest]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as program:

        def answered() -> LoadState | None:
            with contextlib.suppress(requests.ConnectionError):
                return look(f"http://127.0.0.1:{port}")
            return None

        try:
            assert eventually(answered, "it answers").version == __version__  # type: ignore[union-attr]
            program.send_signal(signal.SIGTERM)
            assert program.wait(20) == ExitCode.ERROR  # for it never got an order
            assert program.stderr is not None
            assert program.stderr.read() == ""
        finally:
            program.kill()
