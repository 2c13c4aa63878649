"""The run's hold on a namespace: its Lease, taken by compare-and-swap and renewed by a thread."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

from harness import cluster_lease
from harness.cluster import Cluster, ConflictError
from harness.cluster_lease import Lease, Standing, Watched
from harness.errors import HarnessError, InvalidError

RENEW_EVERY_S = 3.0
#: Sooner than anybody else may conclude that the lease is stale.
LOST_AFTER_S = 10.0
LOOK_EVERY_S = 1.0
TAKE_WITHIN_S = 60.0
#: What is made by the harness and nobody else is deleted by it too.
OURS = {"app.kubernetes.io/managed-by": "reliability-harness"}

Connect = Callable[[], Cluster]
Tell = Callable[[str], None]


class NamespaceLease:
    """One run's Lease on one namespace.

    Args:
        connect: Opens a connection to the cluster: the renewing thread has its own.
        namespace: Name of the namespace, which is there.
        holder: What this run calls itself there, such as ``run 3f2a on build-7``.
        pause: Waits some seconds between two looks.
    """

    def __init__(
        self,
        connect: Connect,
        namespace: str,
        holder: str,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._connect = connect
        self._namespace = namespace
        self._path = cluster_lease.path(namespace)
        self.holder = holder
        self._pause = pause
        self._version = ""
        self._problem = ""
        self._renewed_at = 0.0
        self._beside: Callable[[Cluster], None] | None = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def take(self, tell: Tell, *, over_guardian: bool = False) -> None:
        """Take the Lease, from a holder gone stale if need be, and renew it from now on.

        Args:
            tell: Told when a foreign holder has to be watched.
            over_guardian: Take it from a guardian that lives too, which stands aside then: for
                whoever heals what it cannot.

        Raises:
            InvalidError: A living run has it; nothing was written.
            FaultError: The API server refuses or does not answer.
        """
        with contextlib.closing(self._connect()) as cluster:
            self._take(cluster, tell, over_guardian=over_guardian)
        self._renewed_at = time.monotonic()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._thread.start()

    def problem(self) -> str:
        """Why it is not ours any more, empty while it is as far as is known here.

        The clock stands still while the machine sleeps: who is about to break something reads
        the Lease itself.
        """
        if self._problem:
            return self._problem
        silent_s = time.monotonic() - self._renewed_at
        if silent_s > LOST_AFTER_S:
            return f"the Lease on {self._namespace} could not be renewed for {silent_s:.0f} s"
        return ""

    def name_guardian(self, note: str, beside: Callable[[Cluster], None]) -> None:
        """Write into it which guardian watches over this run, and what that may undo.

        Args:
            note: The guardian's name and the kinds of faults.
            beside: Done after each renewal from now on: looks whether that guardian lives.

        Raises:
            FaultError: The API server refuses or does not answer.
        """
        self._beside = beside
        change = {"metadata": {"annotations": {cluster_lease.GUARDIAN: note}}}
        with contextlib.closing(self._connect()) as cluster:
            cluster.patch(self._path, change)

    def release(self, *, well: bool) -> None:
        """Give it back; what is not well is left for the guardian, who sees it given up.

        Raises:
            FaultError: The API server refuses or does not answer.
        """
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        with contextlib.closing(self._connect()) as cluster:
            raw = cluster.get(self._path)
            lease = None if raw is None else cluster_lease.parse(raw)
            if lease is None or lease.holder != self.holder:
                return
            if well:
                cluster.delete(self._path, lease.uid)
            else:
                cluster.patch(self._path, cluster_lease.given_back(lease.version))

    def _take(self, cluster: Cluster, tell: Tell, *, over_guardian: bool) -> None:
        known: Watched | None = None
        give_up_at = time.monotonic() + TAKE_WITHIN_S
        while time.monotonic() < give_up_at:
            raw = cluster.get(self._path)
            lease = None if raw is None else cluster_lease.parse(raw)
            at = time.monotonic()
            over = over_guardian and lease is not None and cluster_lease.is_guardian(lease.holder)
            if lease is not None:
                if known is None and lease.holder not in ("", self.holder):
                    tell(self._taking_over(lease) if over else self._asked(lease))
                known = cluster_lease.watched(known, lease, at)
            seen = cluster_lease.standing(lease, self.holder, known, at)
            if seen is Standing.LIVING and lease is not None and not over:
                raise self._refusal(lease, cluster.context)
            if over or seen is not Standing.SILENT:
                with contextlib.suppress(ConflictError):  # somebody was quicker: look again
                    self._write(cluster, lease)
                    return
                continue
            self._pause(LOOK_EVERY_S)
        raise InvalidError(
            f"The Lease {cluster_lease.NAME} of {self._namespace} could not be had within "
            f"{TAKE_WITHIN_S:g} s: others take it all the time, or its holder may still live "
            "(it is stale only when nobody has renewed it for the length that stands in it).",
            "Nothing was touched. Look at it with "
            f"`kubectl -n {self._namespace} get lease {cluster_lease.NAME} -o yaml`.",
        )

    def _write(self, cluster: Cluster, lease: Lease | None) -> None:
        now = time.time()
        if lease is None:
            body = cluster_lease.document(cluster_lease.NAME, self.holder, now, OURS)
            kept = cluster.create(self._path.rpartition("/")[0], body)
        else:
            kept = cluster.patch(self._path, cluster_lease.taken(self.holder, now, lease.version))
        self._version = cluster_lease.parse(kept).version

    def _asked(self, lease: Lease) -> str:
        return (
            f"the namespace {self._namespace} is held by {lease.holder}; "
            f"watching for up to {lease.duration_s:g} s whether that still lives"
        )

    def _taking_over(self, lease: Lease) -> str:
        return f"taking the namespace {self._namespace} over from {lease.holder}"

    def _refusal(self, lease: Lease, context: str) -> InvalidError:
        age = cluster_lease.age_in_words(lease, time.time())
        step = "Wait for that run to end, or stop it where it runs."
        if cluster_lease.is_guardian(lease.holder):
            step = (
                "It undoes what that run has left. "
                f"`harness recover --context {context} -n {self._namespace}` takes it over, and "
                "says what cannot be undone."
            )
        return InvalidError(
            f"The namespace {self._namespace} is in use: {lease.holder} holds it ({age}), and "
            "renewed its Lease just now.",
            f"Nothing was touched. {step}",
        )

    def _keep(self) -> None:
        """Renew until the end; what goes wrong for a moment is tried again."""
        cluster: Cluster | None = None
        while not self._ended.wait(RENEW_EVERY_S):
            try:
                cluster = cluster or self._connect()
                self._problem = self._renew(cluster)
                if self._problem:
                    break
                self._renewed_at = time.monotonic()
                if self._beside is not None:
                    self._beside(cluster)
            except HarnessError:
                continue  # `problem` tells when it has gone on for too long
        if cluster is not None:
            cluster.close()

    def _renew(self, cluster: Cluster) -> str:
        """Renew it once; why it is not ours any more, if so."""
        try:
            self._write_renewal(cluster)
        except ConflictError:
            raw = cluster.get(self._path)
            lease = None if raw is None else cluster_lease.parse(raw)
            if lease is None or lease.holder != self.holder:
                taker = lease.holder if lease else ""
                return f"{taker or 'somebody'} took the Lease on {self._namespace}"
            self._version = lease.version  # somebody wrote a note on it, and it is still ours
            self._write_renewal(cluster)
        return ""

    def _write_renewal(self, cluster: Cluster) -> None:
        kept = cluster.patch(self._path, cluster_lease.renewed(time.time(), self._version))
        self._version = cluster_lease.parse(kept).version
