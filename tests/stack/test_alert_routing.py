"""Where the real Alertmanager sends what fires, and that the receiver understands it."""

from __future__ import annotations

import http.client
import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from service_process import ask, free_port, service

from harness.files import project_root
from harness.stacks.provision import locate
from tests.real import eventually

pytestmark = pytest.mark.stack

CONFIGS = project_root() / "stack" / "alertmanager"


@contextmanager
def alertmanager(config: str, receiver: int, folder: Path) -> Iterator[int]:
    found = locate("alertmanager")
    if found is None:
        pytest.skip("alertmanager is not there; `harness doctor --fix` fetches it")
    port = free_port()
    text = (CONFIGS / config).read_text()
    assert "http://receiver:8080" in text
    (folder / config).write_text(text.replace("receiver:8080", f"127.0.0.1:{receiver}"))
    process = subprocess.Popen(
        [
            str(found.path),
            f"--config.file={folder / config}",
            f"--storage.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        eventually(lambda: ready(port), "alertmanager is ready")
        yield port
    finally:
        process.kill()
        process.wait()


def ready(port: int) -> bool:
    try:
        return ask(port, "/-/ready", timeout_s=1.0).status == 200
    except (OSError, http.client.HTTPException):
        return False


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with service("receiver", tmp_path_factory.mktemp("receiver")) as port:
        yield port


@pytest.fixture(scope="module")
def routed(receiver: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with alertmanager("alertmanager.yml", receiver, tmp_path_factory.mktemp("routed")) as port:
        yield port


def fire(manager: int, name: str, severity: str, **alert: Any) -> None:
    """As Prometheus sends it; `post` is JSON, so the body needs its type."""
    labels = {"alertname": name} | ({"severity": severity} if severity else {})
    told = {"labels": labels, "annotations": {"summary": f"{name} is bad."}} | alert
    connection = http.client.HTTPConnection("127.0.0.1", manager, timeout=60)
    try:
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/api/v2/alerts", json.dumps([told]), headers)
        assert connection.getresponse().status == 200
    finally:
        connection.close()


def arrived(receiver: int, name: str) -> dict[str, Any]:
    """By channel, the last that arrived of an alert."""
    found = json.loads(ask(receiver, "/received").body)["received"]
    return {one["channel"]: one for one in found if name in one["alerts"]}


def until(receiver: int, name: str, done: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    eventually(lambda: done(arrived(receiver, name)), f"{name} arrived")
    return arrived(receiver, name)


ROUTES: dict[str, tuple[str, set[str]]] = {
    "severity 1 wakes somebody": ("critical", {"pagerduty"}),
    "severity 2 wakes somebody": ("warning", {"pagerduty"}),
    "a fast burn wakes somebody": ("page", {"pagerduty"}),
    "a slow burn is information": ("ticket", {"slack", "teams"}),
    "information is information": ("info", {"slack", "teams"}),
    "a severity that nobody routes is not lost": ("sev1", {"slack", "teams"}),
    "no severity at all is not lost": ("", {"slack", "teams"}),
}


@pytest.mark.parametrize("row", ROUTES.items(), ids=ROUTES)
def test_where_an_alert_goes(
    routed: int, receiver: int, row: tuple[str, tuple[str, set[str]]]
) -> None:
    _, (severity, channels) = row
    name = f"Is{(severity or 'nothing').capitalize()}"
    fire(routed, name, severity)
    found = until(receiver, name, lambda a: channels <= set(a))
    assert set(found) == channels
    assert {one["problem"] for one in found.values()} == {""}
    assert {one["status"] for one in found.values()} == {"firing"}


@pytest.mark.parametrize("severity", ["critical", "info"])
def test_the_end_of_an_alert_is_told_too(routed: int, receiver: int, severity: str) -> None:
    name = f"Ends{severity.capitalize()}"
    fire(routed, name, severity)
    until(receiver, name, bool)
    fire(routed, name, severity, endsAt="2020-01-01T00:00:00Z")
    found = until(receiver, name, lambda a: {o["status"] for o in a.values()} == {"resolved"})
    assert {one["problem"] for one in found.values()} == {""}


def test_the_misrouted_one_wakes_nobody(receiver: int, tmp_path: Path) -> None:
    with alertmanager("misrouted.yml", receiver, tmp_path) as manager:
        fire(manager, "Misrouted", "critical")
        found = until(receiver, "Misrouted", lambda a: {"slack", "teams"} <= set(a))
    assert "pagerduty" not in found
