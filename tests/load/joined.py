"""Load workers that join a master over loopback, and loads that wait for them."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from harness import processes
from harness.load.locust import LocustLoad
from harness.load.worker_process import Address, start
from harness.offered import LoadMaster
from tests.load.site import spec
from tests.real import eventually

T = TypeVar("T")
PATIENCE_S = 180.0


class Waiting:
    """A load on a thread, which waits for its workers."""

    def __init__(self, folder: Path, url: str, profile: str = "", **changes: Any) -> None:
        self.said: list[str] = []
        asked: dict[str, Any] = {"master": LoadMaster(join_timeout_s=PATIENCE_S)}
        self.folder = folder / "run" / "samples"
        self.load = LocustLoad(
            spec(folder, profile, **asked | changes), folder, self.folder, 1, tell=self.said.append
        )
        self._zero = 0.0
        self._error: BaseException | None = None
        self._begun, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._start, args=(url,), daemon=True)
        self._thread.start()

    def _start(self, url: str) -> None:
        try:
            self._zero = self.load.start(url)
        except BaseException as error:  # noqa: BLE001 - it is raised where the test waits
            self._error = error
        self._begun.set()
        # The kernel ends children with the thread that started them.
        self._over.wait()

    def hurry(self) -> None:
        """The time to join is over now."""
        self.load._join_by = 0.0

    def end(self) -> None:
        """Stop the load; may be asked for twice."""
        self.load.stop()
        self._over.set()

    def master(self) -> Address:
        """Where it listens, once it does."""
        said = eventually(lambda: [s for s in self.said if "--master " in s], "it listens")
        host, _, port = said[0].partition("--master ")[2].split()[0].partition(":")
        return Address(host=host, port=int(port))

    def zero(self) -> float:
        """When the first arrival is due; raises what the start raised."""
        assert self._begun.wait(PATIENCE_S + 30)
        if self._error is not None:
            raise self._error
        return self._zero


class Worker:
    """One `harness.load.child --worker`, and what it says."""

    def __init__(self, master: Address, folder: Path, **options: Any) -> None:
        folder.mkdir()
        self.log = folder.with_suffix(".log")
        asked: dict[str, Any] = {"patience_s": PATIENCE_S}
        with self.log.open("wb") as output:
            self.process = start(master, folder=folder, output=output, **asked | options)

    def said(self) -> str:
        return self.log.read_text()

    def ended(self, patience_s: float = PATIENCE_S) -> int:
        return self.process.wait(patience_s)


@contextlib.contextmanager
def joining(folder: Path) -> Iterator[Callable[..., Worker]]:
    """Makes workers, none of which outlives the block."""
    made: list[Worker] = []

    def make(master: Address, **options: Any) -> Worker:
        made.append(Worker(master, folder / f"worker{len(made)}", **options))
        return made[-1]

    try:
        yield make
    finally:
        processes.stop_all([worker.process for worker in made], 0.0)


class Relay:
    """TCP between workers and their master, which can be cut without a word to either."""

    def __init__(self, target: Address) -> None:
        self._target = target
        self._silent = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = [self._server]
        self.address = Address(host="127.0.0.1", port=self._server.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Nothing passes any more; connections stay open."""
        self._silent.set()

    def close(self) -> None:
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._server.accept()
                far = socket.create_connection((self._target.host, self._target.port))
                self._open += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                if not self._silent.is_set():
                    other.sendall(data)


def plain_worker(
    master: Address, locustfile: Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Locust's own `--worker`, which knows nothing of the harness."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "locust", "--worker", "-f", str(locustfile)),
            *("--master-host", master.host, "--master-port", str(master.port)),
        ],
        env=dict(os.environ if environment is None else environment),
        cwd=locustfile.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
