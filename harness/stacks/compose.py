"""The compose driver: attaches to a user's project by its labels, or brings it up.

Nothing of a project is changed by attaching to it. What was brought up here is taken down
here; what was found running is left running.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from harness import docker_engine
from harness.containers import UP, Engine
from harness.descriptor import StackDescriptor, dump
from harness.errors import InvalidError
from harness.files import locked, private_folder, write_durably
from harness.stacks import compose_command, registry
from harness.stacks.compose_project import describe

LOCK_TIMEOUT_S = 120.0
OURS = "compose-file"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


class ComposeStack:
    """One compose project on one engine.

    Args:
        project: Its name.
        file: Compose file to bring it up with when it does not run; None only attaches.
        prometheus: URL of the Prometheus that watches it, where that is not part of it.

    Raises:
        InvalidError: Not a project name, or the package ``docker`` is missing.
        FaultError: No engine answers.
    """

    def __init__(self, project: str, file: Path | None = None, prometheus: str = "") -> None:
        if not _NAME.fullmatch(project):
            raise InvalidError(
                f"{project!r} is no name of a compose project: small letters, digits, - and _."
            )
        self.project = project
        self._file = file
        self._prometheus = prometheus
        with _engine() as engine:
            self.id = registry.stack_id_compose(engine.id, project)
        self.folder = registry.folder(self.id)

    def running(self) -> bool:
        """Whether any container of the project runs."""
        with _engine() as engine:
            return any(c.state in UP for c in engine.containers(self.project))

    def up(
        self, progress: Callable[[str], None], environment: Mapping[str, str] | None = None
    ) -> StackDescriptor:
        """Attach to the project, after bringing it up when it does not run and a file is given.

        Args:
            progress: Told what is being done, one short sentence a time.
            environment: Variables of the compose file, beside those of this process.

        Raises:
            InvalidError: It does not run and there is no file to bring it up with.
            StackError: It did not come up; what came up of it is taken down.
        """
        with self._locked():
            if not self.running() and self._file is not None:
                self._bring_up(self._file, progress, environment or {})
            return self._attach(progress)

    def up_with(self, defects: tuple[str, ...], progress: Callable[[str], None]) -> StackDescriptor:
        """Bring the project up with defects planted: ``DEFECTS`` of its compose file.

        Raises:
            InvalidError: It runs already, or there is no file to bring it up with.
            StackError: It did not come up; what came up of it is taken down.
        """
        if self.running():
            raise InvalidError(
                f"The project {self.project} runs already, and its defects cannot be changed.",
                f"Run `harness stack down -p {self.project}` first.",
            )
        return self.up(progress, {"DEFECTS": ",".join(defects)})

    def down(self, *, volumes: bool = False) -> bool:
        """Forget the project, and take it down if it was brought up here; whether it was known.

        Args:
            volumes: Remove its data too; never of a project that was found running.

        Raises:
            StackError: It could not be taken down.
        """
        with self._locked():
            descriptor, ours = self.folder / registry.FILE, self.folder / OURS
            known = descriptor.exists()
            if ours.exists():
                compose_command.down(self.project, Path(ours.read_text()), volumes=volumes)
                ours.unlink()
            descriptor.unlink(missing_ok=True)
            return known

    def _bring_up(
        self, file: Path, progress: Callable[[str], None], environment: Mapping[str, str]
    ) -> None:
        if not file.is_file():
            raise InvalidError(f"There is no compose file {file}.")
        progress(f"bringing up the project {self.project} of {file}")
        # Before the deed: whatever comes of it is ours to take down.
        write_durably(self.folder / OURS, os.fsencode(file.resolve()))
        try:
            compose_command.up(self.project, file.resolve(), environment)
        except BaseException:
            compose_command.down(self.project, file.resolve())
            (self.folder / OURS).unlink()
            raise

    def _attach(self, progress: Callable[[str], None]) -> StackDescriptor:
        with _engine() as engine:
            stack, remarks = describe(engine, self.project, self._prometheus)
        for remark in remarks:
            progress(remark)
        write_durably(self.folder / registry.FILE, dump(stack).encode())
        return stack

    def _locked(self) -> contextlib.AbstractContextManager[None]:
        lock = private_folder(self.folder) / "up.lock"
        return locked(lock, LOCK_TIMEOUT_S, f"process {os.getpid()}, starting or stopping it")


@contextlib.contextmanager
def _engine() -> Iterator[Engine]:
    engine = docker_engine.connect()
    try:
        yield engine
    finally:
        engine.close()
