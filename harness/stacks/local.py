"""The local driver: the reference platform as processes of this machine."""

from __future__ import annotations

import contextlib
import json
import os
import runpy
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from harness import control
from harness.control import ServiceStatus, identity_of
from harness.descriptor import StackDescriptor
from harness.errors import InvalidError, StackError
from harness.files import locked, private_folder, project_root, write_durably
from harness.stacks import foreign_data, registry, starter
from harness.stacks import ports as ports_of_ours
from harness.stacks.plan import BASE, CONTROL_FILE, EVENTS_FILE, IDENTITY_FILE, PLAN_FILE, Request
from harness.stacks.plan import load as load_plan
from harness.stacks.provision import locate, provide, python_for_services
from harness.stacks.reference import assembly
from harness.stacks.reference.site import DataFolder, Programs

LOCK_TIMEOUT_S = 120.0

#: Unix socket paths hold 108 bytes on Linux, 104 on macOS, the final zero included.
MAX_SOCKET_PATH_BYTES = 100
#: Where a private folder is made when the one for temporary files is deep itself.
SHORT_FOLDER = "/tmp"  # noqa: S108

DOWN_HINT = "Run `harness stack down` first."


class LocalStack:
    """The reference platform of one checkout, run by a supervisor of its own.

    Args:
        root: The checkout; the one this package runs from when None.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or project_root()
        self.id = registry.stack_id_local(self.root)
        self.folder = registry.folder(self.id)

    def up(
        self,
        defects: Iterable[str] = (),
        ports: Mapping[str, int] | None = None,
        progress: Callable[[str], None] = lambda _: None,
        settings: Mapping[str, str] | None = None,
        profile: str = BASE,
    ) -> StackDescriptor:
        """Ensure the stack runs as asked; nothing happens when it already does.

        Args:
            defects: Names from ``stack/services/defects.py``.
            ports: Fixed ports for some names of
                :func:`~harness.stacks.reference.assembly.port_names`; the others are chosen.
            progress: Told what is being done, one short sentence a time.
            settings: Environment of the services, names from
                :data:`~harness.stacks.reference.table.SETTINGS`.
            profile: Which part, a name from :data:`~harness.stacks.reference.table.PROFILES`.

        Raises:
            InvalidError: The request is wrong, a configured port is in use, or the stack
                runs differently already; nothing was touched.
            StackError: It did not come up; nothing of it is left running.
        """
        request = Request(
            profile=profile,
            defects=tuple(sorted(set(defects))),
            ports=dict(ports or {}),
            settings=settings or {},
        )
        assembly.check_request(request, known_defects(self.root))
        with self._locked():
            stack = self._running()
            if stack is not None:
                return self._as_asked(stack, request)
            self._clear_leftovers()
            programs = self._programs(profile, progress)
            try:
                self._start(request, programs, progress)
            except _PortLostError:
                progress("A port was taken by somebody else meanwhile; once more with others.")
                self._start(request, programs, progress)
            return registry.load(self.id)

    def down(self) -> bool:
        """Stop the stack; whether there was one. Nothing of it is left running.

        Raises:
            StackError: Something could not be stopped.
        """
        with self._locked():
            stack = self._running()
            if stack is not None:
                supervisor = control.ping(stack.control)
                control.down(stack.control)
                starter.wait_until_gone(supervisor, starter.END_TIMEOUT_S)
            mute = self._living_supervisor()
            if mute:
                # Frozen: it cannot answer. The kernel ends its services with it.
                starter.end(mute, signal.SIGKILL)
            self._clear_leftovers()
            return stack is not None or bool(mute)

    def status(self) -> Mapping[str, ServiceStatus] | None:
        """The services by name, or None when the stack is not up.

        Raises:
            StackError: The supervisor stopped answering just now.
        """
        stack = self._running()
        return control.status(stack.control) if stack else None

    def _locked(self) -> contextlib.AbstractContextManager[None]:
        lock = private_folder(self.folder) / "up.lock"
        return locked(lock, LOCK_TIMEOUT_S, f"process {os.getpid()}, starting or stopping it")

    def profile(self) -> str | None:
        """Which part of the platform is up; None when nothing is."""
        return self._request().profile if self._running() else None

    def _request(self) -> Request:
        path = self.folder / PLAN_FILE
        return load_plan(path.read_text(), str(path)).request

    def _running(self) -> StackDescriptor | None:
        try:
            return registry.load(self.id)
        except InvalidError:
            return None

    def _as_asked(self, stack: StackDescriptor, request: Request) -> StackDescriptor:
        present = self._request()
        if present != request:
            raise InvalidError(
                f"The stack {self.id} is already up with {_words(present)}, "
                f"not with {_words(request)}.",
                DOWN_HINT,
            )
        return stack

    def _programs(self, profile: str, progress: Callable[[str], None]) -> Programs:
        servers = {name: provide(name, progress) for name in assembly.programs_of(profile)}
        for name in assembly.optional_programs_of(profile):
            if (server := locate(name)) is not None:
                servers[name] = server
            else:
                progress(
                    f"{name} is not there, and is left out; `harness doctor --fix` fetches it."
                )
        return Programs(
            stack_root=self.root / "stack",
            python=python_for_services(),
            servers={name: server.path.resolve() for name, server in servers.items()},
            versions={name: server.version for name, server in servers.items()},
        )

    def _start(self, request: Request, programs: Programs, progress: Callable[[str], None]) -> None:
        names = assembly.port_names(request.profile)
        chosen = ports_of_ours.choose(names, request.ports)
        foreign_data.remove(self.folder)
        for name in ("data", "logs"):
            if (self.folder / name).exists():
                shutil.rmtree(self.folder / name)
        plan = assembly.build(
            stack_id=self.id,
            folder=self.folder,
            control=self._control_path(),
            request=request,
            ports=chosen,
            programs=programs,
            database=self._database(programs),
        )
        for name, text in plan.files.items():
            write_durably(self.folder / name, text.encode())
        try:
            starter.start(plan, progress)
        except StackError as error:
            self._clear_leftovers()
            for name in chosen.keys() - request.ports.keys():
                if not ports_of_ours.is_free(chosen[name]):
                    raise _PortLostError(
                        f"Somebody else took port {chosen[name]}, chosen for {name}. {error}"
                    ) from error
            raise

    def _database(self, programs: Programs) -> DataFolder | None:
        program = programs.servers.get("postgres")
        return foreign_data.make(self.folder, program) if program else None

    def _control_path(self) -> Path:
        path = self.folder / CONTROL_FILE
        if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES:
            return path
        made = Path(tempfile.mkdtemp(prefix="harness-")) / CONTROL_FILE
        if len(os.fsencode(made)) <= MAX_SOCKET_PATH_BYTES:
            return made
        made.parent.rmdir()  # a TMPDIR that is long as well
        return Path(tempfile.mkdtemp(prefix="harness-", dir=SHORT_FOLDER)) / CONTROL_FILE

    def _living_supervisor(self) -> str:
        """The identity of the supervisor that was started last, empty when it is gone."""
        path = self.folder / IDENTITY_FILE
        if not path.exists():
            return ""
        identity = str(json.loads(path.read_text()))
        return identity if identity_of(int(identity.split(":", maxsplit=1)[0])) == identity else ""

    def _clear_leftovers(self) -> None:
        """Remove what a stack leaves that could not stop in good order.

        Raises:
            StackError: Its supervisor still lives, or one of its services does not end.
        """
        supervisor = self._living_supervisor()
        if supervisor:
            raise StackError(
                f"The stack {self.id} is not up, but its supervisor {supervisor} still runs "
                "and does not answer.",
                DOWN_HINT,
            )
        for identity in self._started_processes():
            starter.end(identity, signal.SIGKILL)  # only where the kernel did not end them
        for name in (registry.FILE, IDENTITY_FILE, EVENTS_FILE):
            (self.folder / name).unlink(missing_ok=True)
        foreign_data.remove(self.folder)
        self._remove_control()

    def _started_processes(self) -> list[str]:
        path = self.folder / EVENTS_FILE
        lines = path.read_text().splitlines() if path.exists() else []
        identities = (_event(line).get("identity", "") for line in lines)
        return [identity for identity in identities if identity]  # empty: it ended at once

    def _remove_control(self) -> None:
        path = self.folder / PLAN_FILE
        if path.exists():
            socket = Path(load_plan(path.read_text(), str(path)).control)
            socket.unlink(missing_ok=True)
            if socket.parent != self.folder and socket.parent.exists():
                socket.parent.rmdir()  # the short one that was made for it


class _PortLostError(StackError):
    """A port that was free when it was chosen is not any more."""


def known_defects(root: Path) -> Mapping[str, str]:
    """The table of planted defects: name and what it does.

    Raises:
        StackError: The checkout has no such table.
    """
    path = root / "stack" / "services" / "defects.py"
    if not path.exists():
        raise StackError(f"{root} is not a checkout of the harness: {path} is missing.")
    # Run, not imported: the services have an environment of their own.
    return dict(runpy.run_path(str(path))["DEFECTS"])


def _event(line: str) -> dict[str, Any]:
    try:
        return dict(json.loads(line))
    except ValueError:
        return {}  # cut off when the supervisor was killed


def _words(request: Request) -> str:
    ports = [f"{name} on port {port}" for name, port in sorted(request.ports.items())]
    settings = [f"{name}={value}" for name, value in sorted(request.settings.items())]
    parts = [*(f"defect {name}" for name in request.defects), *ports, *settings]
    return (
        f"the profile {request.profile} and {', '.join(parts) or 'no defects, ports or settings'}"
    )
