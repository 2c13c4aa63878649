"""nginx on a core of its own: a small answer from memory, and a log of when each request came.

Its log is the same yardstick for every load generator: how late the k-th request arrived against
the k-th arrival of a constant schedule.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from _tools import nginx
from numpy.typing import NDArray

from harness import processes

CORE = 1
UP_WITHIN_S = 10.0
FLUSH_S = 0.1
MEMORY = Path("/dev/shm")  # noqa: S108 - a log in memory costs no disk
CONFIG = """
daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log stderr crit;
events {{ worker_connections 16384; }}
http {{
  log_format arrivals $msec;
  access_log off;
  keepalive_timeout 1h; keepalive_requests 1000000000;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port} backlog=8192;
    default_type application/json;
    location / {{
      access_log {folder}/arrivals arrivals buffer=64k flush=100ms;
      return 200 '{{"items": ["item-001", "item-002", "item-003"]}}';
    }}
    location = /up {{ return 200 'up'; }}
  }}
}}
"""


class Nginx:
    """A running nginx.

    Args:
        url: Where it listens.
        log: One line a request: when it was answered, in seconds since the epoch to the ms.
    """

    def __init__(self, url: str, log: Path) -> None:
        self.url = url
        self._log = log

    def arrivals(self) -> NDArray[np.float64]:
        """When each request since the last :meth:`forget` came, ascending."""
        time.sleep(3 * FLUSH_S)
        return np.sort(np.array(self._log.read_text().split(), dtype=np.float64))

    def first_arrival(self) -> float | None:
        """When the first request since then came; None while there is none."""
        with self._log.open() as lines:
            line = lines.readline()
        return float(line) if line.endswith("\n") else None

    def forget(self) -> None:
        """Empty the log."""
        os.truncate(self._log, 0)


@contextlib.contextmanager
def serving(core: int = CORE) -> Iterator[Nginx]:
    """nginx for as long as the block runs, alone on a core.

    Raises:
        Missing: It cannot be had.
        RuntimeError: It does not come up.
    """
    program = nginx()
    place = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="harness-bench-", dir=place) as folder:
        port = _free_port()
        config = Path(folder) / "nginx.conf"
        config.write_text(CONFIG.format(folder=folder, port=port))
        url = f"http://127.0.0.1:{port}"
        process = processes.start([str(program), "-p", folder, "-c", str(config)])
        try:
            os.sched_setaffinity(process.pid, {core})
            _await_up(f"{url}/up", process)
            yield Nginx(url, Path(folder) / "arrivals")
        finally:
            processes.stop(process, UP_WITHIN_S)


def _await_up(url: str, process: subprocess.Popen[bytes]) -> None:
    patience = time.monotonic() + UP_WITHIN_S
    while time.monotonic() < patience and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=1):  # noqa: S310
            return
        time.sleep(0.05)
    raise RuntimeError(f"nginx does not answer at {url}; exit code {process.poll()}")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
