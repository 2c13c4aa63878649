"""The guardian inside the cluster of a session's stack: that of its run, or of its own."""

from __future__ import annotations

import atexit
import logging
import socket

from harness import kubernetes_api
from harness.cluster import Cluster
from harness.cluster_lease import holder_of
from harness.cluster_outpost import ClusterOutpost, OwnOutpost
from harness.descriptor import StackDescriptor
from harness.errors import FaultError
from harness.namespace_hold import NamespaceHold
from harness.undo import UndoLog


def of_run(stack: StackDescriptor, run_id: str) -> ClusterOutpost:
    """The way to the guardian that the run has posted."""
    return ClusterOutpost(stack=stack, holder=holder_of(run_id, socket.gethostname()))


def of_process(stack: StackDescriptor, run_id: str, log: UndoLog) -> OwnOutpost:
    """Take the namespace until this process ends, and what others have left there.

    Raises:
        InvalidError: A living run has it.
        FaultError: What is there cannot be read, or the API server does not answer.
    """
    found = of_run(stack, run_id)
    place = {name: getattr(stack, name) for name in ("context", "kubeconfig", "cluster")}

    def connect() -> Cluster:
        return kubernetes_api.connect(stack.context, stack.cluster, stack.kubeconfig)

    hold = NamespaceHold(connect, stack.namespace, found.holder, tell=logging.info)
    hold.take()
    atexit.register(lambda: hold.end(well=not log.snapshot().open))
    if unreadable := hold.adopt(log, place):
        raise FaultError(f"{unreadable[0].path} cannot be read: {unreadable[0].problem}.")
    return OwnOutpost(hold, found)
