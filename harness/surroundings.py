"""Where a run happens and what it runs against: the environment and the candidate."""

from __future__ import annotations

import getpass
import hashlib
import json
import math
import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from harness import __version__

GIT_TIMEOUT_S = 5.0
PACKAGES = ("chaostoolkit", "chaostoolkit-lib", "locust", "prometheus-api-client")


def environment(driver: str, plan: Mapping[str, Any]) -> dict[str, Any]:
    """What must match for two runs to be compared, and under ``noted`` what only warns.

    Args:
        driver: The stack's driver.
        plan: Load, faults and phases of the scenario, as plain data.
    """
    memory_gib = psutil.virtual_memory().total / 2**30
    must_match: dict[str, Any] = {
        "driver": driver,
        "cpus": os.cpu_count(),
        "memory_class_gib": 2 ** round(math.log2(memory_gib)),
        "name": os.environ.get("HARNESS_ENV", ""),
        "plan": hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()[:12],
    }
    key = hashlib.sha256(json.dumps(must_match, sort_keys=True).encode()).hexdigest()[:12]
    noted = {
        "cpu": _cpu_model(),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }
    return {"key": key, **must_match, "noted": noted}


def candidate(root: Path) -> dict[str, Any]:
    """What is being compared: the commit and the packages; the stack adds its own versions."""
    return {
        "commit": _git(root, "rev-parse", "HEAD"),
        "dirty": bool(_git(root, "status", "--porcelain")),
        "harness": __version__,
        "packages": {name: _version(name) for name in PACKAGES},
    }


def author(root: Path) -> str:
    """Who works here: the name that version control would sign with, or the login's."""
    name = _git(root, "config", "user.name")
    if name:
        return name
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a process may have no name at all
        return ""


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _git(root: Path, *arguments: str) -> str:
    """What git says, or nothing: a project need not be under version control."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            timeout=GIT_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor())
