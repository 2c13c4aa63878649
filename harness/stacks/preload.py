"""Libraries that a service is started with to bend what it sees: found, never built."""

from __future__ import annotations

from pathlib import Path

from harness.errors import FaultError
from harness.stacks.provision import locate

LIBRARY = "libfaketimeMT.so.1"  # the one for programs with threads
SYSTEM = ("usr/lib/*/faketime", "usr/lib/faketime", "usr/local/lib/faketime")


def libfaketime() -> Path:
    """The library that puts a process's clock off.

    Raises:
        FaultError: It is not on this machine.
    """
    program = locate("faketime")
    if program is not None:
        beside = program.path.parent.parent / "lib"
        places = [*beside.glob("*/faketime"), *(p for s in SYSTEM for p in Path("/").glob(s))]
        for place in places:
            if (place / LIBRARY).exists():
                return place / LIBRARY
    raise FaultError(
        "The fault kind clock needs libfaketime, which is not on this machine.",
        "Get it with `harness doctor --fix`, or with `apt-get install faketime`.",
    )
