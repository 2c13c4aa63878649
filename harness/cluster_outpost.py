"""The way of an injector to the guardian inside the cluster, whoever posted it there.

An injector is another process than the run: it finds the guardian by the run's Lease, and nothing
is injected unless that Lease is the run's own, now.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harness import cluster_copy, cluster_lease, kubernetes_api
from harness.cluster import Cluster
from harness.cluster_lease import Lease
from harness.descriptor import StackDescriptor
from harness.errors import FaultError
from harness.guardian_manifests import entries_path
from harness.guardian_post import is_ready
from harness.namespace_hold import NamespaceHold
from harness.undo import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterOutpost:
    """One run's guardian in its namespace.

    Args:
        stack: The stack, which is a namespace.
        holder: What the run calls itself in the Lease.
    """

    stack: StackDescriptor
    holder: str

    def place(self, kind: str, verb: str) -> Mapping[str, str]:
        """Where the copy of an entry goes; empty for what is not undone in the cluster.

        Raises:
            FaultError: The run does not hold the namespace, or no guardian there undoes the kind.
        """
        if not cluster_copy.is_kept(verb):
            return {}
        stack = self.stack
        with self._cluster() as cluster:
            name, _, kinds = self._lease(cluster).guardian.partition(" ")
            if not name or kind not in kinds.split(","):
                raise FaultError(
                    f"No guardian in the namespace {stack.namespace} may undo {kind}: nothing is "
                    "injected.",
                    f"It was posted for {kinds or 'nothing'}, by the experiment as it was read.",
                )
            if not is_ready(cluster, stack.namespace, name):
                raise FaultError(
                    f"The guardian {name} in the namespace {stack.namespace} is not ready: nothing "
                    "is injected.",
                    f"`kubectl -n {stack.namespace} describe job {name}` says why.",
                )
        return {
            "context": stack.context,
            "kubeconfig": stack.kubeconfig,
            "cluster": stack.cluster,
            "path": entries_path(stack.namespace, name),
        }

    def keep(self, entry: Entry) -> None:
        """Put the copy of an entry into the cluster.

        Raises:
            FaultError: It could not be written: nothing may be injected.
        """
        with self._cluster() as cluster:
            cluster_copy.write(cluster, entry)

    def require(self) -> None:
        """See that the run holds the namespace: its guardian has not healed on its behalf.

        Raises:
            FaultError: It does not.
        """
        with self._cluster() as cluster:
            self._lease(cluster)

    def _lease(self, cluster: Cluster) -> Lease:
        raw = cluster.get(cluster_lease.path(self.stack.namespace))
        lease = None if raw is None else cluster_lease.parse(raw)
        if lease is None or lease.holder != self.holder:
            by = (lease.holder if lease else "") or "nobody"
            raise FaultError(
                f"The namespace {self.stack.namespace} is held by {by}, not by {self.holder}: "
                "nothing is injected."
            )
        return lease

    @contextlib.contextmanager
    def _cluster(self) -> Iterator[Cluster]:
        stack = self.stack
        cluster = kubernetes_api.connect(stack.context, stack.cluster, stack.kubeconfig)
        try:
            yield cluster
        finally:
            cluster.close()


class OwnOutpost:
    """That of a process which injects on its own: it posts a guardian when a fault needs one.

    Args:
        hold: Its hold on the namespace.
        found: The way to whoever is posted there.
    """

    def __init__(self, hold: NamespaceHold, found: ClusterOutpost) -> None:
        self._hold = hold
        self._found = found
        self._posted_for: set[str] = set()

    def place(self, kind: str, verb: str) -> Mapping[str, str]:
        """Where the copy of an entry goes; empty for what is not undone in the cluster.

        Raises:
            FaultError: The namespace is not held, or no guardian there may undo the kind.
            InfrastructureError: It did not come alive.
        """
        if cluster_copy.is_kept(verb) and kind not in self._posted_for:
            self._hold.post((*self._posted_for, kind))
            self._posted_for.add(kind)
        return self._found.place(kind, verb)

    def keep(self, entry: Entry) -> None:
        """Put the copy of an entry into the cluster.

        Raises:
            FaultError: It could not be written: nothing may be injected.
        """
        self._found.keep(entry)

    def require(self) -> None:
        """See that this process holds the namespace.

        Raises:
            FaultError: It does not.
        """
        if problem := self._hold.problem():
            raise FaultError(f"Nothing is injected: {problem}.")
        self._found.require()
