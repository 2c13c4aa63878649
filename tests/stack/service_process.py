"""Starting one reference service, and asking it, for the tests beside this file."""

import http.client
import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.files import project_root
from harness.stacks.provision import python_for_services
from tests import real

START_LIMIT_S = 120.0


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: str

    @property
    def degraded(self) -> str:
        return self.headers.get("x-degraded", "")

    @property
    def tokens(self) -> list[str]:
        """The tokens of the data events, before and after whatever else was said."""
        lines = [line[6:] for line in self.body.splitlines() if line.startswith("data: {")]
        return [value["token"] for line in lines if "token" in (value := json.loads(line))]

    @property
    def is_finished(self) -> bool:
        return self.body.endswith("data: [DONE]\n\n")


def ask(
    port: int, path: str, body: object = None, method: str = "", timeout_s: float = 60.0
) -> Answer:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        data = None if body is None else json.dumps(body)
        connection.request(method or ("GET" if data is None else "POST"), path, data)
        response = connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, response.read().decode())
    finally:
        connection.close()


def is_well(port: int) -> bool:
    try:
        return ask(port, "/healthz", timeout_s=10.0).status == 200
    except (OSError, http.client.HTTPException):
        return False


def free_port() -> int:
    return real.free_port()


def command(module: str, log: Path, **environment: str) -> subprocess.Popen[bytes]:
    """A service process whose environment is only what is given."""
    with log.open("wb") as output:
        return subprocess.Popen(
            [str(python_for_services()), "-m", f"services.{module}"],
            cwd=project_root() / "stack",
            env={"PATH": os.environ["PATH"], **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
        )


@contextmanager
def service(module: str, folder: Path, **environment: str) -> Iterator[int]:
    """A healthy service; yields its port and ends it with SIGTERM, then SIGKILL."""
    port = free_port()
    log = folder / f"{module}.log"
    process = command(module, log, PORT=str(port), **environment)
    with process:
        try:
            deadline_s = time.monotonic() + START_LIMIT_S
            while not is_well(port):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline_s, log.read_text()
                time.sleep(0.02)
            yield port
        finally:
            process.terminate()
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
