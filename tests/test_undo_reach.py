"""An entry that was found in a namespace reaches no further than a fault of that namespace."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness import undo_reach
from harness.cluster_undo import UNDO
from harness.faults.kinds import UNDONE_BY
from harness.guardian_rights import UNDOING

HERE = "/api/v1/namespaces/shop"
CORDON = json.dumps({"spec": {"unschedulable": True}})
FREE = json.dumps({"spec": {"unschedulable": None}})
NODE = {"path": "/api/v1/nodes/node2", "uid": "u", "put": CORDON, "back": FREE, "mark": "cordon-1a"}
SCALE = {
    "namespace": "shop",
    "kind": "Deployment",
    "service": "api",
    "replicas": "2",
    "mark": "stop-1a",
}
CONFIG = {
    "path": f"{HERE}/configmaps/c",
    "restart_path": "/apis/apps/v1/namespaces/shop/deployments/api",
    "namespace": "shop",
    "key": "k",
    "token": "config-1a",
}
PODS = {"collection": f"{HERE}/pods", "label": "node_pressure-1"}
POLICY = {
    "collection": "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies",
    "label": "isolate-1",
    "namespace": "shop",
}

GOOD: dict[str, tuple[str, dict[str, Any]]] = {
    "a workload is scaled back": ("stop", SCALE),
    "a node is given back": ("cordon", NODE),
    "a drained node is given back": ("drain", {**NODE, "mark": "drain-1a", "namespace": "shop"}),
    "a key is restored and its reader restarted": ("config", CONFIG),
    "a stress pod is deleted": ("node_pressure", PODS),
    "a policy is lifted": ("isolate", POLICY),
}


def check(kind: str, arguments: Any, **changes: Any) -> None:
    given = {"entry_id": f"{kind}-1a", "verb": undo_reach.VERBS.get(kind, ""), **changes}
    given.setdefault("key", given["entry_id"])
    undo_reach.check(kind=kind, arguments=arguments, namespace="shop", **given)


@pytest.mark.parametrize(("kind", "arguments"), GOOD.values(), ids=GOOD)
def test_it_may_be_carried_out(kind: str, arguments: dict[str, Any]) -> None:
    check(kind, arguments)


def to(document: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**document, **changes}


BAD: dict[str, tuple[str, Any, dict[str, Any], str]] = {
    "an id that leads elsewhere": ("stop", SCALE, {"entry_id": "../../x-1"}, "is none"),
    "an id of another place": ("stop", SCALE, {"key": "stop-2"}, "not that of its place"),
    "a kind that is none": ("cpu", {}, {}, "is undone inside"),
    "a verb of this machine": ("stop", SCALE, {"verb": "process.resume"}, "'process.resume'"),
    "a command of this machine": (
        "node_stop",
        {"node": "n", "start": '["sh"]', "folder": "/"},
        {"verb": "node.start"},
        "is undone inside of a cluster by 'node.start'",
    ),
    "a verb of another kind": ("cordon", NODE, {"verb": "cluster.delete"}, "'cluster.delete'"),
    "an argument that is no text": ("stop", to(SCALE, replicas=2), {}, "is no text"),
    "another namespace": ("stop", to(SCALE, namespace="bank"), {}, "the namespace 'bank'"),
    "a path in another namespace": (
        "config",
        to(CONFIG, path="/api/v1/namespaces/bank/configmaps/c"),
        {},
        "not in the namespace 'shop'",
    ),
    "a reader in another namespace": (
        "config",
        to(CONFIG, restart_path="/apis/apps/v1/namespaces/bank/deployments/api"),
        {},
        "not in the namespace 'shop'",
    ),
    "another resource": (
        "config",
        to(CONFIG, path="/apis/rbac.authorization.k8s.io/v1/namespaces/shop/rolebindings/b"),
        {},
        "no fault of its kind changes",
    ),
    "a group that is another": (
        "config",
        to(CONFIG, path="/apis/example.com/v1/namespaces/shop/configmaps/c"),
        {},
        "no fault of its kind changes",
    ),
    "a collection in another namespace": (
        "node_pressure",
        to(PODS, collection="/api/v1/namespaces/kube-system/pods"),
        {},
        "not in the namespace 'shop'",
    ),
    "a collection of the whole cluster": (
        "node_pressure",
        to(PODS, collection="/api/v1/pods"),
        {},
        "not in the namespace 'shop'",
    ),
    "a path that climbs": (
        "config",
        to(CONFIG, path=f"{HERE}/configmaps/../secrets"),
        {},
        "is no path of an object",
    ),
    "a subresource": ("cordon", to(NODE, path="/api/v1/nodes/n/proxy"), {}, "is no path"),
    "a query": ("cordon", to(NODE, path="/api/v1/nodes/n?x=1"), {}, "is no path"),
    "a service that is a path": ("stop", to(SCALE, service="x/status"), {}, "is no path"),
    "a workload of another kind": ("stop", to(SCALE, kind="nodes"), {}, "changes"),
    "the mark of another fault": ("stop", to(SCALE, mark="dns-2b"), {}, "what 'dns-2b' has done"),
    "the token of another fault": (
        "config",
        {**CONFIG, "token": "config-2b"},
        {},
        "what 'config-2b' has done",
    ),
    "the mark of another fault on a node": (
        "cordon",
        to(NODE, mark="drain-3c"),
        {},
        "it would take back what 'drain-3c' has done",
    ),
    "more of a node": (
        "cordon",
        to(NODE, back=json.dumps({"spec": {"unschedulable": None, "taints": []}})),
        {},
        "changes more of a node",
    ),
    "the labels of a node": (
        "cordon",
        to(NODE, put=json.dumps({"metadata": {"labels": {"a": "b"}}})),
        {},
        "changes more of a node",
    ),
}


@pytest.mark.parametrize(("kind", "arguments", "changes", "words"), BAD.values(), ids=BAD)
def test_it_is_carried_out_by_nobody(
    kind: str, arguments: Any, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        check(kind, arguments, **changes)


def test_each_kind_is_undone_as_outside() -> None:
    outside = UNDONE_BY["kubernetes"]
    assert {kind: outside[kind] for kind in UNDOING} == undo_reach.VERBS
    assert set(undo_reach.VERBS.values()) <= set(UNDO)
