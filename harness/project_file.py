"""The file ``harness.toml`` at the root of a project: what may be touched, and with which commands.

It is read here and parsed by whoever knows a table of it.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import InvalidError
from harness.guards import FILE

#: In the environment of an experiment: the root of the project that it belongs to.
PROJECT = "HARNESS_PROJECT"


def read(root: Path) -> Mapping[str, Any]:
    """Its tables; none where there is no such file.

    Raises:
        InvalidError: It cannot be read.
    """
    path = root / FILE
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InvalidError(f"{path} cannot be read: {error}.", "Correct it first.") from error


def root_of_experiment() -> Path:
    """The project of the experiment that runs in this process; under ``chaos run``, here."""
    return Path(os.environ.get(PROJECT) or ".").resolve()
