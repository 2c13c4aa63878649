"""Faults on the process of a named service, for the local driver.

A service is resolved to its process through the supervisor's control socket at the moment of
the injection; the descriptor may be older than the last restart.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

from harness import control, probe, service_process
from harness.errors import FaultError
from harness.faults import injection
from harness.faults.injection import Injection
from harness.faults.session import Session
from harness.undo import Entry

DRIVER = "local"
ENSURE_RUNNING = "process.ensure_running"
RESUME = "process.resume"
GONE, STOPPED, HELD_DOWN = "process_gone", "process_stopped", "service_held_down"

PROVE_WITHIN_S = 4.0  # a service that is asked to end may finish what it has begun
GRACE_S = 2.0
POLL_S = 0.02
HOLD_WITHIN_S = 4.5  # below the patience of healers for the lock, which is held meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """The process of a service as it was just before the fault; all that undoing it takes."""

    control: str
    supervisor: str
    service: str
    identity: str
    address: str
    health_path: str


def no_details(_: Process) -> Mapping[str, str]:
    """What undoing most faults takes beyond the process itself."""
    return {}


def kill(session: Session, target: str, number: signal.Signals) -> Entry:
    """Signal the process; its supervisor starts another one."""
    return inject(
        session,
        kind="kill",
        target=target,
        verb=ENSURE_RUNNING,
        look=GONE,
        apply=lambda process: hit(process, number),
        held=False,
    )


def restart(session: Session, target: str) -> Entry:
    """Ask the process to end, make it after a grace; its supervisor starts another one."""
    return inject(
        session,
        kind="restart",
        target=target,
        verb=ENSURE_RUNNING,
        look=GONE,
        apply=end,
        held=False,
    )


def pause(session: Session, target: str) -> Entry:
    """Stop the process, and all that it has started, by a signal."""
    return inject(
        session,
        kind="pause",
        target=target,
        verb=RESUME,
        look=STOPPED,
        apply=freeze,
        held=True,
    )


def stop(session: Session, target: str, number: signal.Signals) -> Entry:
    """Have the supervisor end the service and keep it down."""
    return inject(
        session,
        kind="stop",
        target=target,
        verb=ENSURE_RUNNING,
        look=HELD_DOWN,
        apply=lambda process: hold_down(process, number),
        held=True,
    )


def inject(
    session: Session,
    *,
    kind: str,
    target: str,
    verb: str,
    look: str,
    apply: Callable[[Process], None],
    held: bool,
    details: Callable[[Process], Mapping[str, str]] = no_details,
    effect: Mapping[str, float] | None = None,
    prove_within_s: float = PROVE_WITHIN_S,
) -> Entry:
    """Do something to the process of a service and prove that it was done to this one.

    Args:
        session: Stack, undo log and epoch.
        kind: Name of the fault kind, for the entry.
        target: Name of the service.
        verb: How it is undone.
        look: How it is seen.
        apply: Applies the fault; called under the lock.
        held: Whether it lasts until it is healed.
        details: Further arguments of the verb, read from the process before the fault.
        effect: What the look must meet, if it takes more than the process.
        prove_within_s: How long to keep looking.

    Raises:
        FaultError: There is no such service, it was not well before, or the fault hit nobody
            or does not bite; nothing is left behind.
        StackError: The supervisor does not answer.
    """
    process, before = _resolve(session, target)
    fault = Injection(
        kind=kind,
        target=target,
        verb=verb,
        arguments={**asdict(process), **details(process)},
        look=look,
        effect=effect or {},
        before=f"process {process.identity} got {before}",
        held=held,
        prove_within_s=prove_within_s,
    )

    def applied(_: Entry) -> None:
        apply(process)

    return injection.inject(session, fault, applied)


def hit(process: Process, number: signal.Signals) -> None:
    """Signal the process.

    Raises:
        FaultError: It is not there any more, so nobody was hit.
    """
    if not service_process.send(process.identity, number):
        raise FaultError(
            f"{number.name} hit nobody: process {process.identity} of {process.service} "
            "is gone already, and not by our doing."
        )


def freeze(process: Process) -> None:
    """Stop the process and all that it has started.

    Raises:
        FaultError: It is not there any more, so nobody was hit.
    """
    if not service_process.freeze(process.identity):
        raise FaultError(
            f"SIGSTOP hit nobody: process {process.identity} of {process.service} "
            "is gone already, and not by our doing."
        )


def end(process: Process) -> None:
    """SIGTERM, and SIGKILL when it has not ended after the grace.

    Raises:
        FaultError: It was not there at the start.
    """
    hit(process, signal.SIGTERM)
    give_up_at = time.monotonic() + GRACE_S
    while service_process.is_alive(process.identity):
        if time.monotonic() >= give_up_at:
            service_process.send(process.identity, signal.SIGKILL)
            return
        time.sleep(POLL_S)


def hold_down(process: Process, number: signal.Signals) -> None:
    """Have the supervisor end the service and keep it down.

    Raises:
        FaultError: Another process is in its place already.
        StackError: The supervisor did not do it in time.
    """
    if not service_process.is_alive(process.identity):
        raise FaultError(f"process {process.identity} of {process.service} is gone already.")
    name = number.name.removeprefix("SIG")
    control.hold(process.control, process.service, name, HOLD_WITHIN_S)


def _resolve(session: Session, target: str) -> tuple[Process, probe.Probe]:
    stack = session.stack
    if stack.driver != DRIVER or not stack.control:
        raise FaultError(
            f"The stack {stack.id} runs on the driver {stack.driver}; faults on processes are "
            f"available on {DRIVER} only."
        )
    part = stack.services.get(target)
    if part is None:
        raise FaultError(
            f"The stack {stack.id} has no service {target!r}; it has "
            f"{', '.join(sorted(stack.services)) or 'none'}."
        )
    supervisor = control.ping(stack.control)
    now = control.status(stack.control)[target]
    if now.state != "up" or not now.identity:
        raise FaultError(f"{target} is {now.state} before the fault: there is nobody to hit.")
    # Without credentials: the address goes into the undo entry and into messages.
    address = urlsplit(part.url).netloc.rpartition("@")[2]
    before = probe.ask(address, part.health_path, injection.BEFORE_TIMEOUT_S)
    if not before.answered:
        raise FaultError(
            f"{target} is not well before the fault ({before} from {address}); a fault on it "
            "could not be told from what is already wrong."
        )
    process = Process(
        control=stack.control,
        supervisor=supervisor,
        service=target,
        identity=now.identity,
        address=address,
        health_path=part.health_path,
    )
    return process, before
