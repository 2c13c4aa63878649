"""The Kubernetes driver: attaches to a namespace, or deploys the platform into it.

Nothing of a namespace is changed by attaching to it. What was deployed here is taken down here;
what was found there is left there.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from harness import kubernetes_api
from harness.cluster import Cluster, Workload, workloads_in
from harness.descriptor import StackDescriptor, dump
from harness.errors import InvalidError, StackError
from harness.files import locked, private_folder, write_durably
from harness.namespace_lease import OURS
from harness.stacks import kubectl, kustomization, registry
from harness.stacks.kubernetes_namespace import describe

LOCK_TIMEOUT_S = 120.0
SETTLE_WITHIN_S = 300.0
GONE_WITHIN_S = 120.0
PAUSE_S = 1.0
DEPLOYED = "deployed"
NAMESPACES, NAMESPACE = "/api/v1/namespaces", "/api/v1/namespaces/{}"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")

Tell = Callable[[str], None]


class KubernetesStack:
    """One namespace of one cluster.

    Args:
        context: Context of the kubeconfig.
        namespace: Name of the namespace.
        overlay: Folder with a ``kustomization.yaml`` to deploy when nothing is there; None only
            attaches.
        prometheus: URL of the Prometheus that watches it, where that is not part of it.

    Raises:
        InvalidError: Not the name of a namespace, no such context, or the package is missing.
        FaultError: No API server answers.

    Whatever is done later is done in the cluster that the context leads to now; where it leads
    to another one by then, FaultError says so and nothing is touched.
    """

    def __init__(
        self, context: str, namespace: str, overlay: Path | None = None, prometheus: str = ""
    ) -> None:
        if not _NAME.fullmatch(namespace):
            raise InvalidError(
                f"{namespace!r} is no name of a namespace: small letters, digits and -."
            )
        self.context, self.namespace = context, namespace
        self._overlay = overlay
        self._prometheus = prometheus
        self._kubeconfig = os.environ.get("KUBECONFIG", "")
        self._uid = ""  # what the first connection finds; every later one must lead there too
        with self._cluster() as cluster:
            self._uid = cluster.uid
        self.id = registry.stack_id_kubernetes(self._uid, namespace)
        self.folder = registry.folder(self.id)

    @property
    def cluster(self) -> str:
        """The uid of its cluster, which is the same whatever becomes of the context."""
        return self._uid

    def running(self) -> bool:
        """Whether any workload is in the namespace."""
        with self._cluster() as cluster:
            return bool(workloads_in(cluster, self.namespace))

    @property
    def deployed(self) -> bool:
        """Whether something was deployed from here, and not taken down yet."""
        return self._ours.exists()

    def up(self, progress: Tell) -> StackDescriptor:
        """Attach to the namespace, after deploying to it when it is empty and an overlay is given.

        Args:
            progress: Told what is being done, one short sentence a time.

        Raises:
            InvalidError: It is empty and there is nothing to deploy.
            StackError: It did not come up; what was deployed is taken down.
        """
        with self._locked():
            if self._overlay is not None and not self.running():
                self._deploy(self._overlay, (), progress)
            return self._attach(progress)

    def up_with(self, defects: tuple[str, ...], progress: Tell) -> StackDescriptor:
        """Deploy the platform with defects planted.

        Raises:
            InvalidError: The namespace has workloads already, or there is nothing to deploy.
            StackError: It did not come up; what was deployed is taken down.
        """
        with self._locked():
            if self._overlay is None or self.running():
                raise InvalidError(
                    f"Defects can be planted only while deploying to an empty namespace; "
                    f"{self.namespace} of {self.context} is not empty, or no overlay is given.",
                    f"Run `harness stack down --context {self.context} -n {self.namespace}` first.",
                )
            self._deploy(self._overlay, defects, progress)
            return self._attach(progress)

    def down(self) -> bool:
        """Forget the namespace, and take down what was deployed here; whether it was known.

        Raises:
            StackError: It could not be taken down.
        """
        with self._locked():
            descriptor = self.folder / registry.FILE
            known = descriptor.exists()
            if self.deployed:
                self._take_down()
            descriptor.unlink(missing_ok=True)
            return known

    @property
    def _ours(self) -> Path:
        """The kustomization that was deployed from here."""
        return self.folder / DEPLOYED / kustomization.FILE

    def _attach(self, progress: Tell) -> StackDescriptor:
        with self._cluster() as cluster:
            stack, remarks = describe(cluster, self.namespace, self._kubeconfig, self._prometheus)
        for remark in remarks:
            progress(remark)
        write_durably(self.folder / registry.FILE, dump(stack).encode())
        return stack

    def _deploy(self, overlay: Path, defects: tuple[str, ...], progress: Tell) -> None:
        folder = private_folder(self._ours.parent)
        text = kustomization.text(overlay, defects, self.namespace, folder)
        progress(f"deploying {overlay} to the namespace {self.namespace} of {self.context}")
        # Before the deed: whatever comes of it is ours to take down.
        write_durably(self._ours, text.encode())
        try:
            with self._cluster() as cluster:
                if cluster.get(NAMESPACE.format(self.namespace)) is None:
                    cluster.create(
                        NAMESPACES, {"metadata": {"name": self.namespace, "labels": OURS}}
                    )
            self._tell_kubectl(kubectl.apply, folder)
            self._settled(progress)
        except BaseException:
            self._take_down()
            raise

    def _take_down(self) -> None:
        self._tell_kubectl(kubectl.delete, self._ours.parent)
        with self._cluster() as cluster:
            path = NAMESPACE.format(self.namespace)
            found = cluster.get(path)
            labels = (found or {}).get("metadata", {}).get("labels") or {}
            if found is not None and labels.items() >= OURS.items():
                cluster.delete(path, found["metadata"]["uid"])
                self._gone(cluster, path)
        self._ours.unlink()

    def _gone(self, cluster: Cluster, path: str) -> None:
        """While a namespace ends nothing can be made in one of its name."""
        give_up_at = time.monotonic() + GONE_WITHIN_S
        while cluster.get(path) is not None:
            if time.monotonic() > give_up_at:
                raise StackError(
                    f"The namespace {self.namespace} is still there after {GONE_WITHIN_S:g} s.",
                    f"Look at it with `kubectl get namespace {self.namespace} -o yaml`.",
                )
            time.sleep(PAUSE_S)

    def _settled(self, progress: Tell) -> None:
        give_up_at = time.monotonic() + SETTLE_WITHIN_S
        with self._cluster() as cluster:
            while waiting := [w for w in workloads_in(cluster, self.namespace) if not w.settled]:
                if time.monotonic() > give_up_at:
                    raise StackError(
                        f"Not ready within {SETTLE_WITHIN_S:g} s: {_named(waiting)}.",
                        f"Look at it with `kubectl -n {self.namespace} describe pods`.",
                    )
                time.sleep(PAUSE_S)
        progress(f"all of the namespace {self.namespace} is ready")

    def _tell_kubectl(self, deed: Callable[[str, str, str, Path], None], folder: Path) -> None:
        """Right after a look at where the context leads: kubectl reads the kubeconfig anew."""
        with self._cluster():
            deed(self.context, self._kubeconfig, self.namespace, folder)

    @contextlib.contextmanager
    def _cluster(self) -> Iterator[Cluster]:
        cluster = kubernetes_api.connect(self.context, self._uid, self._kubeconfig)
        try:
            yield cluster
        finally:
            cluster.close()

    def _locked(self) -> contextlib.AbstractContextManager[None]:
        lock = private_folder(self.folder) / "up.lock"
        return locked(lock, LOCK_TIMEOUT_S, f"process {os.getpid()}, starting or stopping it")


def _named(waiting: list[Workload]) -> str:
    return ", ".join(f"{w.name} ({w.progress})" for w in waiting)
