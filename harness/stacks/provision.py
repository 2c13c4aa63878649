"""Real servers for the embedded stack: found on PATH, in our cache, or fetched into it.

Nothing is installed system-wide. A server counts only after its own ``--version`` was
read and is new enough; a fetched one is moved into the cache as a whole, so that a
crash leaves either no server or a complete one.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.errors import InfrastructureError, StackError
from harness.files import cache_home, locked, private_folder, project_root, write_durably
from harness.stacks.fetch import SPECS, Attempt, ServerSpec, fetchers, run

VERSION_TIMEOUT_S = 10.0
#: Longer than the slowest fetch, so that a second process waits for the first one's result.
LOCK_TIMEOUT_S = 360.0

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server program that runs on this machine.

    ``source`` is ``PATH``, ``cache``, or a place where a distribution keeps it.
    """

    name: str
    path: Path
    version: str
    source: str


def locate(name: str) -> Server | None:
    """The server on PATH or in the cache, without using the network; None when there is none.

    A version once read is remembered together with the size and time of the file, so
    that only an unknown or changed program is run.

    Raises:
        StackError: The harness knows no server of this name.
    """
    server, _ = _search(_spec(name))
    return server


def provide(name: str, progress: Progress = lambda _: None) -> Server:
    """The server, fetched into the cache if it is not there yet.

    Args:
        name: A key of :data:`SPECS`.
        progress: Told what is being done, one short sentence a time.

    Raises:
        StackError: It cannot be had; the message says what was tried and what to run.
    """
    spec = _spec(name)
    server, _ = _search(spec)
    if server is not None:
        return server
    # One lock a server: two stacks starting at once fetch each server once.
    with locked(_folder(spec).with_suffix(".lock"), LOCK_TIMEOUT_S, f"process {os.getpid()}"):
        server, tried = _search(spec)
        return server or _fetch(spec, tried, progress)


def python_for_services() -> Path:
    """The interpreter that has the reference services' dependencies.

    Raises:
        StackError: Its environment has not been made.
    """
    python = project_root() / "stack" / ".venv" / "bin" / "python"
    if not os.access(python, os.X_OK):
        raise StackError(
            f"The environment of the reference services is missing: {python}.",
            "Run `make setup`.",
        )
    return python


def _spec(name: str) -> ServerSpec:
    if name not in SPECS:
        raise StackError(f"No server is called {name!r}; known are {', '.join(SPECS)}.")
    return SPECS[name]


def _folder(spec: ServerSpec) -> Path:
    return cache_home() / "servers" / spec.name


def _search(spec: ServerSpec) -> tuple[Server | None, list[Attempt]]:
    """The first usable server, and why each other place had none."""
    tried: list[Attempt] = []
    for source, path in _candidates(spec):
        try:
            version = _version(spec, path)
        except InfrastructureError as error:
            tried.append(Attempt(source, error.message))
            continue
        return Server(name=spec.name, path=path, version=version, source=source), tried
    return None, tried or [Attempt("PATH and cache", f"no {' or '.join(spec.programs)} there")]


def _candidates(spec: ServerSpec) -> list[tuple[str, Path]]:
    on_path = [("PATH", Path(found)) for p in spec.programs if (found := shutil.which(p))]
    kept = [(pattern, path) for pattern in spec.places for path in _matching(pattern)]
    cached = _folder(spec) / "bin" / spec.name
    return [*on_path, *kept, *([("cache", cached)] if cached.exists() else [])]


def _matching(pattern: str) -> list[Path]:
    """Files that match an absolute pattern, the newest version first."""
    return sorted(Path("/").glob(pattern.removeprefix("/")), reverse=True)


def _version(spec: ServerSpec, path: Path) -> str:
    """The program's version, remembered or read, and new enough."""
    status = path.stat()
    stamp = [status.st_size, status.st_mtime_ns]
    record = _folder(spec).with_suffix(".json")
    known = _read_record(record)
    entry = known.get(str(path))
    if isinstance(entry, dict) and entry.get("stamp") == stamp:
        return str(entry["version"])
    version = read_version(spec, path)
    # Remembering saves time, nothing else: a cache that cannot be written must not stop us.
    with contextlib.suppress(InfrastructureError):
        private_folder(record.parent)
        fresh = {**known, str(path): {"stamp": stamp, "version": version}}
        write_durably(record, json.dumps(fresh, indent=2).encode())
    return version


def _read_record(record: Path) -> Mapping[str, object]:
    try:
        known = json.loads(record.read_bytes())
    except (OSError, ValueError):
        return {}  # none yet, or damaged: it is written anew after the next reading
    return known if isinstance(known, dict) else {}


def read_version(spec: ServerSpec, path: Path) -> str:
    """Run the program to read its version.

    Raises:
        StackError: It does not run, does not tell its version, or is too old.
    """
    output = run([str(path), *spec.ask_version], timeout_s=VERSION_TIMEOUT_S)
    # Built without release flags, a server says "git" or nothing: that cannot be checked.
    found = re.search(spec.version, output)
    if found is None:
        first_line = (output.strip().splitlines() or ["nothing"])[0]
        raise StackError(f"{path} does not tell its version, it says {first_line[:100]!r}")
    version = found[1]
    if tuple(map(int, version.split("."))) < spec.minimum:
        needed = ".".join(map(str, spec.minimum))
        raise StackError(f"{path} is version {version}, older than {needed}")
    return version


def _fetch(spec: ServerSpec, tried: list[Attempt], progress: Progress) -> Server:
    """Try each way in turn; what is fetched becomes visible in one rename."""
    folder = _folder(spec)
    for leftover in folder.parent.glob(f".{spec.name}.*.tmp"):
        shutil.rmtree(leftover)  # of a process that died; the lock says that none is at work
    for fetcher in fetchers(spec):
        temporary = folder.parent / f".{spec.name}.{secrets.token_hex(4)}.tmp"
        program = private_folder(temporary / "bin") / spec.name
        progress(f"Fetching {spec.name}: {fetcher.describe}.")
        try:
            fetcher.fetch(temporary)
            read_version(spec, program)
            if folder.exists():
                shutil.rmtree(folder)  # it was there and unusable, or _search had found it
            temporary.rename(folder)
        except (InfrastructureError, OSError) as error:
            tried.append(Attempt(fetcher.describe, str(error)))
            continue
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        path = folder / "bin" / spec.name
        server = Server(name=spec.name, path=path, version=_version(spec, path), source="cache")
        progress(f"Fetched {spec.name} {server.version}.")
        return server
    raise _not_to_be_had(spec, tried)


def _not_to_be_had(spec: ServerSpec, tried: list[Attempt]) -> StackError:
    attempts = "".join(f"\n  {attempt.what}: {attempt.outcome}" for attempt in tried)
    commands = "".join(f"\n  {how}: {command}" for how, command in spec.commands.items())
    needed = ".".join(map(str, spec.minimum))
    return StackError(
        f"The server {spec.name} ({needed} or newer) is missing. Tried:{attempts}",
        f"\nGet it with one of:{commands}",
    )
