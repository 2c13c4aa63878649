"""What the command says about itself, and how it says that something is wrong."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from harness.errors import ExitCode, HarnessError, InvalidError
from harness.reasons import REASONS
from harness.redaction import Redactor, redactor

MEANINGS = {
    ExitCode.PASS: "Everything on the closed list of requirements held.",
    ExitCode.FAIL: "A valid negative verdict, stored.",
    ExitCode.INVALID: "Usage, scenario, pre-flight or guard refusal; nothing was touched.",
    ExitCode.ERROR: "The harness or its infrastructure failed; the target is proven clean.",
    ExitCode.INCONCLUSIVE: "It ran, but the evidence is insufficient or invalid; or nothing ran.",
    ExitCode.ABORTED: "Stopped on purpose; the target is proven clean.",
    ExitCode.DIRTY: "Restoration is not proven: a fault may be active. Run `harness recover`.",
}


class _Keeping:
    """What the whole command must not say."""

    def __init__(self) -> None:
        self.redactor = Redactor()


_keeping = _Keeping()


def keep_secret(values: Iterable[str]) -> None:
    """Say none of these values from now on, whatever is printed."""
    _keeping.redactor = redactor({*_keeping.redactor.values, *values})


def kept() -> Redactor:
    """What knows everything that must be said and written nowhere."""
    return _keeping.redactor


def redacted(text: str) -> str:
    """The text as it may be printed."""
    return _keeping.redactor.text(text)


def say(text: str) -> None:
    """A result, on standard output."""
    text = redacted(text)
    sys.stdout.write(text if text.endswith("\n") else f"{text}\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """Progress, on standard error."""
    sys.stderr.write(f"{redacted(text)}\n")
    sys.stderr.flush()


def say_error(error: HarnessError) -> None:
    """One paragraph: what is wrong and what to do."""
    note(f"harness: {error.exit_code.name}: {error.message}")
    if error.next_step:
        note(f"  {error.next_step}")


def say_bug(error: Exception, trace: str) -> None:
    """A defect of ours: one paragraph for the user, the traceback in a file."""
    handle, path = tempfile.mkstemp(prefix="harness-crash-", suffix=".txt")
    with os.fdopen(handle, "w") as stream:
        stream.write(redacted(trace))
    note(f"harness: ERROR: a defect of the harness itself: {type(error).__name__}: {error}")
    note(f"  Please report it with {Path(path)}. Faults may be open: run `harness recover`.")


def explain(what: str | None) -> int:
    """Print the meaning of one exit code or reason, or of all.

    Raises:
        InvalidError: There is no such code or reason.
    """
    codes = {code: f"{code.value}  {code.name:<12}  {text}" for code, text in MEANINGS.items()}
    if what is None:
        say("\n".join([*codes.values(), "", *(f"{k}: {v}" for k, v in REASONS.items())]))
        return 0
    for code, text in codes.items():
        if what.upper() == code.name or what == str(code.value):
            say(text)
            return 0
    if what in REASONS:
        say(f"{what}: {REASONS[what]}")
        return 0
    names = ", ".join(code.name for code in MEANINGS)
    raise InvalidError(f"{what!r} is neither an exit code nor a reason.", f"Exit codes: {names}.")
