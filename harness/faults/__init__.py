"""Faults for Chaos Toolkit experiments: ``harness.faults.<kind>`` with ``inject`` and ``heal``.

``harness.faults.hold`` keeps what was injected, and keeps looking that it still bites.
"""

from harness.faults.holding import hold

__all__ = ["hold"]
