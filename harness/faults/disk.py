"""A filled disk on the machine of a service, up to a bound."""

from __future__ import annotations

import secrets
import tempfile
from pathlib import Path
from typing import Any

from harness.faults import injection, resources
from harness.faults.session import session

__all__ = ["heal", "inject"]

KIND = "disk"


def inject(target: str, megabytes: int | str, folder: str = "") -> dict[str, Any]:
    """Write a file of this size and keep it until healed.

    Args:
        target: Service whose machine is meant.
        megabytes: How much; a tenth of the disk is always left free.
        folder: Where to write; the machine's folder for temporary files by default.

    Raises:
        FaultError: It could not be applied or does not bite; nothing is left behind.
    """
    amount = resources.checked_megabytes(megabytes)
    place = Path(folder or tempfile.gettempdir())
    resources.refuse_to_fill(place, amount)
    path = place / f"harness-fill-{secrets.token_hex(8)}"
    entry = resources.inject(session(), kind=KIND, target=target, amount=amount, path=path)
    return injection.proven(entry)


def heal(target: str) -> list[dict[str, str]]:
    """End the helper, remove its file and see both gone; nothing there is success."""
    return injection.heal_target(session(), kind=KIND, target=target)
