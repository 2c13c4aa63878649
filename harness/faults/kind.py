"""What a fault kind is, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind: a module ``harness.faults.<name>`` with ``inject`` and ``heal``."""

    name: str
    summary: str
    parameters: Mapping[str, str] = field(default_factory=dict)
