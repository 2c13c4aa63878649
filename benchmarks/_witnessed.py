"""The embedded stack as a target for faults, and a reader of its state that shares nothing with
the harness: raw HTTP for proxies and health, ``/proc`` for processes, their limits and preloaded
libraries, paths for files. Linux only.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from _stacks import embedded

from harness.descriptor import StackDescriptor

MARK = "HARNESS_SWEEP_CASE"  # in the environment of all that belongs to a case
EDGE, SERVICE = "gateway->recommender", "recommender"
HEALTHY_WITHIN_S = 5.0  # a service that is well on a machine that is busy
STOPPED = "T"


class Witnessed:
    """One stack, and what is seen of it from outside."""

    def __init__(self, stack: StackDescriptor) -> None:
        self.stack = stack
        self.state = Path(os.environ["XDG_STATE_HOME"])
        identity = self.state / "harness" / "stacks" / stack.id / "supervisor.json"
        self.supervisor = int(str(json.loads(identity.read_text())).partition(":")[0])

    def seen(self) -> dict[str, Any]:
        """All of it: equal to what was seen before means that nothing is left."""
        return {
            "proxies": self._proxies(),
            "processes": self._processes(),
            "healthy": sorted(n for n, s in self.stack.services.items() if _healthy(s.url)),
            "edge": _healthy(f"http://{self.stack.edges[EDGE].listen}"),
        }

    def glance(self) -> dict[str, Any]:
        """What can be looked at often: proxies, and which processes there are and run."""
        return {"proxies": self._proxies(), "processes": self._processes()}

    def _proxies(self) -> Any:
        """What the Toxiproxy server says; that nobody answers is a state as well."""
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            return json.loads(_get(self.stack.toxiproxy, "/proxies", 1.0)[1])
        return None

    def _processes(self) -> list[Any]:
        """Command, whether it is stopped, limits, and preloaded libraries, which may put off the
        clock, of each child of the supervisor.
        """
        found = []
        for pid in _pids():
            with contextlib.suppress(OSError, IndexError):
                state, parent = _stat(pid)
                if parent != self.supervisor or state in "ZX":
                    continue
                folder = Path("/proc") / str(pid)
                command = (folder / "cmdline").read_bytes().decode(errors="replace")
                limits = (folder / "limits").read_text()
                variables = (folder / "environ").read_bytes().split(b"\0")
                preloaded = [v.decode() for v in variables if v.startswith(b"LD_PRELOAD=")]
                found.append([command, state == STOPPED, limits, preloaded])
        return sorted(found)


@contextlib.contextmanager
def witnessed() -> Iterator[Witnessed]:
    """A stack of its own, up, well, for as long as the block runs."""
    with embedded() as stack:
        yield Witnessed(stack)


class Surroundings:
    """What one case may leave: processes that carry its mark, files in its temporary folder."""

    def __init__(self, name: str) -> None:
        self.mark = f"{name}-{os.getpid()}-{time.monotonic_ns()}"
        self.folder = Path(tempfile.mkdtemp(prefix="harness-sweep-"))

    def environment(self) -> dict[str, str]:
        """For everything that the case starts."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("HARNESS_")}
        return {**kept, MARK: self.mark, "TMPDIR": str(self.folder)}

    def processes(self) -> list[int]:
        """Those that live, as the kernel knows their environment."""
        wanted, found = f"{MARK}={self.mark}".encode(), []
        for pid in _pids():
            with contextlib.suppress(OSError, IndexError):
                if wanted in (Path("/proc") / str(pid) / "environ").read_bytes().split(b"\0"):
                    found.append(pid)
        return found

    def helpers(self) -> list[int]:
        """Processes that use something up for a fault."""
        return [pid for pid in self.processes() if "harness.stressor" in _command(pid)]

    def left(self, patience_s: float) -> str:
        """Words on what is still there after a while; empty when nothing is."""
        give_up_at = time.monotonic() + patience_s
        while True:
            processes = self.processes()
            files = [p.name for p in self.folder.iterdir()]
            if not processes and not files:
                return ""
            if time.monotonic() > give_up_at:
                return f"left behind: processes {[_command(p) for p in processes]}, files {files}"
            time.sleep(0.05)

    def clear(self) -> None:
        """End what is left of the case and remove its folder."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)


def _pids() -> list[int]:
    return [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit()]


def _stat(pid: int) -> tuple[str, int]:
    """State and parent; the name, in parentheses before them, may hold anything."""
    fields = (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return fields[0], int(fields[1])


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return (Path("/proc") / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return str(pid)


def _healthy(url: str) -> bool:
    """Whether anything at all is answered in time."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        return _get(url, "/health", HEALTHY_WITHIN_S)[0] < 500
    return False


def _get(url: str, path: str, timeout_s: float) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=timeout_s)
    try:
        connection.request("GET", path, headers={"User-Agent": "an independent reader"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
