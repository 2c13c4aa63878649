"""Everything the harness raises on purpose, and the exit codes it may end with.

HarnessError
├── InvalidError         usage, scenario, pre-flight or guard refusal; nothing was touched
│   └── ScenarioError    carries every problem of a scenario file at once
├── InfrastructureError  the harness or its infrastructure failed
│   ├── StackError       a stack could not be started, reached or stopped
│   ├── LoadError        the load generator itself broke
│   ├── ChaosError       Chaos Toolkit itself broke
│   ├── MetricsError     Prometheus could not answer
│   └── StoreError       evidence could not be written or read back
├── FaultError           a fault could not be injected, proven or healed
└── DirtyError           restoration is not proven: a fault may still be active
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the process says when it ends; the first that matches, top to bottom, wins."""

    DIRTY = 6  #: restoration not proven; says what is left and how to repair it
    ERROR = 3  #: the harness or its infrastructure failed; the target is proven clean
    INVALID = 2  #: usage, scenario, pre-flight or guard refusal; nothing was touched
    FAIL = 1  #: a valid negative verdict, stored
    ABORTED = 5  #: stopped on purpose; the target is proven clean
    INCONCLUSIVE = 4  #: ran, but the evidence is insufficient or invalid
    PASS = 0  #: everything on the closed list of requirements held


class HarnessError(Exception):
    """Base of all errors raised on purpose.

    Args:
        message: What is wrong, naming the value, the place and what is allowed.
        next_step: The one thing the reader can do about it, as a sentence.
    """

    exit_code = ExitCode.ERROR

    def __init__(self, message: str, next_step: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.message} {self.next_step}".strip()


class InvalidError(HarnessError):
    """The request itself is wrong; nothing was started or touched."""

    exit_code = ExitCode.INVALID


class ScenarioError(InvalidError):
    """A scenario file has problems; ``problems`` holds each as printable text."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class InfrastructureError(HarnessError):
    """The harness or something it depends on failed after it was started."""


class StackError(InfrastructureError):
    """A stack could not be started, reached or stopped."""


class LoadError(InfrastructureError):
    """The load generator itself broke (a failing target is not this)."""


class ChaosError(InfrastructureError):
    """Chaos Toolkit itself broke (a fault that was not applied is evidence, not this)."""


class MetricsError(InfrastructureError):
    """Prometheus or Alertmanager could not answer."""


class ReadBackError(InfrastructureError):
    """Acknowledged writes could not be read back, which says nothing of whether they are there."""


class StoreError(InfrastructureError):
    """Evidence could not be written, or is not what was written."""


class FaultError(HarnessError):
    """A fault could not be injected, proven or healed."""


class RefusedError(FaultError):
    """A change was refused by whom it was asked of: it was not made, and will not be."""


class OvertakenError(RefusedError):
    """What was to be changed was changed by somebody else at that very moment, such as a status."""


class DirtyError(HarnessError):
    """Restoration is not proven: a fault may still be active."""

    exit_code = ExitCode.DIRTY
