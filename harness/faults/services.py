"""Faults on a named service, whatever it runs as: each driver's module knows how."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Protocol

from harness.control import SIGNALS
from harness.errors import FaultError, InvalidError
from harness.faults import containers, injection, pods, processes
from harness.faults.session import Session
from harness.undo import Entry

#: Longer than the supervisor gives any service to become healthy; a broker takes the longest.
BACK_WITHIN_S = 130.0


class Driver(Protocol):
    """How one driver does it.

    Each injects, proves, and returns the entry. FaultError: there is no such service, it
    was not well before, or the fault hit nobody or does not bite; nothing is left behind.
    """

    def kill(self, session: Session, target: str, number: signal.Signals) -> Entry:
        """End what runs, once; something new is expected to come."""
        ...

    def restart(self, session: Session, target: str) -> Entry:
        """Ask it to end, make it after a grace, and have it started again."""
        ...

    def pause(self, session: Session, target: str) -> Entry:
        """Stop it in its tracks."""
        ...

    def stop(self, session: Session, target: str, number: signal.Signals) -> Entry:
        """End it and keep it down."""
        ...


DRIVERS: Mapping[str, Driver] = {
    processes.DRIVER: processes,
    containers.DRIVER: containers,
    pods.DRIVER: pods,
}


def of(session: Session) -> Driver:
    """The driver of the session's stack.

    Raises:
        FaultError: It cannot break services.
    """
    driver = DRIVERS.get(session.stack.driver)
    if driver is None:
        raise FaultError(
            f"The stack {session.stack.id} runs on the driver {session.stack.driver}; faults on "
            f"services are available on {', '.join(DRIVERS)}."
        )
    return driver


def heal(session: Session, *, kind: str, target: str) -> list[dict[str, str]]:
    """Undo every fault of the kind on the service; a service may take long to be back.

    Raises:
        FaultError: It is not back.
    """
    return injection.heal_target(session, kind=kind, target=target, patience_s=BACK_WITHIN_S)


def signal_named(name: str) -> signal.Signals:
    """The signal of a fault's parameter.

    Raises:
        InvalidError: None that ends a process.
    """
    if name not in SIGNALS:
        raise InvalidError(f"signal: {name!r} must be one of {', '.join(SIGNALS)}.")
    return signal.Signals[f"SIG{name}"]
