"""Connections from inside a container, tried with the programs that it may have."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence

import pytest

from harness import pod_probe
from harness.errors import FaultError
from harness.fakes.cluster import FakeCluster
from tests.real import free_port

HERE = [
    tool
    for tool, program in (("python3", "python3"), ("nc", "nc"), ("bash", "bash"))
    if shutil.which(program)
]


class Machine(FakeCluster):
    """A cluster whose containers are this machine, without some of its programs."""

    def __init__(self, missing: Sequence[str] = ()) -> None:
        super().__init__()
        self.missing = missing

    def execute(self, namespace: str, pod: str, container: str, argv: Sequence[str]) -> str:
        if argv[0] in self.missing or (argv[0] == "sh" and "nc" in self.missing):
            raise FaultError(f"{argv[0]}: not found")
        done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
        if done.returncode:
            raise FaultError(f"ended with {done.returncode}: {done.stderr}")
        return done.stdout


@pytest.fixture(scope="module")
def open_at() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("tool", HERE)
def test_what_a_connection_meets(tool: str, open_at: str) -> None:
    closed = f"127.0.0.1:{free_port()}"
    assert pod_probe.meet(Machine(), "shop", "api-1", "api", tool, open_at) == "open"
    met = pod_probe.meet(Machine(), "shop", "api-1", "api", tool, closed)
    # Only a socket of one's own tells a refusal, which has come through, from silence.
    assert met == ("refused" if tool == "python3" else "silent")


FOUND: dict[str, tuple[tuple[str, ...], str]] = {
    "the first that is there": ((), "python3"),
    "another one where that is missing": (("python3", "python", "nc"), "bash"),
    "none": (("python3", "python", "nc", "bash"), ""),
}


@pytest.mark.parametrize("name", FOUND)
def test_which_program_a_container_has(name: str, open_at: str) -> None:
    missing, tool = FOUND[name]
    assert pod_probe.tool_in(Machine(missing), "shop", "api-1", "api", open_at) == tool


def test_a_port_that_nobody_listens_on_shows_nothing() -> None:
    closed = f"127.0.0.1:{free_port()}"
    assert pod_probe.tool_in(Machine(), "shop", "api-1", "api", closed) == ""


def test_another_answer_is_an_error() -> None:
    cluster = FakeCluster()
    cluster.runs = lambda *_: "hello"
    with pytest.raises(FaultError, match=r"python3 in api of api-1 answered 'hello'"):
        pod_probe.meet(cluster, "shop", "api-1", "api", "python3", "10.0.0.1:80")
