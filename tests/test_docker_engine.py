"""The engine's adapter against engines that are ill, scripted on a Unix socket."""

from __future__ import annotations

import contextlib
import json
import socketserver
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from harness import docker_engine
from harness.errors import FaultError

pytest.importorskip("docker", reason="the extra `compose` is not installed")

VERSION = {"ApiVersion": "1.41", "Version": "20.10.24"}
ROW = {"Id": "1", "Labels": {"com.docker.compose.oneoff": "False"}}
Answers = Mapping[str, tuple[int, Any]]

WELL: Answers = {
    "/version": (200, VERSION),
    "/info": (200, {"ID": "ENGINE-1"}),
}


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


@contextlib.contextmanager
def answering(answers: Answers) -> Iterator[str]:
    """The URL of an engine that answers each path, without its version, as told; 404 else."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Tests have nothing to log."""

        def address_string(self) -> str:
            return "unix"

        def _answer(self) -> None:
            path = self.path.partition("?")[0].removeprefix("/v1.41")
            status, body = answers.get(path, (404, {"message": f"no such thing: {path}"}))
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "docker.sock"
        with _Server(str(path), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()
            try:
                yield f"unix://{path}"
            finally:
                server.shutdown()
                thread.join()


def test_an_engine_is_known_by_its_id() -> None:
    with answering(WELL) as url:
        with contextlib.closing(docker_engine.connect(url, "ENGINE-1")) as engine:
            assert (engine.id, engine.url) == ("ENGINE-1", url)
            assert engine.container("gone") is None
        with pytest.raises(FaultError, match="answers the engine ENGINE-1, not ENGINE-2: nothing"):
            docker_engine.connect(url, "ENGINE-2")


@pytest.mark.parametrize(
    ("answers", "deed", "words"),
    [
        ({}, lambda engine: None, "greeting"),
        ({"/info": (500, {"message": "ill"})}, lambda engine: None, "question for its id: ill"),
        (
            WELL | {"/containers/1/pause": (409, {"message": "already paused"})},
            lambda engine: engine.pause("1"),
            "refused the pause of 1: already paused",
        ),
        (WELL, lambda engine: engine.start("1"), "misses what the start of 1 needs: no such thing"),
        (
            WELL | {"/containers/1/json": (200, {"Id": "1"})},
            lambda engine: engine.container("1"),
            "described a container in a way that cannot be read",
        ),
        (
            WELL
            | {"/containers/json": (200, [ROW]), "/containers/1/json": (500, {"message": "x"})},
            lambda engine: engine.containers("shop"),
            "refused the question for 1: x",
        ),
    ],
    ids=[
        "it speaks another language",
        "it cannot say who it is",
        "it refuses",
        "what is asked for is not there",
        "its answer makes no sense",
        "it lists what it cannot describe",
    ],
)
def test_an_ill_engine_is_told_in_words(
    answers: Answers, deed: Callable[[docker_engine.DockerEngine], object], words: str
) -> None:
    told = {"/version": (200, VERSION), **answers} if answers else answers
    with answering(told) as url, pytest.raises(FaultError, match=words):
        engine = docker_engine.connect(url)
        with contextlib.closing(engine):
            deed(engine)


def test_an_engine_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mute(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(1 << 16)
            over.wait(120)

    over = threading.Event()
    monkeypatch.setattr(docker_engine, "GREETING_TIMEOUT_S", 0.3)
    with tempfile.TemporaryDirectory() as folder, _Server(f"{folder}/mute.sock", Mute) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            with pytest.raises(FaultError, match="did not answer the greeting in time"):
                docker_engine.connect(f"unix://{folder}/mute.sock")
        finally:
            over.set()
            server.shutdown()
            thread.join()
