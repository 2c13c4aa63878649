"""The process of the pod with a load's master in it, which the run asks over HTTP.

    python -m harness.load.cluster_master --port 8089 --secret-sha256 …

Behind it stands a load like any other that other hosts' workers join; it waits for an order,
and hands over what is recorded while that grows. Who asks proves that it knows the secret.
Where nobody has asked for a while, the load is ended and the process leaves.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from harness import __version__
from harness.errors import ExitCode, HarnessError
from harness.handed_on import handed_on
from harness.load import cluster_messages as told
from harness.load.locust import LocustLoad
from harness.load.master_state import MasterState, clock_error_s, read_state
from harness.load.messages import MOST_FIGURES, MessageError, Report
from harness.load.records import read_figures, read_names, read_records

ANYWHERE = "*"
POLL_S = 0.05
FIRST_WORD_S = 300.0  # the run waits for the pod, not the pod for the run
CONNECTION_S = 10.0


class ClusterMaster:
    """One load: ordered once, looked at often, ended when it is asked for or nobody asks.

    Args:
        folder: An empty one, for the locustfile and what is recorded.
        bind: Address that workers join at; ``*`` for every one of this host.
    """

    def __init__(self, folder: Path, bind: str) -> None:
        self._folder, self._bind = folder, bind
        self._samples = folder / "samples"
        self._epoch_offset = time.time() - time.perf_counter()
        self._asked_at = time.monotonic()
        self._patience_s = FIRST_WORD_S
        self._lock = threading.Lock()
        self._ordered, self._ending = threading.Event(), threading.Event()
        self._order: bytes = b""
        self._load: LocustLoad | None = None
        self._workers = 0
        self._zero: float | None = None
        self._error = self._problem = ""
        self._over = False

    # -- asked, each on a thread of its own

    def begin(self, body: bytes) -> bytes:
        """Take the order, once; the same one may come again. What is wrong with it is its state.

        Raises:
            MessageError: Another one came before.
        """
        with self._lock:
            self._was_asked()
            if self._order not in (b"", body):
                raise MessageError("another load was ordered before")
            if not self._order:
                self._order = body
                try:
                    self._load = self._made(told.order(body))
                    self._ordered.set()
                except HarnessError as error:
                    self._error = str(error)
        return told.packed({})

    def look(self, body: bytes) -> bytes:
        """How the load is, and what was recorded since.

        Raises:
            HarnessError: It is no look, or what was recorded cannot be read.
        """
        received = self._now()
        positions, log = told.asked(body)
        self._was_asked()
        over = self._over  # before the files: what is over grows no more
        joined = read_state(self._samples) or MasterState(joined=[], refused=[])
        known = positions[: self._workers]
        pages = tuple(self._page(w, at, over=over) for w, at in enumerate(known))
        return told.LoadState(
            version=__version__,
            received=received,
            joined=tuple(joined.joined),
            refused=tuple(joined.refused),
            zero=self._zero,
            error=self._error,
            problem=self._problem,
            over=over,
            intact=self._load is None or self._load.intact,
            clock_error_s=clock_error_s(self._samples, self._workers),
            pages=pages,
            log=_from(self._folder / "load.log", log),
            answered=self._now(),
        ).dump()

    def end(self, _body: bytes = b"") -> bytes:
        """No more arrivals; what is on its way may end."""
        self._was_asked()
        self._ending.set()
        return told.packed({})

    # -- the load, on the main thread: the kernel ends children with the thread they are of

    def play(self) -> ExitCode:
        """Wait for the order, carry it out, and stay until nobody asks any more."""
        while not self._ordered.wait(POLL_S):
            if self._given_up():
                return ExitCode.ERROR
        load = self._load
        assert load is not None
        target = told.order(self._order).target
        try:
            self._zero = load.start(target)
            while not self._given_up():
                self._problem = self._problem or load.problem() or ""
                self._ending.wait(POLL_S)
        except HarnessError as error:
            self._error = str(error)
        load.stop()
        self._over = True
        while not self._alone():
            time.sleep(POLL_S)
        return ExitCode.ERROR if self._error else ExitCode.PASS

    def leave(self) -> None:
        """End the load, and do not wait until somebody has read what is left."""
        self._patience_s = 0.0
        self._ending.set()

    def _given_up(self) -> bool:
        return self._ending.is_set() or self._alone()

    def _alone(self) -> bool:
        return time.monotonic() - self._asked_at > self._patience_s

    def _was_asked(self) -> None:
        self._asked_at = time.monotonic()
        if self._patience_s:  # it was not told to leave
            self._patience_s = told.SILENT_S

    def _now(self) -> float:
        return time.perf_counter() + self._epoch_offset

    def _made(self, order: told.LoadOrder) -> LocustLoad:
        if order.profile:
            (self._folder / Path(order.profile_name).name).write_text(order.profile)
        self._workers = order.plan.workers
        return LocustLoad(
            order.spec(self._bind),
            self._folder,
            self._samples,
            order.plan.seed,
            environment=handed_on(os.environ, order.names),
            given_up=self._given_up,
        )

    def _page(self, worker: int, at: told.Position, *, over: bool) -> told.Page:
        # A series is named before its first record is written, so it is read after that.
        records = read_records(self._samples, at.records, worker)
        part = records[: told.most_records(self._workers)]
        series = read_names(self._samples, worker)[at.series :]
        figures, end = read_figures(self._samples, at.figures, worker, MOST_FIGURES)
        report = Report(
            first=at.records,
            records=part.tobytes(),
            series=series,
            figures=tuple(figures),
            final=over and len(part) == len(records) and len(figures) < MOST_FIGURES,
        )
        return told.Page(report=report, figures=end)


def _from(path: Path, start: int) -> bytes:
    """The next whole lines of a log that may not be there yet."""
    try:
        with path.open("rb") as stream:
            stream.seek(start)
            data = stream.read(told.MOST_LOG_BYTES)
    except FileNotFoundError:
        return b""
    whole = data[: data.rfind(b"\n") + 1]
    return whole if whole or len(data) < told.MOST_LOG_BYTES else data


class _Handler(BaseHTTPRequestHandler):
    """Passes on what somebody who knows the secret asks."""

    protocol_version = "HTTP/1.1"
    timeout = CONNECTION_S
    server: _Server

    def do_POST(self) -> None:
        """One question; whatever is wrong with it is said in one line of text."""
        secret = self.headers.get(told.SECRET_HEADER, "")
        digest = hashlib.sha256(secret.encode()).hexdigest()
        length = self.headers.get("Content-Length", "")
        answer = self.server.answers.get(self.path)
        if not hmac.compare_digest(digest, self.server.digest):
            self._say(403, b"this is no run that knows the secret of this load")
        elif not length.isdecimal() or int(length) > told.MOST_BYTES:
            self._say(400, b"a question says how long it is, and is not too long")
        elif answer is None:
            self._say(404, b"nobody answers that here")
        else:
            self._answer(answer, self.rfile.read(int(length)))

    def log_message(self, *_: Any) -> None:
        """Twice a second the same would fill a log."""

    def _answer(self, answer: Callable[[bytes], bytes], body: bytes) -> None:
        try:
            self._say(200, answer(body))
        except HarnessError as error:
            self._say(409, str(error).encode())

    def _say(self, status: int, body: bytes) -> None:
        self.close_connection = status != 200  # what was not read is not the next question
        self.send_response(status)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, bind: str, port: int, digest: str, master: ClusterMaster) -> None:
        super().__init__(("" if bind == ANYWHERE else bind, port), _Handler)
        self.digest = digest
        self.answers: Mapping[str, Callable[[bytes], bytes]] = {
            told.BEGIN: master.begin,
            told.LOOK: master.look,
            told.END: master.end,
        }


def main() -> int:
    """Serve one load, and leave."""
    options = argparse.ArgumentParser(description="The master of a load inside a cluster.")
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--secret-sha256", required=True)
    options.add_argument("--bind", default=ANYWHERE)
    asked = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="harness-load-") as folder:
        master = ClusterMaster(Path(folder), asked.bind)
        # The first process of a container hears only the signals that it has asked for.
        signal.signal(signal.SIGTERM, lambda *_: master.leave())
        server = _Server(asked.bind, asked.port, asked.secret_sha256, master)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            return master.play()
        finally:
            server.shutdown()
            server.server_close()


if __name__ == "__main__":
    raise SystemExit(main())
