"""Other people's tools that the benchmarks stand beside, fetched into the cache and pinned.

Nothing is installed: Debian packages are unpacked, Go programs built into a folder of their own.
A tool that cannot be had is a :class:`Missing` with the reason, which the table then shows in the
place of its row.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from harness.files import cache_home

K6 = "v1.8.1"
FETCH_TIMEOUT_S = 600
QUIET = ("-o", "Acquire::http::Timeout=5", "-o", "Acquire::Retries=1")


class Missing(Exception):  # noqa: N818 - not an error: a row that was not run
    """A tool cannot be had on this machine; says why."""


def k6() -> Path:
    """k6 in the pinned version, built once (it takes a minute or two)."""
    found = cache_home() / "benchmarks" / f"k6-{K6}" / "k6"
    if not found.exists():
        if shutil.which("go") is None:
            raise Missing("k6 is built by `go install`, and there is no go")
        _run(["go", "install", f"go.k6.io/k6@{K6}"], {"GOBIN": str(_folder(found.parent))})
    return found


def nginx() -> Path:
    """nginx, from the PATH or out of Debian's package."""
    on_path = shutil.which("nginx")
    return Path(on_path) if on_path else _debian("nginx", "usr/sbin/nginx", "nginx")


def wrk() -> tuple[Path, Mapping[str, str]]:
    """wrk, and the environment that it needs to find its library."""
    on_path = shutil.which("wrk")
    if on_path:
        return Path(on_path), {}
    program = _debian("wrk", "usr/bin/wrk", "wrk", "libluajit-5.1-2")
    (library,) = program.parents[2].glob("usr/lib/*/libluajit-5.1.so.2")
    return program, {"LD_LIBRARY_PATH": str(library.parent)}


def _debian(name: str, program: str, *packages: str) -> Path:
    """A program out of Debian packages that are unpacked side by side."""
    root = cache_home() / "benchmarks" / name
    if not (root / program).exists():
        for tool in ("apt-get", "dpkg"):
            if shutil.which(tool) is None:
                raise Missing(f"{name} comes as a Debian package, and there is no {tool}")
        archives = _folder(root / "packages")
        _run(["apt-get", "download", *QUIET, *packages], {}, archives)
        for archive in archives.glob("*.deb"):
            _run(["dpkg", "-x", str(archive), str(root)], {})
    return root / program


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def _run(argv: list[str], environment: Mapping[str, str], cwd: Path | None = None) -> None:
    """Run one step of fetching a tool.

    Raises:
        Missing: It failed, or took too long.
    """
    try:
        done = subprocess.run(
            argv,
            cwd=cwd,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=FETCH_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(f"{' '.join(argv[:2])}: {error}") from error
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        raise Missing(f"{' '.join(argv[:2])} ended with {done.returncode}: {said[-1]}")
