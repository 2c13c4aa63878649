"""A namespace of its own for each test or file of this folder, with two services, and a project.

The cluster is that of the kubeconfig's current context, and is touched only where
``HARNESS_TEST_CLUSTER=1`` says that it may be.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.cluster import JSON, NAME, Cluster, parse_workload
from harness.cluster_paths import DEPLOYMENT, grouped, jobs, namespaced, nodes, workloads
from harness.errors import HarnessError
from harness.files import project_root
from harness.guardian_manifests import LABELS
from harness.kubernetes_api import KubernetesApi
from tests.real import eventually

#: Has Python 3.11 or newer, and is on the nodes or within their reach.
IMAGE = os.environ.get("HARNESS_TEST_IMAGE", "python:3.11-slim")
NAMESPACES = "/api/v1/namespaces"
MANAGED_BY = "app.kubernetes.io/managed-by"
UP_WITHIN_S = 180.0
#: What the pods of every service get as variables: the ConfigMap and the Secret.
SETTINGS, KEYS = "settings", "keys"
PASSWORD = "of-the-shop"


@dataclass(frozen=True)
class Shop:
    """A namespace with the workloads ``api`` and ``store``, and a project that may touch it."""

    cluster: Cluster
    namespace: str
    folder: Path

    @property
    def context(self) -> str:
        return self.cluster.context

    def replicas(self, name: str) -> int:
        raw = self.cluster.get(workloads(self.namespace, DEPLOYMENT, name))
        assert raw is not None
        return parse_workload(DEPLOYMENT, raw).replicas

    def is_settled(self) -> bool:
        found = self.cluster.list(workloads(self.namespace, DEPLOYMENT))
        return bool(found) and all(parse_workload(DEPLOYMENT, raw).settled for raw in found)

    def pods(self, name: str) -> tuple[JSON, ...]:
        """Those of a workload that were not told to end, as the server tells them."""
        found = self.cluster.list(namespaced(self.namespace, "pods"), {NAME: name})
        return tuple(pod for pod in found if not pod["metadata"].get("deletionTimestamp"))

    def run_in(self, pod: JSON, *argv: str) -> str:
        """What a program prints in the first container of a pod."""
        container = pod["spec"]["containers"][0]["name"]
        return self.cluster.execute(self.namespace, pod["metadata"]["name"], container, argv)

    def stressing(self) -> tuple[JSON, ...]:
        """The pods that use up a node."""
        pods = self.cluster.list(namespaced(self.namespace, "pods"))
        return tuple(p for p in pods if p["metadata"]["name"].startswith("harness-node-pressure"))

    def of_a_run(self) -> list[str]:
        """What is in the namespace and was put there by a run, to hold it and to watch over it."""
        collections = (
            jobs(self.namespace),
            grouped("coordination.k8s.io/v1", self.namespace, "leases"),
            grouped("rbac.authorization.k8s.io/v1", self.namespace, "roles"),
            namespaced(self.namespace, "configmaps"),
            namespaced(self.namespace, "serviceaccounts"),
        )
        managed = {MANAGED_BY: LABELS[MANAGED_BY]}
        return [
            f"{path.rpartition('/')[2]}/{o['metadata']['name']}"
            for path in collections
            for o in self.cluster.list(path, managed)
        ]

    def of_a_run_beyond(self) -> list[str]:
        """What was put into the whole cluster by a run of this namespace."""
        roles = self.cluster.list("/apis/rbac.authorization.k8s.io/v1/clusterroles", LABELS)
        names = [str(role["metadata"]["name"]) for role in roles]
        return [name for name in names if name.startswith(f"{self.namespace}-")]

    def harness(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """The command, as a process."""
        return subprocess.Popen(
            [sys.executable, "-m", "harness", *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(project_root())},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )


def connected() -> KubernetesApi:
    """The cluster that these tests may use; skips where there is none."""
    if os.environ.get("HARNESS_TEST_CLUSTER") != "1":
        pytest.skip("HARNESS_TEST_CLUSTER=1 does not say that the current context may be used")
    config = pytest.importorskip("kubernetes.config", reason="the package kubernetes is missing")
    try:
        _, current = config.list_kube_config_contexts()
        return KubernetesApi(current["name"])
    except (config.ConfigException, HarnessError) as error:
        pytest.skip(f"no cluster answers: {error}")


def needs_image(cluster: Cluster, name: str) -> None:
    """Skips where no node has an image, which this machine may be unable to fetch."""
    bare = name.partition(":")[0]
    statuses = [node.get("status") or {} for node in cluster.list(nodes())]
    there = [n for s in statuses for i in s.get("images") or () for n in i.get("names") or ()]
    if bare not in {known.rpartition("/")[2].partition(":")[0] for known in there}:
        pytest.skip(f"no node of {cluster.context} has the image {name}")


@pytest.fixture
def shop(tmp_path: Path, own_state: Path) -> Iterator[Shop]:
    with opened(tmp_path) as found:
        yield found


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Shop]:
    """A shop in a namespace of its own, whose project is in the folder."""
    cluster = connected()
    namespace = f"harness-test-{secrets.token_hex(4)}"
    made = cluster.create(NAMESPACES, {"metadata": {"name": namespace}})
    found = Shop(cluster, namespace, folder)
    try:
        for collection, body in configuration():
            cluster.create(namespaced(namespace, collection), body)
        for name, replicas in (("api", 2), ("store", 2)):
            cluster.create(workloads(namespace, DEPLOYMENT), deployment(name, replicas))
            cluster.create(namespaced(namespace, "services"), service(name))
        (folder / "harness.toml").write_text(
            f'[guards]\nstacks = ["kubernetes"]\ncontexts = ["{cluster.context}"]\n'
            f'namespaces = ["{namespace}"]\nmax_targets = 10\n'
        )
        (folder / "experiments").mkdir()
        eventually(found.is_settled, "the shop is up", UP_WITHIN_S)
        yield found
    finally:
        cluster.delete(f"{NAMESPACES}/{namespace}", made["metadata"]["uid"])
        cluster.close()


def configuration() -> tuple[tuple[str, dict[str, Any]], ...]:
    return (
        ("configmaps", {"metadata": {"name": SETTINGS}, "data": {"GREETING": "hello"}}),
        ("secrets", {"metadata": {"name": KEYS}, "stringData": {"PASSWORD": PASSWORD}}),
    )


def deployment(name: str, replicas: int) -> dict[str, Any]:
    labels = {NAME: name}
    container = {
        "name": name,
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-m", "http.server", "8080", "--directory", "/tmp"],  # noqa: S108
        "ports": [{"containerPort": 8080}],
        "envFrom": [{"configMapRef": {"name": SETTINGS}}, {"secretRef": {"name": KEYS}}],
        "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
    }
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [container], "terminationGracePeriodSeconds": 1},
            },
        },
    }


def service(name: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "annotations": {"harness.health_path": "/"}},
        "spec": {
            "type": "NodePort",
            "selector": {NAME: name},
            "ports": [{"port": 8080}],
        },
    }
