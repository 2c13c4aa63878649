"""The host side of a run as a process of its own, to be killed: it breaks three things and waits.

``python -m tests.cluster_host STATE_OF_THE_TEST``; the environment names the kubeconfig.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import closing
from pathlib import Path

from harness import cluster_labelled, cluster_lease, kubernetes_api, namespace_lease
from harness.cluster_paths import namespaced
from harness.cluster_safety import ClusterSafety
from harness.descriptor import StackDescriptor, dump
from harness.faults import cordon, injection, stop
from harness.faults.injection import Injection
from harness.faults.session import EPOCH, RUN_ID, STACK, session
from harness.files import private_folder, write_durably
from harness.namespace_hold import NamespaceHold
from harness.safety import Safety
from harness.stacks import registry
from harness.undo import UndoLog

CONTEXT, NAMESPACE, RUN = "fake", "shop", "run-1"
KINDS = ("stop", "cordon", "node_pressure")


def quick() -> None:
    """A Lease that goes stale in four seconds: the proportions are those of a real one."""
    cluster_lease.DURATION_S = 4  # type: ignore[misc]
    namespace_lease.RENEW_EVERY_S = 0.3  # type: ignore[misc]


def stack_of(cluster: str, kubeconfig: str = "") -> StackDescriptor:
    return StackDescriptor(
        id=registry.stack_id_kubernetes(cluster, NAMESPACE),
        driver="kubernetes",
        base_url="",
        context=CONTEXT,
        kubeconfig=kubeconfig or os.environ["KUBECONFIG"],
        cluster=cluster,
        namespace=NAMESPACE,
    )


def safety_of(stack: StackDescriptor, folder: Path, run_id: str = RUN) -> ClusterSafety:
    """As the command wires it."""
    import socket

    def connect() -> kubernetes_api.KubernetesApi:
        return kubernetes_api.connect(stack.context, stack.cluster, stack.kubeconfig)

    holder = cluster_lease.holder_of(run_id, socket.gethostname())
    hold = NamespaceHold(connect, NAMESPACE, holder, tell=print)
    place = {"context": CONTEXT, "kubeconfig": stack.kubeconfig, "cluster": stack.cluster}
    inner = Safety(stack.id, run_id, folder)
    return ClusterSafety(inner, hold, KINDS, UndoLog(stack.id), place, print)


def stress() -> None:
    """A pod beside the others, as the fault kind makes it."""
    current = session()
    stack, collection = current.stack, namespaced(NAMESPACE, "pods")
    with closing(kubernetes_api.connect(stack.context, stack.cluster, stack.kubeconfig)) as cluster:
        fault = Injection(
            kind="node_pressure",
            target="store",
            verb="cluster.delete_labelled",
            arguments={
                "context": stack.context,
                "kubeconfig": stack.kubeconfig,
                "cluster": stack.cluster,
                "collection": collection,
                "label": "${id}",
            },
            look="labelled_there",
            before="nothing",
        )
        injection.inject(
            current,
            fault,
            lambda entry: (
                cluster.create(
                    collection,
                    {
                        "metadata": cluster_labelled.metadata(entry.id),
                        "spec": {"containers": [{"name": "stress", "image": "stress"}]},
                    },
                )
                and None
            ),
        )


def main(folder: Path) -> None:
    quick()
    with closing(kubernetes_api.connect(CONTEXT)) as cluster:
        stack = stack_of(cluster.uid)
    path = private_folder(registry.folder(stack.id)) / registry.FILE
    write_durably(path, dump(stack).encode())
    safety = safety_of(stack, folder)
    assert safety.prepare().clean
    os.environ |= {RUN_ID: RUN, EPOCH: str(safety.epoch()), STACK: stack.id}
    stop.inject("api")
    cordon.inject("node/node2")
    stress()
    assert safety.guarded()
    sys.stdout.write("broken\n")
    sys.stdout.flush()
    time.sleep(600)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
