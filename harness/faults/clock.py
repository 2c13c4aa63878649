"""A service goes by a clock that is off; it is restarted for it, and again to heal it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from harness import service_clock
from harness.errors import FaultError
from harness.faults import injection, processes, services
from harness.faults.processes import Process
from harness.faults.session import session
from harness.stacks import preload

__all__ = ["heal", "inject"]

KIND = "clock"
RESTORE, OFF = "clock.restore", "clock_off"
LEAST_S, MOST_S = 10, 10 * 365 * 86_400
PROVE_WITHIN_S = 20.0  # a new process has to become healthy


def inject(target: str, offset_s: int | str) -> dict[str, Any]:
    """Restart the service with its time of day put off by libfaketime, until healed.

    Args:
        target: Service, such as ``recommender``.
        offset_s: Seconds ahead of ours, or behind when negative; 10 s to 10 years.

    Raises:
        FaultError: There is no libfaketime, the service does not tell its time, or does not
            tell another one afterwards; nothing is left behind.
    """
    ahead_s = int(offset_s)
    if not LEAST_S <= abs(ahead_s) <= MOST_S:
        raise FaultError(
            f"An offset of {ahead_s} s must be from {LEAST_S} to {MOST_S} s, ahead or behind (-)."
        )
    environment = service_clock.overlay(preload.libfaketime(), ahead_s)
    entry = processes.inject(
        session(),
        kind=KIND,
        target=target,
        verb=RESTORE,
        look=OFF,
        effect={"offset_s": float(ahead_s)},
        details=_clock,
        apply=lambda process: service_clock.restart_with(asdict(process), environment),
        held=True,
        prove_within_s=PROVE_WITHIN_S,
    )
    return injection.proven(entry)


def heal(target: str) -> list[dict[str, str]]:
    """Restart the service without it and see the right time; nothing to heal is success."""
    return services.heal(session(), kind=KIND, target=target)


def _clock(process: Process) -> dict[str, str]:
    return {"offset_s": f"{service_clock.offset_s(process.address, process.health_path):.3f}"}
