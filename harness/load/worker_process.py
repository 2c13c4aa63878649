"""The process behind ``harness load worker``: Locust joining a load master of another host."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from harness import processes
from harness.errors import InvalidError
from harness.handed_on import handed_on
from harness.load import plan

DEFAULT_PORT = 5557  # Locust's own
FROM_MASTER = "-"
_ADDRESS = re.compile(r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\])(?::(?P<port>\d{1,5}))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a load master listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def address(text: str) -> Address:
    """Read ``HOST`` or ``HOST:PORT``.

    Raises:
        InvalidError: It is neither.
    """
    found = _ADDRESS.fullmatch(text.strip())
    port = int(found["port"] or DEFAULT_PORT) if found else 0
    if found is None or not 0 < port < 2**16:
        raise InvalidError(
            f"--master {text}: this is no address of a load master.",
            "Write HOST or HOST:PORT, as `harness run` printed it, such as 10.0.0.5:5557.",
        )
    return Address(host=found["host"], port=port)


def start(
    master: Address,
    *,
    folder: Path,
    patience_s: float,
    output: IO[bytes],
    profile: Path | None = None,
    names: Iterable[str] = (),
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a worker; it ends by itself when the load is over or its master is gone.

    Args:
        master: Whom to join.
        folder: An empty one, where Locust puts the locustfile that it gets.
        patience_s: How long to look for the master.
        output: Where it says what it does.
        profile: Locustfile of this host; the master's own when None.
        names: Variables that the locustfile may see beside the common ones.
        environment: What they are taken from; this process's own when None.

    Raises:
        InvalidError: The locustfile does not exist.
    """
    if profile is not None and not profile.is_file():
        raise InvalidError(f"--profile {profile} does not exist.")
    handed = handed_on(os.environ if environment is None else environment, names)
    clean = {
        name: value
        for name, value in handed.items()
        if not name.startswith("LOCUST_") and name not in (plan.ENVIRONMENT, plan.MASTER)
    }
    own = {"HOME": str(folder), "TMPDIR": str(folder), plan.JOIN: str(patience_s)}
    return processes.start(
        [
            *(sys.executable, "-m", "harness.load.child", "--worker"),
            *("--master-host", master.host, "--master-port", str(master.port)),
            *("-f", FROM_MASTER if profile is None else str(profile.resolve())),
            *("--exit-code-on-error", "0", "--loglevel", "WARNING"),
        ],
        env={**clean, **own},
        cwd=folder,  # Locust reads options from files in the current folder
        output=output,
    )
