"""Somebody who may do in a real cluster what the shipped Roles of a fault kind say, and no more."""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from harness.cluster import Cluster
from harness.cluster_paths import grouped, namespaced
from harness.files import project_root
from harness.kubernetes_api import KubernetesApi
from harness.role_files import RUN_ROLE, file_of
from tests.kubernetes.conftest import Shop

RBAC = "rbac.authorization.k8s.io"
ACCOUNTS = "serviceaccounts"


@contextlib.contextmanager
def account(shop: Shop, kind: str, folder: Path) -> Iterator[str]:
    """A service account to which the files of every run and of the kind are bound: its kubeconfig.

    What is in the namespace goes with it; what is of the whole cluster is taken away in the end.
    """
    name = f"only-{kind.replace('_', '-')}-{secrets.token_hex(2)}"
    shop.cluster.create(namespaced(shop.namespace, ACCOUNTS), {"metadata": {"name": name}})
    with contextlib.ExitStack() as undo:
        for file in (RUN_ROLE, file_of(kind)):
            for role in yaml.safe_load_all((project_root() / file).read_text()):
                _bind(shop, role, name, undo)
        path = folder / f"{name}.json"
        path.write_text(json.dumps(_kubeconfig(shop.cluster, _token(shop, name))))
        yield str(path)


def _bind(shop: Shop, role: Mapping[str, Any], account: str, undo: contextlib.ExitStack) -> None:
    wide = role["kind"] == "ClusterRole"
    # Other tests, and people, have Roles of these names in the whole cluster.
    name = f"{shop.namespace}-{account}-{role['metadata']['name']}" if wide else _own(account, role)
    subject = {"kind": "ServiceAccount", "name": account, "namespace": shop.namespace}
    bodies = {
        f"{role['kind'].lower()}s": {**role, "metadata": {"name": name}},
        f"{role['kind'].lower()}bindings": {
            "metadata": {"name": name},
            "subjects": [subject],
            "roleRef": {"apiGroup": RBAC, "kind": role["kind"], "name": name},
        },
    }
    for collection, body in bodies.items():
        group = f"{RBAC}/v1"
        path = f"/apis/{group}/{collection}" if wide else grouped(group, shop.namespace, collection)
        uid = shop.cluster.create(path, body)["metadata"]["uid"]
        if wide:
            undo.callback(shop.cluster.delete, f"{path}/{name}", uid)


def _own(account: str, role: Mapping[str, Any]) -> str:
    return f"{account}-{role['metadata']['name']}"


def _token(shop: Shop, account: str) -> str:
    asked = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": 3600},
    }
    path = f"{namespaced(shop.namespace, ACCOUNTS, account)}/token"
    return str(shop.cluster.create(path, asked)["status"]["token"])


def _kubeconfig(cluster: Cluster, token: str) -> dict[str, Any]:
    """Of the same cluster, under the same name of a context."""
    assert isinstance(cluster, KubernetesApi)
    authority = cluster._configuration.ssl_ca_cert
    trusted = {"certificate-authority": authority} if authority else {}
    name = cluster.context
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": cluster.url, **trusted}}],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
