"""Documents of the in-memory cluster: how they are made, merged, told apart and owned. Pure."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

from harness.cluster import JSON
from harness.cluster_paths import ALL_PODS

Document = dict[str, Any]


def workload(name: str, replicas: int = 1, image: str = "shop:1") -> Document:
    """A Deployment or StatefulSet, whose pods carry its name."""
    labels = {"app.kubernetes.io/name": name}
    return {
        "metadata": {"name": name, "labels": dict(labels)},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": dict(labels)},
            "template": {
                "metadata": {"labels": dict(labels)},
                "spec": {"containers": [{"name": name, "image": image}]},
            },
        },
    }


def is_in(path: str, collection: str) -> bool:
    """Whether an object is of a collection: that of a namespace, or the pods of all of them."""
    of = path.rpartition("/")[0]
    return of == collection or (
        collection == ALL_PODS and of.startswith("/api/v1/namespaces/") and of.endswith("/pods")
    )


def text(template: Document) -> str:
    """By which templates are told apart: no annotations are the same as empty ones."""
    meta = {key: value for key, value in template["metadata"].items() if value}
    return json.dumps({**template, "metadata": meta}, sort_keys=True)


def reference(kind: str, owner: Document) -> Document:
    """That an object, by its metadata, controls another one."""
    return {"kind": kind, "name": owner["name"], "uid": owner["uid"], "controller": True}


def controller(document: Document) -> str:
    """The uid of what controls an object, empty where nothing does."""
    owners = document["metadata"].get("ownerReferences") or ()
    return next((o["uid"] for o in owners if o.get("controller")), "")


def owners(document: Document) -> set[str]:
    """The uids of all that an object goes with."""
    return {o["uid"] for o in document["metadata"].get("ownerReferences") or ()}


def merge(into: Document, change: JSON) -> None:
    """Change a document as a merge patch does: ``null`` takes a key out."""
    for key, value in change.items():
        if value is None:
            into.pop(key, None)
        elif isinstance(value, Mapping):
            if not isinstance(into.get(key), dict):
                into[key] = {}
            merge(into[key], value)
        else:
            into[key] = copy.deepcopy(value)
