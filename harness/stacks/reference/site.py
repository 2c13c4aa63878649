"""Where one local stack is to be: its folder, its ports, its programs. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.stacks.plan import HOST, Request
from harness.stacks.reference.table import Call, Service


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """Where the programs of the stack are.

    ``servers`` are paths without links in them, by the names of
    :data:`harness.stacks.fetch.SPECS`.
    """

    stack_root: Path
    python: Path
    servers: Mapping[str, Path]
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFolder:
    """Where a server keeps its data, and the user it has to be run as; empty: as we are.

    ``program`` is the copy of it that this user can run, if not the one that everybody has.
    """

    path: Path
    user: str = ""
    program: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What a service's plan is made from.

    Attributes:
        folder: Where the stack keeps its data, logs and descriptor.
        request: What was asked for.
        ports: A port for each name of :func:`harness.stacks.reference.assembly.port_names`.
        programs: Where the programs are.
        database: Where PostgreSQL keeps its data, where that is not below ``folder``.
        services: All of the stack.
        calls: All between them.
    """

    folder: Path
    request: Request
    ports: Mapping[str, int]
    programs: Programs
    database: DataFolder | None
    services: tuple[Service, ...]
    calls: tuple[Call, ...]

    def address(self, name: str) -> str:
        """``host:port`` of a port's name."""
        return f"{HOST}:{self.ports[name]}"

    def data(self, name: str) -> Path:
        """Where a service keeps its data."""
        return self.folder / "data" / name

    def program(self, name: str) -> str:
        """Path of a server's program."""
        return str(self.programs.servers[name])
