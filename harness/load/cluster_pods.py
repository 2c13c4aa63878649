"""The pods of one load inside a cluster: made, asked, and deleted without a trace."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

from harness.cluster import JSON, Cluster, Pod, Question, parse_pod, why_not_running
from harness.cluster_paths import jobs, namespaced, network_policies
from harness.load import cluster_manifests as manifests
from harness.load.cluster_manifests import LoadPodSpec
from harness.load.cluster_messages import SECRET_HEADER

GONE_WITHIN_S = 30.0
LOOK_S = 0.25


class LoadPods:
    """Two Jobs of one namespace; another thread than the run's speaks to them through an asker.

    Args:
        connect: Makes a connection to the API server.
        namespace: Name of the namespace.
        spec: What the pods have in common.
    """

    def __init__(self, connect: Callable[[], Cluster], namespace: str, spec: LoadPodSpec) -> None:
        self._connect = connect
        self._cluster = connect()
        self._namespace, self._spec = namespace, spec
        self._secret = secrets.token_urlsafe(32)
        self._owner: JSON = {}
        self._master = ""

    @property
    def join_port(self) -> int:
        """Where workers join the master's pod."""
        return self._spec.join_port

    def close(self) -> None:
        """Drop the connection."""
        self._cluster.close()

    def make_master(self) -> None:
        """Make the master's Job, and what guards its port.

        Raises:
            FaultError: The API server refuses.
        """
        digest = hashlib.sha256(self._secret.encode()).hexdigest()
        made = manifests.master_job(self._spec, digest)
        self._owner = self._cluster.create(jobs(self._namespace), made)
        policy = manifests.join_policy(self._spec, self._owner)
        self._cluster.create(network_policies(self._namespace), policy)

    def master(self) -> Pod | None:
        """The master's pod, once it runs.

        Raises:
            FaultError: The API server refuses.
        """
        running = [pod for pod in self._pods(manifests.MASTER) if pod.up and pod.ip]
        if running:
            self._master = running[0].name
        return running[0] if running else None

    def make_workers(self, workers: int, master: str, wait_s: float) -> None:
        """Make the workers' Job, whose pods join the master at an address.

        Raises:
            FaultError: The API server refuses.
        """
        job = manifests.worker_job(
            self._spec, workers=workers, master=master, wait_s=wait_s, owner=self._owner
        )
        self._cluster.create(jobs(self._namespace), job)

    def trouble(self) -> tuple[str, bool]:
        """Why a pod does not run, empty where all do or will soon, and whether it never will.

        Raises:
            FaultError: The API server refuses.
        """
        found = self._cluster.list(namespaced(self._namespace, "pods"), self._spec.labels)
        said = [(words, final) for words, final in map(why_not_running, found) if words]
        return max(said, key=lambda each: each[1], default=("", False))

    def asker(self) -> Asker:
        """Somebody who asks the master's pod over a connection of their own.

        Raises:
            FaultError: The API server does not answer.
        """
        headers = {SECRET_HEADER: self._secret, "Content-Type": "application/octet-stream"}
        where = (self._namespace, self._master, self._spec.control_port)
        return Asker(self._connect(), where, headers)

    def delete(self) -> str:
        """Delete the Jobs with all that belongs to them, and wait until it is gone.

        Returns:
            What is left, in words; empty for nothing.

        Raises:
            FaultError: The API server refuses.
        """
        give_up_at = time.monotonic() + GONE_WITHIN_S
        while True:
            # Found by their label: one may have been made whose making was never answered.
            for collection in (jobs(self._namespace), network_policies(self._namespace)):
                for found in self._cluster.list(collection, self._spec.labels):
                    meta = found["metadata"]
                    self._cluster.delete(f"{collection}/{meta['name']}", meta["uid"])
            left = self._left()
            if not left or time.monotonic() > give_up_at:
                return ", ".join(left)
            time.sleep(LOOK_S)

    def _left(self) -> list[str]:
        collections = {
            "Job": jobs(self._namespace),
            "NetworkPolicy": network_policies(self._namespace),
            "pod": namespaced(self._namespace, "pods"),
        }
        return [
            f"{what} {found['metadata']['name']}"
            for what, collection in collections.items()
            for found in self._cluster.list(collection, self._spec.labels)
        ]

    def _pods(self, role: str) -> list[Pod]:
        labels = {**self._spec.labels, manifests.ROLE: role}
        found = self._cluster.list(namespaced(self._namespace, "pods"), labels)
        return [parse_pod(raw) for raw in found]


class Asker:
    """Asks one pod, over a connection that is nobody else's."""

    def __init__(
        self, cluster: Cluster, where: tuple[str, str, int], headers: Mapping[str, Any]
    ) -> None:
        self._cluster, self._where, self._headers = cluster, where, headers

    def ask(self, path: str, body: bytes, timeout_s: float) -> bytes:
        """The body of the answer.

        Raises:
            FaultError: There is none in time, or it is no good one.
        """
        namespace, pod, port = self._where
        question = Question(body=body, headers=self._headers, timeout_s=timeout_s)
        return self._cluster.ask(namespace, pod, port, path, question)

    def close(self) -> None:
        """Drop the connection."""
        self._cluster.close()
