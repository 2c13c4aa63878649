"""What a run has in a namespace while it lives: the Lease, and a guardian for its faults."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterable, Mapping

from harness import cluster_copy, guardian_post
from harness.cluster import Cluster, workloads_in
from harness.errors import HarnessError, InvalidError
from harness.guardian_manifests import IMAGE, Guard
from harness.guardian_post import SILENT_FOR_S, Heartbeat
from harness.guardian_rights import UNDOING, undoing
from harness.namespace_lease import OURS, Connect, NamespaceLease, Tell
from harness.undo import UndoLog, Unreadable

NAMESPACES = "/api/v1/namespaces"


class NamespaceHold:
    """One run's hold on one namespace.

    Args:
        connect: Opens a connection to the cluster.
        namespace: Its name.
        holder: What the run calls itself.
        tell: Told what is being done.
        image: Of the guardian.
        make: Whether to make the namespace where there is none.
    """

    def __init__(
        self,
        connect: Connect,
        namespace: str,
        holder: str,
        *,
        tell: Tell,
        image: str = IMAGE,
        make: bool = False,
    ) -> None:
        self._connect = connect
        self._namespace = namespace
        self._tell = tell
        self._image = image
        self._make = make
        self._made = ""
        self.holder = holder
        self._lease = NamespaceLease(connect, namespace, holder)
        self._posted: list[tuple[Guard, Heartbeat]] = []

    def take(self, *, over_guardian: bool = False) -> None:
        """Take the namespace, which is made first if need be.

        Args:
            over_guardian: From a guardian too that still undoes what its run has left.

        Raises:
            InvalidError: There is none, or a living run has it.
            FaultError: The API server refuses or does not answer.
        """
        with self._cluster() as cluster:
            self._see_namespace(cluster)
        self._lease.take(self._tell, over_guardian=over_guardian)

    def adopt(self, log: UndoLog, place: Mapping[str, str]) -> tuple[Unreadable, ...]:
        """Take over what runs on other machines have left there, as entries of this machine's log.

        Returns:
            What is there and cannot be read.

        Raises:
            FaultError: The API server refuses or does not answer.
            StoreError: The disk refuses.
        """
        with self._cluster() as cluster:
            entries, unreadable = cluster_copy.found(cluster, self._namespace, place)
        known = {entry.id: entry for entry in log.snapshot().entries}
        for entry in entries:
            if entry.id not in known:
                self._tell(f"{entry.kind} on {entry.target} was left by {entry.run_id}")
                log.write(entry)
            elif not known[entry.id].open:
                cluster_copy.mark_healed(known[entry.id])
        return unreadable

    def forget_others(self) -> None:
        """Take away the guardians of runs that are gone, when nothing of theirs is left.

        Raises:
            FaultError: The API server refuses or does not answer.
        """
        with self._cluster() as cluster:
            guardian_post.remove_others(cluster, self._namespace, self._tell)

    def post(self, kinds: Iterable[str]) -> str:
        """Post a guardian for these kinds of faults and see it alive.

        Returns:
            Its name; empty where none of them leaves anything to undo, and none was posted.

        Raises:
            FaultError: The API server refuses or does not answer.
            InfrastructureError: The guardian did not come alive.
        """
        undone = sorted({kind for kind in kinds if kind in UNDOING})
        if not undone:
            return ""
        guard = Guard(
            name=f"harness-guardian-{secrets.token_hex(3)}",
            namespace=self._namespace,
            holder=self.holder,
            undoing=undoing(undone),
            image=self._image,
        )
        with self._cluster() as cluster:
            heartbeat = guardian_post.post(cluster, guard, self._tell)
        self._posted.append((guard, heartbeat))
        self._lease.name_guardian(f"{guard.name} {','.join(undone)}", self._listen)
        return guard.name

    def problem(self) -> str:
        """Why nothing more may be injected, empty while all is well."""
        if lost := self._lease.problem():
            return lost
        for guard, heartbeat in self._posted:
            silent_s = heartbeat.silent_for_s(time.monotonic())
            if silent_s > SILENT_FOR_S:
                return f"the guardian {guard.name} has said nothing for {silent_s:.0f} s"
        return ""

    def end(self, *, well: bool) -> None:
        """Take away what was put there; where something is left, leave it to the guardian.

        What the API server refuses now is told: it goes by itself within hours, or with the next
        run or recovery there.
        """
        try:
            with self._cluster() as cluster:
                for guard, _ in self._posted if well else ():
                    guardian_post.remove(cluster, guard)
                self._lease.release(well=well)
                if well and self._made and not workloads_in(cluster, self._namespace):
                    cluster.delete(f"{NAMESPACES}/{self._namespace}", self._made)
        except HarnessError as error:
            self._tell(f"warning: {error} What is left in {self._namespace} goes later.")

    def _listen(self, cluster: Cluster) -> None:
        for _, heartbeat in self._posted:
            heartbeat.look(cluster, time.monotonic())

    def _see_namespace(self, cluster: Cluster) -> None:
        path = f"{NAMESPACES}/{self._namespace}"
        if cluster.get(path) is not None:
            return
        if not self._make:
            raise InvalidError(
                f"There is no namespace {self._namespace!r} in the cluster of the context "
                f"{cluster.context!r}.",
                f"`kubectl --context {cluster.context} get namespaces` lists those that there are.",
            )
        made = cluster.create(NAMESPACES, {"metadata": {"name": self._namespace, "labels": OURS}})
        self._made = str(made["metadata"]["uid"])

    def _cluster(self) -> contextlib.closing[Cluster]:
        return contextlib.closing(self._connect())
