"""The system under test of one run: attached to, or brought up and taken down again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from harness import kubernetes_api
from harness.descriptor import StackDescriptor
from harness.faults import targets
from harness.model import StackSpec
from harness.stacks import registry
from harness.stacks.compose import ComposeStack
from harness.stacks.kubernetes import KubernetesStack
from harness.stacks.local import LocalStack
from harness.stacks.plan import BASE
from harness.stacks.reference import table

Tell = Callable[[str], None]


class Target(Protocol):
    """A stack that a run uses."""

    @property
    def id(self) -> str:
        """The stack's id, known before anything is started."""
        ...

    def up(self) -> StackDescriptor:
        """Bring the stack up, or attach to it."""
        ...

    def down(self) -> None:
        """Take the stack down if this run brought it up."""
        ...


def target_of(
    spec: StackSpec,
    defects: tuple[str, ...] | None,
    root: Path,
    tell: Tell,
    broken: Sequence[str] = (),
) -> Target:
    """The target that a scenario's ``stack`` names.

    Args:
        spec: The scenario's stack.
        defects: Defects to plant; None attaches to whatever runs.
        root: What a compose file's path is relative to.
        tell: Told what is being done.
        broken: Fault targets that the stack must have once it is up.

    Raises:
        InvalidError: A compose project cannot be called that.
        FaultError: No container engine answers.
    """
    if spec.driver == "compose":
        return ComposeTarget(spec, defects, root, tell)
    if spec.driver == "kubernetes":
        return KubernetesTarget(spec, defects, root, tell, broken)
    return LocalTarget(defects, tell, spec.options.get("profile", BASE))


class LocalTarget:
    """Attaches to the running local stack, or brings one up and takes it down again.

    Args:
        defects: Defects to plant; a running stack must have the same. None means none in a
            stack of our own, and any in one that runs already.
        progress: Told what is being done.
        profile: The part of the platform that is needed; one that runs already may have more.
    """

    def __init__(
        self, defects: tuple[str, ...] | None, progress: Tell, profile: str = BASE
    ) -> None:
        self._stack = LocalStack()
        self._profile = profile
        self._defects = defects
        self._progress = progress
        self._ours = False

    @property
    def id(self) -> str:
        """The stack's id."""
        return self._stack.id

    def up(self) -> StackDescriptor:
        """Bring the stack up, or attach to it.

        Raises:
            InvalidError: It runs already, without what is needed or with other defects.
        """
        present = self._stack.profile()
        self._ours = present is None
        profile = self._profile
        if present is not None and table.includes(present, profile):
            profile = present
        if self._defects is None and present == profile:
            return registry.load(self._stack.id)
        return self._stack.up(profile=profile, defects=self._defects or (), progress=self._progress)

    def down(self) -> None:
        """Take the stack down if this run brought it up."""
        if self._ours:
            self._stack.down()


class ComposeTarget:
    """Attaches to a running compose project, or brings it up and takes it down again.

    Args:
        spec: The scenario's stack: ``project``, and perhaps ``file`` and ``prometheus``.
        defects: Defects to plant in a project of our own, whose data go with it. None means
            none, and that a project which runs already will do.
        root: What the file's path is relative to.
        progress: Told what is being done.
    """

    def __init__(
        self, spec: StackSpec, defects: tuple[str, ...] | None, root: Path, progress: Tell
    ) -> None:
        file = spec.options.get("file")
        prometheus = spec.options.get("prometheus", "")
        self._stack = ComposeStack(
            spec.options["project"], root / file if file else None, prometheus
        )
        self._defects = defects
        self._progress = progress
        self._ours = False

    @property
    def id(self) -> str:
        """The stack's id."""
        return self._stack.id

    def up(self) -> StackDescriptor:
        """Attach to the project, which is brought up first when it does not run.

        Raises:
            InvalidError: It runs already, and defects can be planted no more.
        """
        self._ours = not self._stack.running()
        if self._defects is None:
            return self._stack.up(self._progress)
        return self._stack.up_with(self._defects, self._progress)

    def down(self) -> None:
        """Take the project down if this run brought it up."""
        if self._ours:
            self._stack.down(volumes=self._defects is not None)


class KubernetesTarget:
    """Attaches to a namespace, or deploys the platform into it and takes it down again.

    Args:
        spec: The scenario's stack: ``context``, ``namespace``, and perhaps ``overlay`` and
            ``prometheus``.
        defects: Defects to plant in a platform of our own. None means none, and that a namespace
            which has workloads already will do.
        root: What the overlay's path is relative to.
        progress: Told what is being done.
        broken: Fault targets that it must have; the lifecycle knows those that have a name in the
            descriptor, and only the API server knows labels and nodes.
    """

    def __init__(
        self,
        spec: StackSpec,
        defects: tuple[str, ...] | None,
        root: Path,
        progress: Tell,
        broken: Sequence[str] = (),
    ) -> None:
        overlay = spec.options.get("overlay")
        self._stack = KubernetesStack(
            spec.options["context"],
            spec.options["namespace"],
            root / overlay if overlay else None,
            spec.options.get("prometheus", ""),
        )
        self._defects = defects
        self._progress = progress
        self._broken = broken
        self._ours = False

    @property
    def id(self) -> str:
        """The stack's id."""
        return self._stack.id

    def up(self) -> StackDescriptor:
        """Attach to the namespace, to which the platform is deployed first when it is empty.

        Raises:
            InvalidError: It has workloads already, and defects can be planted no more; or it has
                not what is to be broken.
        """
        self._ours = not self._stack.running()
        if self._defects is None:
            stack = self._stack.up(self._progress)
        else:
            stack = self._stack.up_with(self._defects, self._progress)
        here = kubernetes_api.connect(stack.context, stack.cluster, stack.kubeconfig)
        with contextlib.closing(here) as cluster:
            targets.require(cluster, stack.namespace, self._broken)
        return stack

    def down(self) -> None:
        """Take down what this run deployed."""
        if self._ours:
            self._stack.down()
