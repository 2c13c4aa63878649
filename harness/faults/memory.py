"""Used-up memory on the machine of a service."""

from __future__ import annotations

from typing import Any

import psutil

from harness.errors import FaultError
from harness.faults import injection, pod_stress, pods, resources
from harness.faults.session import session

__all__ = ["heal", "inject"]

KIND = "memory"
KEEP_FREE_MB = 512


def inject(target: str, megabytes: int | str, container: str = "") -> dict[str, Any]:
    """Hold memory until healed, every page of it touched.

    Args:
        target: Service whose machine is meant, or on Kubernetes the container of its first pod.
        megabytes: How much; half a gigabyte of what is available on this machine is always left.
            A container that goes beyond its limit is killed, which the proof tells.
        container: Its name, on Kubernetes; the first one if empty.

    Raises:
        FaultError: It could not be applied or does not bite; nothing is left behind.
    """
    amount = resources.checked_megabytes(megabytes)
    current = session()
    if current.stack.driver == pods.DRIVER:
        return injection.proven(
            pod_stress.inject(current, kind=KIND, target=target, amount=amount, container=container)
        )
    available = psutil.virtual_memory().available // 2**20
    if amount > available - KEEP_FREE_MB:
        raise FaultError(
            f"{amount} MB are more than the {available} MB available, less {KEEP_FREE_MB} MB."
        )
    return injection.proven(resources.inject(current, kind=KIND, target=target, amount=amount))


def heal(target: str) -> list[dict[str, str]]:
    """End the helper and see it gone; nothing to end is success."""
    return injection.heal_target(session(), kind=KIND, target=target)
