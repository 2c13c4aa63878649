"""Busy processors on the machine of a service."""

from __future__ import annotations

import os
from typing import Any

from harness.errors import FaultError
from harness.faults import injection, pod_stress, pods, resources
from harness.faults.session import session

__all__ = ["heal", "inject"]

KIND = "cpu"


def inject(target: str, workers: int | str = 1, container: str = "") -> dict[str, Any]:
    """Keep processors busy until healed.

    Args:
        target: Service whose machine is meant, or on Kubernetes the container of its first pod.
        workers: How many processors, from 1 to four times as many as there are.
        container: Its name, on Kubernetes; the first one if empty.

    Raises:
        FaultError: It could not be applied or does not bite; nothing is left behind.
    """
    current = session()
    if current.stack.driver == pods.DRIVER:
        amount = pod_stress.checked_workers(workers)
        return injection.proven(
            pod_stress.inject(current, kind=KIND, target=target, amount=amount, container=container)
        )
    amount, most = int(workers), 4 * (os.cpu_count() or 1)
    if not 1 <= amount <= most:
        raise FaultError(f"{amount} workers must be from 1 to {most} on this machine.")
    return injection.proven(resources.inject(current, kind=KIND, target=target, amount=amount))


def heal(target: str) -> list[dict[str, str]]:
    """End the helpers and see them gone; nothing to end is success."""
    return injection.heal_target(session(), kind=KIND, target=target)
