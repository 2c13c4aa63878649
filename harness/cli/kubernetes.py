"""What a run on Kubernetes is checked for before anything is written, and what keeps it safe."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterable, Sequence

from harness import cluster_guards, experiment, kubernetes_api, rights, role_files
from harness.cli.project import root_of
from harness.cluster import Cluster, ForbiddenError, workloads_in
from harness.cluster_lease import holder_of
from harness.cluster_safety import ClusterSafety
from harness.descriptor import require_targets
from harness.errors import FaultError, InvalidError
from harness.experiment import Step
from harness.faults import targets
from harness.guard_file import guards_of
from harness.guardian_manifests import IMAGE
from harness.model import Scenario
from harness.namespace_hold import NAMESPACES, NamespaceHold
from harness.namespace_lease import Tell
from harness.ports import Faults
from harness.safety import Safety
from harness.stacks import kubernetes_namespace, registry
from harness.store import RunFolder
from harness.undo import UndoLog

DRIVER = "kubernetes"


def kinds_of(steps: Iterable[Step]) -> tuple[str, ...]:
    """The kinds of faults that an experiment injects."""
    return tuple(sorted({step.fault for step in steps if step.fault and step.func == "inject"}))


def connect(scenario: Scenario) -> Cluster:
    """The cluster that a scenario names, and no other.

    Raises:
        InvalidError: There is no such context, it may do nothing, or it leads to another cluster
            than the scenario, the guards or an earlier run says.
        FaultError: No API server answers.
    """
    spec = scenario.stack
    context, namespace = spec.options["context"], spec.options["namespace"]
    try:
        cluster = kubernetes_api.connect(context, kubeconfig=os.environ.get("KUBECONFIG", ""))
    except ForbiddenError as error:
        raise InvalidError(
            f"The context {context!r} may not even ask which cluster this is. {error}",
            f"Let somebody apply {role_files.RUN_ROLE} and bind what is in it to you; nothing was "
            "touched.",
        ) from error
    wanted = spec.options.get("cluster", "")
    try:
        if wanted not in ("", cluster.uid):
            raise InvalidError(
                f"The context {context!r} leads to the cluster {cluster.uid}, and `stack.cluster` "
                f"says {wanted}: nothing was touched.",
                "Correct the kubeconfig, or the scenario if that cluster is meant.",
            )
        cluster_guards.refuse_uid(guards_of(root_of(scenario)), context, cluster.uid)
        registry.refuse_other_cluster(context, namespace, cluster.uid)
    except BaseException:
        cluster.close()
        raise
    return cluster


def connect_to(stack_id: str) -> Cluster:
    """The cluster of a stack that this run has attached to, and no other.

    Raises:
        InvalidError: There is no such stack.
        FaultError: Its context leads to another cluster now, or no API server answers.
    """
    stack = registry.described(stack_id)
    if stack is None:
        raise InvalidError(
            f"The stack {stack_id!r} is not described on this machine any more.",
            "`harness stack attach` describes it anew.",
        )
    return kubernetes_api.connect(stack.context, stack.cluster, stack.kubeconfig)


def preflight(scenario: Scenario, steps: Sequence[Step]) -> tuple[str, ...]:
    """Everything that can be known of the cluster before anything is written.

    Args:
        scenario: What is to be run.
        steps: Its experiment.

    Returns:
        Warnings; none for another driver.

    Raises:
        InvalidError: Wrong context, cluster or namespace, rights are missing, or there is no
            such target.
        FaultError: No API server answers.
    """
    if scenario.stack.driver != DRIVER:
        return ()
    options = scenario.stack.options
    namespace, attaches = options["namespace"], "overlay" not in options
    with contextlib.closing(connect(scenario)) as cluster:
        there = _exists(cluster, namespace)
        if attaches and not there:
            raise InvalidError(
                f"There is no namespace {namespace!r} in the cluster of the context "
                f"{cluster.context!r}; nothing was touched.",
                "Correct `stack.namespace`, or name an overlay to deploy with `stack.overlay`.",
            )
        warnings = rights.review(
            cluster,
            namespace,
            kinds_of(steps),
            load_inside=scenario.load.inside is not None,
        )
        if attaches or (there and workloads_in(cluster, namespace)):
            stack, _ = kubernetes_namespace.describe(cluster, namespace)
            wanted = experiment.targets(tuple(steps))
            require_targets(stack, wanted)
            targets.require(cluster, namespace, wanted)
        return warnings


def safety_of(
    scenario: Scenario, stack_id: str, folder: RunFolder, steps: Sequence[Step], tell: Tell
) -> Faults:
    """What keeps the stack safe while a run is on it.

    Args:
        scenario: What is run.
        stack_id: On which stack.
        folder: The run's.
        steps: Its experiment.
        tell: Told what is being done.

    Raises:
        InvalidError: See :func:`preflight`.
        FaultError: No API server answers.
    """
    inner = Safety(stack_id, folder.run_id, folder.path)
    if scenario.stack.driver != DRIVER:
        return inner
    options, kinds = scenario.stack.options, kinds_of(steps)
    for warning in preflight(scenario, steps):
        tell(f"{scenario.name}: warning: {warning}")
    with contextlib.closing(connect(scenario)) as cluster:
        uid = cluster.uid
    if registry.stack_id_kubernetes(uid, options["namespace"]) != stack_id:
        raise InvalidError(
            f"The context {options['context']!r} leads to the cluster {uid} now, and to another "
            "one when this run began: nothing was touched.",
            "Run it again once the kubeconfig stays as it is.",
        )
    context, kubeconfig = options["context"], os.environ.get("KUBECONFIG", "")
    hold = NamespaceHold(
        lambda: kubernetes_api.connect(context, uid, kubeconfig),
        options["namespace"],
        holder_of(folder.run_id, socket.gethostname()),
        tell=tell,
        image=options.get("guardian_image", IMAGE),
        make="overlay" in options,
    )
    place = {"context": context, "kubeconfig": kubeconfig, "cluster": uid}
    return ClusterSafety(inner, hold, kinds, UndoLog(stack_id), place, tell)


def _exists(cluster: Cluster, namespace: str) -> bool:
    """Who may not ask whether it is there is told by the review of rights."""
    try:
        return cluster.get(f"{NAMESPACES}/{namespace}") is not None
    except FaultError:
        return True
