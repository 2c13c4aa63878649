"""Which stacks there are: one folder each under ``<state>/stacks``, found and checked here."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from harness import control, docker_engine
from harness.cluster import workloads_in
from harness.descriptor import StackDescriptor
from harness.descriptor import load as parse
from harness.errors import HarnessError, InvalidError, StackError
from harness.files import state_home

ENVIRONMENT = "HARNESS_STACK"
FILE = "stack.json"
PING_TIMEOUT_S = 1.0

START_HINT = "Start one with `harness stack up`."


def stack_id_local(root: Path) -> str:
    """The id of the local stack of a checkout: the same for each path that leads to it."""
    digest = hashlib.sha256(str(root.resolve()).encode()).hexdigest()
    return f"local-{digest[:12]}"


def stack_id_compose(engine_id: str, project: str) -> str:
    """The id of a compose project on one engine; project names are safe in paths."""
    return f"compose-{hashlib.sha256(engine_id.encode()).hexdigest()[:8]}-{project}"


def stack_id_kubernetes(cluster: str, namespace: str) -> str:
    """The id of a namespace of one cluster; names of namespaces are safe in paths."""
    return f"kubernetes-{hashlib.sha256(cluster.encode()).hexdigest()[:8]}-{namespace}"


def folder(stack_id: str) -> Path:
    """Where a stack keeps its files."""
    return state_home() / "stacks" / stack_id


def is_running(stack: StackDescriptor) -> bool:
    """Whether the stack's supervisor answers, or its engine or cluster has something of it.

    A stack with neither is another driver's; that its descriptor is there is all that can
    be said here.
    """
    if stack.project:
        return _has_containers(stack)
    if stack.namespace:
        return _has_workloads(stack)
    if not stack.control:
        return True
    try:
        control.ping(stack.control, PING_TIMEOUT_S)
    except StackError:
        return False
    return True


def _has_containers(stack: StackDescriptor) -> bool:
    """In whatever state: a fault may have stopped them all."""
    try:
        with contextlib.closing(docker_engine.connect(stack.engine_url, stack.engine)) as engine:
            return bool(engine.containers(stack.project))
    except HarnessError:
        return False


def _has_workloads(stack: StackDescriptor) -> bool:
    """In whatever state: a fault may have scaled them all to nothing."""
    from harness import kubernetes_api  # noqa: PLC0415 - slow to import, and seldom needed

    try:
        with contextlib.closing(
            kubernetes_api.connect(stack.context, stack.cluster, stack.kubeconfig)
        ) as cluster:
            return bool(workloads_in(cluster, stack.namespace))
    except HarnessError:
        return False


def load(stack_id: str) -> StackDescriptor:
    """The descriptor of a running stack.

    Raises:
        InvalidError: There is none, or what it describes is not running any more.
    """
    return _load_file(folder(stack_id) / FILE, f"The stack {stack_id!r}")


def described(stack_id: str) -> StackDescriptor | None:
    """How a stack was last described; nobody is asked whether it still runs.

    None when it is not, or not in a way that can be read: who brings it up starts anew then.
    """
    path = folder(stack_id) / FILE
    try:
        return parse(path.read_text(), str(path))
    except (OSError, UnicodeDecodeError, InvalidError):
        return None


def refuse_other_cluster(context: str, namespace: str, cluster: str) -> None:
    """See that a context still leads to the cluster that it led to when it was attached to.

    Raises:
        InvalidError: It leads to another one now.
    """
    for stack in _of_other_clusters(context, namespace, cluster):
        raise InvalidError(
            f"The context {context!r} leads to the cluster {cluster}; when {namespace} was "
            f"attached to, it led to {stack.cluster}. Nothing was touched.",
            "If that is right, say so with `harness stack attach --stack kubernetes "
            f"--context {context} -n {namespace}`.",
        )


def forget_other_clusters(context: str, namespace: str, cluster: str) -> None:
    """Forget where a context led to before: somebody has said that it is right now."""
    for stack in _of_other_clusters(context, namespace, cluster):
        (folder(stack.id) / FILE).unlink(missing_ok=True)


def _of_other_clusters(context: str, namespace: str, cluster: str) -> list[StackDescriptor]:
    names = (path.parent.name for path in (state_home() / "stacks").glob(f"*/{FILE}"))
    stacks = (stack for name in sorted(names) if (stack := described(name)) is not None)
    same = [s for s in stacks if (s.context, s.namespace) == (context, namespace)]
    return [stack for stack in same if stack.cluster != cluster]


def running() -> list[StackDescriptor]:
    """All running stacks, by id; descriptors that are stale or unreadable are left out."""
    found = []
    for path in sorted((state_home() / "stacks").glob(f"*/{FILE}")):
        try:
            found.append(_load_file(path, str(path)))
        except InvalidError:
            continue  # a listing of what runs: `load` says what is wrong with the others
    return found


def select(choice: str | None = None) -> StackDescriptor:
    """The stack that is meant.

    Args:
        choice: Its id or the path of its descriptor; None takes ``HARNESS_STACK``, and
            without that the only running stack.

    Raises:
        InvalidError: Nothing runs, several run and none was chosen, or the chosen one
            is not running; the message names the choices.
    """
    chosen = choice or os.environ.get(ENVIRONMENT)
    if chosen:
        if "/" in chosen or chosen.endswith(".json"):
            return _load_file(Path(chosen), f"The stack at {chosen}")
        return load(chosen)
    stacks = running()
    if len(stacks) == 1:
        return stacks[0]
    if not stacks:
        raise InvalidError("No stack is running.", START_HINT)
    names = ", ".join(stack.id for stack in stacks)
    raise InvalidError(f"Several stacks are running: {names}.", f"Choose one with {ENVIRONMENT}.")


def _load_file(path: Path, name: str) -> StackDescriptor:
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        if not isinstance(error, FileNotFoundError):
            raise InvalidError(f"{name} has a descriptor that cannot be read: {error}.") from error
        raise InvalidError(f"{name} is not running{_choices()}.", START_HINT) from error
    stack = parse(text, str(path))
    if not is_running(stack):
        raise InvalidError(
            f"{name} is not running: its descriptor {path} is stale, and nobody answers.",
            START_HINT,
        )
    return stack


def _choices() -> str:
    names = [path.parent.name for path in sorted((state_home() / "stacks").glob(f"*/{FILE}"))]
    return f"; known are {', '.join(names)}" if names else ""
