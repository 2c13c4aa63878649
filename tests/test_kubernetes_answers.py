"""What the API server answers, and how a run in a container ended, as it tells it or does not."""

from __future__ import annotations

import base64
import gc
import hashlib
import json
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from harness.cluster import TooManyRequestsError
from harness.errors import FaultError
from harness.kubernetes_api import KubernetesApi, failure
from tests.real import serving

NOBODY = "nobody has told how it ended"
FAILED = {
    "metadata": {},
    "status": "Failure",
    "message": "command terminated with non-zero exit code: exit status 3",
    "reason": "NonZeroExitCode",
    "details": {"causes": [{"reason": "ExitCode", "message": "3"}]},
}
NO_SHELL = {"status": "Failure", "message": 'exec: "sh": executable file not found in $PATH'}

STATUSES: dict[str, tuple[str, str]] = {
    "it ended well": (json.dumps({"metadata": {}, "status": "Success"}), ""),
    "it ended with an error": (json.dumps(FAILED), "exit status 3"),
    "there is no such program": (json.dumps(NO_SHELL), "executable file not found"),
    "a failure without a message": (json.dumps({"status": "Failure"}), "Failure"),
    "its container ended with it": ("", NOBODY),
    "it was cut off": ('{"status": "Succ', NOBODY),
    "a status without a status": ("{}", NOBODY),
    "something else": ("[1]", NOBODY),
    "nothing": ("null", NOBODY),
}


@pytest.mark.parametrize(("status", "words"), STATUSES.values(), ids=STATUSES)
def test_how_it_ended(status: str, words: str) -> None:
    found = failure(status)
    assert words in found
    assert bool(found) == bool(words)


@given(st.text())
def test_whatever_is_told_is_read(status: str) -> None:
    assert isinstance(failure(status), str)


class Server(BaseHTTPRequestHandler):
    """Refuses with the status that the last part of the path says."""

    def log_message(self, *_: Any) -> None:
        """Tests have nothing to log."""

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        code = int(self.path.partition("?")[0].rpartition("/")[2])
        body = json.dumps({"kind": "Status", "message": f"said {code}"}).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def do_PATCH(self) -> None:
        self.answer()

    def do_DELETE(self) -> None:
        self.answer()


@pytest.fixture(scope="module")
def api() -> Iterator[KubernetesApi]:
    from kubernetes import client

    with serving(Server) as address:
        found = KubernetesApi.__new__(KubernetesApi)
        found.url, found._configuration = f"http://{address}", client.Configuration()
        found._session = requests.Session()
        yield found
        found.close()


REFUSED: dict[str, tuple[Callable[[KubernetesApi], object], type[FaultError], str]] = {
    "an eviction that a budget forbids": (
        lambda api: api.create("/pods/x/429", {}),
        TooManyRequestsError,
        "answered 429 to POST /pods/x/429: said 429",
    ),
    "what RBAC forbids": (
        lambda api: api.patch("/nodes/403", {}),
        FaultError,
        "answered 403 to PATCH /nodes/403: said 403",
    ),
    "another version": (lambda api: api.patch("/x/409", {}), FaultError, "says to PATCH .*409"),
    "one of that name": (lambda api: api.create("/x/409", {}), FaultError, "says to POST .*409"),
    "a collection that is not there": (lambda api: api.list("/x/404"), FaultError, "answered 404"),
    "a server that cannot": (lambda api: api.get("/x/500"), FaultError, "answered 500"),
    "a trial that is refused": (
        lambda api: api.create("/pods/403", {}, dry_run=True),
        FaultError,
        "answered 403 to POST /pods/403: said 403",
    ),
}


@pytest.mark.parametrize(("call", "kind", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_is_said_as_the_server_says_it(
    call: Callable[[KubernetesApi], object], kind: type[FaultError], words: str, api: KubernetesApi
) -> None:
    with pytest.raises(kind, match=words) as caught:
        call(api)
    assert isinstance(caught.value, TooManyRequestsError) is (kind is TooManyRequestsError)


def test_what_is_not_there_is_no_error_where_it_may_be_gone(api: KubernetesApi) -> None:
    assert api.get("/x/404") is None
    assert api.delete("/x/404", "uid") is False
    assert api.delete("/x/409", "uid") is False  # another one is in its place


class Shell:
    """What the package hands out for a run."""

    def __init__(self, status: str, *, endless: bool = False) -> None:
        self.status, self.endless, self.closed = status, endless, False
        self.sock = self

    def run_forever(self, timeout: float) -> None:
        """It has ended already, or never does."""

    def is_open(self) -> bool:
        return self.endless

    def read_stdout(self) -> str:
        return "printed"

    def read_stderr(self) -> str:
        return "complained"

    def read_channel(self, channel: int) -> str:
        assert channel == 3  # where the protocol has the status
        return self.status

    def close(self) -> None:
        """Closes nothing where the server has said goodbye."""

    def shutdown(self) -> None:
        self.closed = True


RUNS: dict[str, tuple[Shell, str]] = {
    "well": (Shell(STATUSES["it ended well"][0]), ""),
    "with an error": (
        Shell(json.dumps(FAILED)),
        "run of sh in api-1 failed: .*status 3 complained",
    ),
    "with its container": (Shell(""), "nobody has told how it ended.*complained"),
    "never": (Shell("", endless=True), "did not end within 10 s"),
}


@pytest.mark.parametrize("name", RUNS)
def test_what_a_run_returns(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from kubernetes import client, stream

    shell, words = RUNS[name]
    monkeypatch.setattr(stream, "stream", lambda *_, **__: shell)
    api = KubernetesApi.__new__(KubernetesApi)
    api.url, api._configuration = "http://127.0.0.1:1", client.Configuration()
    if words:
        with pytest.raises(FaultError, match=words):
            api.execute("shop", "api-1", "api", ["sh", "-c", "exit 3"])
    else:
        assert api.execute("shop", "api-1", "api", ["sh", "-c", "true"]) == "printed"
    assert shell.closed


class Upgrading(BaseHTTPRequestHandler):
    """Answers a run over a real websocket: it prints a word, has ended well, and says goodbye."""

    def log_message(self, *_: Any) -> None:
        """Tests have nothing to log."""

    def do_GET(self) -> None:
        key = f"{self.headers['Sec-WebSocket-Key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(HTTPStatus.SWITCHING_PROTOCOLS)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        accepted = base64.b64encode(hashlib.sha1(key.encode()).digest())  # noqa: S324 - RFC 6455
        self.send_header("Sec-WebSocket-Accept", accepted.decode())
        self.send_header("Sec-WebSocket-Protocol", "v4.channel.k8s.io")
        self.end_headers()
        status = STATUSES["it ended well"][0].encode()
        goodbye = b"\x88\x02" + (1000).to_bytes(2, "big")
        self.wfile.write(frame(b"\x01printed") + frame(b"\x03" + status) + goodbye)
        self.rfile.read()  # until the other side has closed the connection


def frame(payload: bytes) -> bytes:
    return bytes([0x82, len(payload)]) + payload


def test_a_run_that_the_server_has_ended_leaves_no_connection_open() -> None:
    from kubernetes import client

    with serving(Upgrading) as address:
        api = KubernetesApi.__new__(KubernetesApi)
        api.url, api._configuration = f"http://{address}", client.Configuration()
        api._configuration.host = api.url
        assert api.execute("shop", "api-1", "api", ["true"]) == "printed"
        gc.collect()  # a socket that was forgotten is told of now, and fails this very test
