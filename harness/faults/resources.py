"""Resource faults on the machine that a service runs on: a bounded helper uses something up.

The helper ends by itself after a time, is killed by the kernel when the injecting process
dies (Linux), and is found by the entry's id to be ended by anybody else.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from harness import processes
from harness.descriptor import Service
from harness.errors import FaultError
from harness.faults import injection
from harness.faults.injection import Injection
from harness.faults.session import Session
from harness.stressor import MODULE
from harness.undo import Entry

LOCAL = "local"
END, WORKS = "stressor.end", "stressor_works"
PROVE_WITHIN_S = 10.0
MAX_FOR_S = 3600.0
MAX_MEGABYTES = 8192
# Kept as long as this process lives: the helpers are its children, and end with it.
_HELPERS: list[subprocess.Popen[bytes]] = []
KEEP_FREE = 0.10  # of a disk, whatever is asked for


def inject(
    session: Session, *, kind: str, target: str, amount: int, path: Path | None = None
) -> Entry:
    """Start the helper and prove that it uses up what it should.

    Args:
        session: Stack, undo log and epoch.
        kind: ``cpu``, ``memory`` or ``disk``.
        target: Service whose machine is meant.
        amount: Processors, or megabytes.
        path: File to fill, for ``disk``.

    Raises:
        FaultError: No such service, too much is asked for, or it does not bite; nothing is
            left behind.
    """
    require_own_machine(session, kind, target)
    fault = Injection(
        kind=kind,
        target=target,
        verb=END,
        arguments={"token": "${id}", "path": str(path or "")},
        look=WORKS,
        effect={kind: float(amount)},
        before="nothing of the kind ran",
        prove_within_s=PROVE_WITHIN_S,
    )

    def apply(entry: Entry) -> None:
        start(kind, amount, entry.id, path)

    return injection.inject(session, fault, apply)


def require_own_machine(session: Session, kind: str, target: str) -> None:
    """See that the service runs on this very machine, where the helper would.

    Raises:
        FaultError: There is no such service, or it runs in a container or elsewhere.
    """
    service(session, target)
    driver = session.stack.driver
    if driver != LOCAL:
        raise FaultError(
            f"{kind} would be on this machine, and {target} of the driver {driver} is not: it is "
            "available on the local driver only."
        )


def service(session: Session, target: str) -> Service:
    """The service that a fault names.

    Raises:
        FaultError: The stack has no such service; the message lists those it has.
    """
    found = session.stack.services.get(target)
    if found is None:
        known = ", ".join(sorted(session.stack.services))
        raise FaultError(f"The stack {session.stack.id} has no service {target!r}; it has {known}.")
    return found


def start(
    kind: str, amount: int, token: str, path: Path | None = None, for_s: float = MAX_FOR_S
) -> None:
    """Start a helper that ends with this process, or by itself when the time is over."""
    argv = [sys.executable, "-m", MODULE, kind, str(amount), f"{for_s:g}", token]
    _HELPERS.append(processes.start([*argv, str(path)] if path else argv))


def checked_megabytes(megabytes: int | str) -> int:
    """A number of megabytes within bounds.

    Raises:
        FaultError: Not a whole number from 1 to the bound.
    """
    amount = int(megabytes)
    if not 1 <= amount <= MAX_MEGABYTES:
        raise FaultError(f"{amount} MB must be from 1 to {MAX_MEGABYTES} MB.")
    return amount


def refuse_to_fill(folder: Path, megabytes: int) -> None:
    """Keep a tenth of the disk free, whatever is asked for.

    Raises:
        FaultError: The disk has not that much to give.
    """
    try:
        usage = shutil.disk_usage(folder)
    except OSError as error:
        raise FaultError(f"The folder {folder} cannot be used: {error.strerror}.") from error
    left = usage.free - megabytes * 2**20
    if left < KEEP_FREE * usage.total:
        raise FaultError(
            f"Filling {megabytes} MB would leave less than {KEEP_FREE:.0%} of the disk of "
            f"{folder} free; ask for less."
        )
