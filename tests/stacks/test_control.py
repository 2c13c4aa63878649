"""Both ends of the control socket, without any service."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from supervisor_double import supervisor_that_says

from harness import control
from harness.errors import StackError
from harness.stacks.control_server import ControlServer

UP = {"state": "up", "pid": 7, "identity": "7:99", "ports": [21_000], "restarts": []}
UP |= {"overlay": {"TZ": "UTC"}}
RESTART = {"died_at": "t1", "started_at": "t2", "exit_status": -9, "delay_s": 1.0}


def reply(**fields: Any) -> bytes:
    return json.dumps({"ok": True, **fields}).encode() + b"\n"


def test_ping_gives_the_supervisors_identity(tmp_path: Path) -> None:
    address = tmp_path / "s"
    with supervisor_that_says(address, reply(identity="1:2")) as requests:
        assert control.ping(address) == "1:2"
    assert [json.loads(line) for line in requests] == [{"verb": "ping"}]


def test_status_gives_each_service_with_its_restarts(tmp_path: Path) -> None:
    services = {"gateway": {**UP, "restarts": [RESTART]}}
    with supervisor_that_says(tmp_path / "s", reply(services=services)):
        status = control.status(tmp_path / "s")["gateway"]
    assert (status.state, status.pid, status.identity, status.ports) == ("up", 7, "7:99", (21_000,))
    assert status.restarts == (control.Restart(**RESTART),)  # type: ignore[arg-type]
    assert status.overlay == {"TZ": "UTC"}


@pytest.mark.parametrize(
    ("call", "request_"),
    [
        (
            lambda address: control.hold(address, "gateway", "TERM"),
            {"verb": "hold", "service": "gateway", "signal": "TERM"},
        ),
        (
            lambda address: control.release(address, "gateway"),
            {"verb": "release", "service": "gateway"},
        ),
        (
            lambda address: control.overlay(address, "gateway", {"TZ": "UTC"}),
            {"verb": "overlay", "service": "gateway", "environment": {"TZ": "UTC"}},
        ),
        (control.down, {"verb": "down"}),
    ],
    ids=["hold", "release", "overlay", "down"],
)
def test_a_verb_is_one_line(
    tmp_path: Path, call: Callable[[Path], object], request_: Mapping[str, str]
) -> None:
    with supervisor_that_says(tmp_path / "s", reply(service=UP)) as requests:
        call(tmp_path / "s")
    assert [json.loads(line) for line in requests] == [request_]


def test_a_refusal_carries_the_supervisors_words(tmp_path: Path) -> None:
    refusal = b'{"ok": false, "error": "No such service.", "next_step": "Look."}\n'
    with (
        supervisor_that_says(tmp_path / "s", refusal),
        pytest.raises(StackError, match=r"^No such service\. Look\.$"),
    ):
        control.hold(tmp_path / "s", "nope")


@pytest.mark.parametrize(
    "answer",
    [b"", b"\n", b"not json\n", b"[]\n", b"{}\n", b'{"ok": tr'],
    ids=["nothing", "empty line", "no JSON", "a list", "no ok", "cut off"],
)
def test_an_answer_in_another_language_is_an_error(tmp_path: Path, answer: bytes) -> None:
    with (
        supervisor_that_says(tmp_path / "s", answer),
        pytest.raises(StackError, match="broke off or answered 'ping' with something else"),
    ):
        control.ping(tmp_path / "s")


@pytest.mark.parametrize("services", [None, [], {"gateway": None}, {"gateway": {"state": "up"}}])
def test_a_status_that_cannot_be_read_is_an_error(tmp_path: Path, services: object) -> None:
    with (
        supervisor_that_says(tmp_path / "s", reply(services=services)),
        pytest.raises(StackError, match="sent a status that cannot be read"),
    ):
        control.status(tmp_path / "s")


def test_nobody_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="did not answer 'ping'"):
        control.ping(tmp_path / "nobody")


def test_a_supervisor_that_hangs_is_an_error_after_the_limit(tmp_path: Path) -> None:
    address = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as mute:
        mute.bind(address)
        mute.listen()
        with pytest.raises(StackError, match=r"within 0\.05 s"):
            control.ping(address, timeout_s=0.05)


def test_an_identity_is_stable_and_ends_with_the_process() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        identity = control.identity_of(child.pid)
        assert identity.startswith(f"{child.pid}:")
        assert control.identity_of(child.pid) == identity
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, but still a zombie
        assert control.identity_of(child.pid) == ""
    assert control.identity_of(child.pid) == ""


async def _say_name(request: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"name": request["name"]}


async def _refuse(_: Mapping[str, Any]) -> Mapping[str, Any]:
    raise StackError("Not now.", "Wait.")


def ask(address: Path, line: bytes) -> dict[str, Any]:
    """One exchange with a server that has the verbs ``name`` and ``refuse``."""

    async def exchange() -> bytes:
        server = ControlServer(address, {"name": _say_name, "refuse": _refuse})
        await server.open()
        try:
            reader, writer = await asyncio.open_unix_connection(address)
            writer.write(line)
            answer = await reader.readline()
            writer.close()
            await writer.wait_closed()
            return answer
        finally:
            await server.close(1.0)

    return dict(json.loads(asyncio.run(exchange())))


def test_the_server_answers_a_verb(tmp_path: Path) -> None:
    answer = ask(tmp_path / "s", b'{"verb": "name", "name": "x"}\n')
    assert answer == {"ok": True, "name": "x"}
    assert not (tmp_path / "s").exists()


def test_the_server_takes_the_place_of_one_that_was_killed(tmp_path: Path) -> None:
    (tmp_path / "s").touch()
    assert ask(tmp_path / "s", b'{"verb": "name", "name": "x"}\n')["ok"]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"\n", "A request is one line of JSON with a `verb`."),
        (b"[1]\n", "A request is one line of JSON with a `verb`."),
        (b'{"verb": "nope"}\n', "Unknown verb 'nope'; known are name, refuse."),
        (b'{"verb": []}\n', "A request is one line of JSON with a `verb`."),
        (b'{"verb": "refuse"}\n', "Not now."),
    ],
    ids=["empty", "a list", "unknown verb", "a verb that is a list", "refused"],
)
def test_the_server_refuses_in_words(tmp_path: Path, line: bytes, error: str) -> None:
    answer = ask(tmp_path / "s", line)
    assert (answer["ok"], answer["error"]) == (False, error)


def test_a_socket_path_that_is_too_long_is_an_error(tmp_path: Path) -> None:
    server = ControlServer(tmp_path / ("x" * 120), {})
    with pytest.raises(StackError, match="cannot be made"):
        asyncio.run(server.open())
