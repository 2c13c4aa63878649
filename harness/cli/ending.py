"""How a verb ends: the exit code that the contract promises, and never a traceback."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from harness.cli import words
from harness.errors import ExitCode, HarnessError


def end_with(verb: Callable[[], int | None]) -> NoReturn:
    """Run the verb and end the process with its exit code."""
    try:
        code = verb()
    except HarnessError as error:
        words.say_error(error)
        sys.exit(int(error.exit_code))
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has gone; there is nobody to tell
        sys.exit(int(ExitCode.ERROR))
    except Exception as error:  # noqa: BLE001 - the last place that can keep a traceback from a user
        words.say_bug(error, traceback.format_exc())
        sys.exit(int(ExitCode.ERROR))
    sys.exit(int(code or 0))
