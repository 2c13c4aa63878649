"""What the pods of a workload are made of: changed for a while, and put back.

Only what the fault changed is put back, leaf by leaf, and only while the workload bears the mark
of the entry: what somebody else changes meanwhile, or has changed since, stays. Everything here
takes plain text, so that whoever holds an undo entry can look and undo.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from harness import cluster_object, service_pod, workload_pods
from harness.cluster import JSON, Cluster, parse_workload
from harness.cluster_merge import has
from harness.cluster_object import cluster_of
from harness.pod_container import started_in

Arguments = Mapping[str, str]

#: On top of what is said of the workload: what the fault puts there, and what puts it back.
CHANGED = (*service_pod.MARKED, "put", "back")
#: On top of it: the container, the image that the fault gives it, and the one that it had.
IMAGE = (*service_pod.MARKED, "container", "bad", "good")

#: Why a container cannot start when its image cannot be had.
NO_IMAGE = ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName")


def image_in(raw: JSON, container: str) -> str:
    """The image of a container in the template of a workload; empty when there is none."""
    found = raw["spec"]["template"]["spec"]["containers"]
    return next((c.get("image", "") for c in found if c["name"] == container), "")


def with_image(raw: JSON, container: str, image: str) -> dict[str, Any]:
    """The change of a workload that gives a container an image.

    A merge cannot mean one container of a list: all of them are in it, as they were read. So it
    holds for this very version only.
    """
    containers = [
        {**c, "image": image} if c["name"] == container else c
        for c in raw["spec"]["template"]["spec"]["containers"]
    ]
    return {"spec": {"template": {"spec": {"containers": containers}}}}


def pods_of(cluster: Cluster, arguments: Arguments, raw: JSON) -> tuple[JSON, ...]:
    """The pods of a workload as the server describes them."""
    workload = parse_workload(arguments["kind"], raw)
    return workload_pods.documents_of(cluster, arguments["namespace"], workload)


# -- looks


def look_changed(arguments: Arguments) -> tuple[bool, str]:
    """The template reads as the fault put it, and a pod that was made of it runs."""
    put = json.loads(arguments["put"])
    with cluster_of(arguments) as cluster:
        raw = service_pod.described(cluster, arguments)
        pods = () if raw is None else pods_of(cluster, arguments, raw)
    if raw is None or not has(raw, put):
        return False, f"{arguments['service']} does not read as the fault put it"
    wanted = put["spec"]["template"]["spec"]
    made = [p for p in pods if has(p["spec"], wanted)]
    running = [p for p in made if (p.get("status") or {}).get("phase") == "Running"]
    words = f"{len(running)} of {len(pods)} pods of {arguments['service']} run with {wanted}"
    return bool(running) and len(made) == len(pods), words


def look_cannot_start(arguments: Arguments) -> tuple[bool, str]:
    """A pod with the fault's image was made and cannot start."""
    container, bad = arguments["container"], arguments["bad"]
    with cluster_of(arguments) as cluster:
        raw = service_pod.described(cluster, arguments)
        pods = () if raw is None else pods_of(cluster, arguments, raw)
    if raw is None or image_in(raw, container) != bad:
        return False, f"{arguments['service']} is not asked to run {bad}"
    for pod in pods:
        if not any(c.get("image") == bad for c in pod["spec"]["containers"]):
            continue
        found = next((c for c in started_in(pod) if c.name == container), None)
        if found is not None and found.waiting in NO_IMAGE:
            return True, f"pod {pod['metadata']['name']} cannot start: {found.waiting} of {bad}"
    return False, f"no pod of {arguments['service']} is seen that cannot start for {bad}"


# -- undo


def put_back(arguments: Arguments) -> None:
    """As it was before, where it still reads as the fault left it."""
    service_pod.take_back(arguments, lambda raw: cluster_object.left_of(raw, arguments))


def prove_back(arguments: Arguments) -> str:
    """Nothing of the fault is left in it, and all its pods are ready.

    Raises:
        FaultError: Something is, or they are not yet.
    """
    proof = service_pod.prove_given_back(arguments)
    with cluster_of(arguments) as cluster:
        raw = service_pod.described(cluster, arguments)
    theirs = "" if raw is None else cluster_object.by_others(raw, arguments)
    return f"{proof}; it {theirs}" if theirs else proof


def restore_image(arguments: Arguments) -> None:
    """The image as before, where the container still has the fault's."""
    container, bad, good = (arguments[name] for name in ("container", "bad", "good"))

    def back(raw: JSON) -> JSON:
        return with_image(raw, container, good) if image_in(raw, container) == bad else {}

    service_pod.take_back(arguments, back)


def prove_image(arguments: Arguments) -> str:
    """The container does not have the fault's image any more, and all pods are ready.

    Raises:
        FaultError: It does, or they are not yet.
    """
    proof = service_pod.prove_given_back(arguments)
    with cluster_of(arguments) as cluster:
        raw = service_pod.described(cluster, arguments)
    if raw is None:
        return proof
    now, good = image_in(raw, arguments["container"]), arguments["good"]
    if now != good:
        return f"{proof}; somebody else has given it {now or 'no such container'}, and it stays so"
    return f"{proof}, on {good} as before"
