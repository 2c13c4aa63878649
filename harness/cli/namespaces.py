"""Verbs on a namespace of a Kubernetes cluster."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness import cluster_copy, cluster_guards, kubeconfig, kubernetes_api
from harness.cli import healing, stacks, words
from harness.cluster import Cluster
from harness.cluster_lease import holder_of
from harness.errors import ExitCode, InvalidError
from harness.files import project_root
from harness.guard_file import guards_of
from harness.guards import Guards
from harness.namespace_hold import NAMESPACES, NamespaceHold
from harness.stack_guards import refuse_namespace
from harness.stacks import kind, registry
from harness.stacks.kubernetes import KubernetesStack
from harness.stacks.kubernetes_namespace import DRIVER
from harness.undo import UndoLog

#: What `--kind` alone is about: the namespace of the scenarios of the control plane.
KIND_NAMESPACE, KIND_OVERLAY = "sentinel", Path("stack/kubernetes/control")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A namespace that was named in full: the current context is somebody else's choice."""

    context: str
    namespace: str

    @property
    def kubeconfig(self) -> str:
        return os.environ.get("KUBECONFIG", "")

    def connect(self, uid: str = "") -> Cluster:
        return kubernetes_api.connect(self.context, uid, self.kubeconfig)


def up(
    context: str | None,
    namespace: str | None,
    overlay: Path | None,
    defects: tuple[str, ...],
    output: str,
) -> int:
    """Deploy to a namespace, or attach to it, and say where everything answers.

    Raises:
        InvalidError: It is not named in full, or the guards do not allow it.
    """
    place = _named(context, namespace)
    guards = _guarded(place)
    kubernetes = KubernetesStack(place.context, place.namespace, overlay)
    cluster_guards.refuse_uid(guards, place.context, kubernetes.cluster)
    registry.refuse_other_cluster(place.context, place.namespace, kubernetes.cluster)
    deploys = overlay is not None and not kubernetes.running()
    with _held(place, kubernetes.cluster, make=True) if deploys else contextlib.nullcontext():
        stack = kubernetes.up_with(defects, words.note) if defects else kubernetes.up(words.note)
    return stacks.told(stack, f"stack {stack.id} is up", output)


def on_kind(
    driver: str, context: str | None, namespace: str | None, overlay: Path | None
) -> tuple[str, str, Path | None]:
    """See to a kind cluster of this machine, and say where in it the stack is to come up.

    Args:
        driver: The stack's driver.
        context: Its context, where one is named.
        namespace: Its namespace; without it and an overlay the control plane of the reference
            platform is meant, in the namespace of its scenarios.
        overlay: What to deploy there.

    Returns:
        Context, namespace and overlay in full.

    Raises:
        InvalidError: What is named is no kind cluster of ours, the guards do not allow it, or
            this machine cannot have one; nothing was made.
        StackError: The cluster, or the image in it, could not be made.
    """
    if driver != DRIVER:
        raise InvalidError(
            f"--kind makes a Kubernetes cluster, and the driver is {driver}.",
            f"Write `--stack {DRIVER} --kind`, or leave --kind out.",
        )
    if context not in (None, kind.CONTEXT):
        raise InvalidError(
            f"--kind is the cluster of the context {kind.CONTEXT}, and --context says {context}.",
            "Leave one of the two out.",
        )
    if namespace is None and overlay is None:
        namespace, overlay = KIND_NAMESPACE, project_root() / KIND_OVERLAY
    place = _named(kind.CONTEXT, namespace)
    refuse_namespace(guards_of(Path.cwd()), place.context, place.namespace)
    kind.ensure(project_root(), words.note)
    return place.context, place.namespace, overlay


def attach(context: str | None, namespace: str | None, output: str) -> int:
    """Attach to a namespace as it is, in whichever cluster the context leads to now.

    Raises:
        InvalidError: It is not named in full, the guards do not allow it, or nothing is in it.
    """
    place = _named(context, namespace)
    guards = _guarded(place)
    kubernetes = KubernetesStack(place.context, place.namespace)
    cluster_guards.refuse_uid(guards, place.context, kubernetes.cluster)
    stack = kubernetes.up(words.note)
    registry.forget_other_clusters(place.context, place.namespace, stack.cluster)
    where = f"{place.namespace} of {place.context}"
    return stacks.told(stack, f"attached to {where}: stack {stack.id}", output)


