"""Used-up memory on the machine of a service."""

from __future__ import annotations

from typing import Any

import psutil

from harness.errors import FaultError
from harness.faults import injection, resources
from harness.faults.session import session

__all__ = ["heal", "inject"]

KIND = "memory"
KEEP_FREE_MB = 512


def inject(target: str, megabytes: int | str) -> dict[str, Any]:
    """Hold memory until healed, every page of it touched.

    Args:
        target: Service whose machine is meant.
        megabytes: How much; half a gigabyte of what is available is always left.

    Raises:
        FaultError: It could not be applied or does not bite; nothing is left behind.
    """
    amount = resources.checked_megabytes(megabytes)
    available = psutil.virtual_memory().available // 2**20
    if amount > available - KEEP_FREE_MB:
        raise FaultError(
            f"{amount} MB are more than the {available} MB available, less {KEEP_FREE_MB} MB."
        )
    return injection.proven(resources.inject(session(), kind=KIND, target=target, amount=amount))


def heal(target: str) -> list[dict[str, str]]:
    """End the helper and see it gone; nothing to end is success."""
    return injection.heal_target(session(), kind=KIND, target=target)