def down(context: str | None, namespace: str | None) -> int:
    """Take down what was deployed from here, or forget what was only attached to.

    Raises:
        InvalidError: It is not named in full, or a living run has it.
    """
    place = _named(context, namespace)
    kubernetes = KubernetesStack(place.context, place.namespace)
    takes_down = kubernetes.deployed and _is_there(place, kubernetes.cluster)
    with _held(place, kubernetes.cluster, make=False) if takes_down else contextlib.nullcontext():
        known = kubernetes.down()
    words.say(f"{place.namespace} is let go" if known else f"{place.namespace} was not attached to")
    if place.context == kind.CONTEXT:
        words.say(f"the kind cluster {kind.CLUSTER} stays; `{kind.DELETE}` takes it away")
    return ExitCode.PASS


def list_faults(context: str | None, namespace: str | None, output: str) -> int:
    """Print what is not proven healed, as it stands in the namespace itself."""
    place = _named(context, namespace)
    with contextlib.closing(place.connect()) as cluster:
        here = {"context": place.context, "kubeconfig": place.kubeconfig, "cluster": cluster.uid}
        stack_id = registry.stack_id_kubernetes(cluster.uid, place.namespace)
        entries, unreadable = cluster_copy.found(cluster, place.namespace, here)
    return healing.tell_faults(healing.rows_of(stack_id, entries, unreadable), output)


def recover(context: str | None, namespace: str | None, output: str) -> int:
    """Undo what any run, on whichever machine, has left in a namespace.

    Raises:
        InvalidError: It is not named in full, or a living run has it, which heals itself.
    """
    place = _named(context, namespace)
    with contextlib.closing(place.connect()) as cluster:
        uid = cluster.uid
    stack_id = registry.stack_id_kubernetes(uid, place.namespace)
    log = UndoLog(stack_id)
    hold = _hold(place, uid)
    hold.take(over_guardian=True)
    clean = False
    try:
        here = {"context": place.context, "kubeconfig": place.kubeconfig, "cluster": uid}
        unreadable = hold.adopt(log, here)
        for odd in unreadable:
            words.say(f"UNREADABLE {odd.path}: {odd.problem}")
        code = healing.recover_all(stack_id, output)
        clean = not unreadable and code == ExitCode.PASS
        if clean:
            hold.forget_others()
    finally:
        hold.end(well=clean)
    return code if clean else ExitCode.DIRTY


def _hold(place: _Place, uid: str, *, make: bool = False) -> NamespaceHold:
    """The hold of this command, which is no run."""
    return NamespaceHold(
        lambda: place.connect(uid),
        place.namespace,
        holder_of(f"command-{secrets.token_hex(3)}", socket.gethostname()),
        tell=words.note,
        make=make,
    )


def _is_there(place: _Place, uid: str) -> bool:
    with contextlib.closing(place.connect(uid)) as cluster:
        return cluster.get(f"{NAMESPACES}/{place.namespace}") is not None


def _guarded(place: _Place) -> Guards:
    """The guards of this folder, which allow the place by all names that the kubeconfig gives it.

    Raises:
        InvalidError: It, its context or its cluster is beyond one of them.
    """
    guards = guards_of(Path.cwd())
    refuse_namespace(guards, place.context, place.namespace)
    cluster_guards.refuse_entry(guards, kubeconfig.entry_of(place.context, place.kubeconfig))
    return guards


@contextlib.contextmanager
def _held(place: _Place, uid: str, *, make: bool) -> Iterator[None]:
    """Hold the namespace while it is changed: no run of another machine starts meanwhile.

    Raises:
        InvalidError: A living run has it.
        FaultError: The context leads to another cluster than this one now.
    """
    hold = _hold(place, uid, make=make)
    hold.take()
    try:
        yield
    finally:
        hold.end(well=True)


def _named(context: str | None, namespace: str | None) -> _Place:
    if not context or not namespace:
        raise InvalidError(
            "A namespace is meant by --context and --namespace together, never by what is current.",
            "Say both: `--context staging -n shop`; `kubectl config get-contexts` lists contexts.",
        )
    return _Place(context=context, namespace=namespace)
