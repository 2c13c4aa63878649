"""A release whose image cannot be had: new pods do not start, and the rollout hangs."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from harness import cluster_mark, workload_template
from harness.cluster import JSON
from harness.cluster_paths import workloads
from harness.errors import FaultError, RefusedError
from harness.faults import injection, objects, pods, services, templates
from harness.faults.injection import Injection
from harness.faults.session import session
from harness.undo import Entry

__all__ = ["heal", "inject"]

KIND = "bad_image"
VERB, LOOK = "workload.restore_image", "image_cannot_start"
NOWHERE = "harness.invalid/no-such-image:1"  # the domain "invalid" is nobody's, and stays so


def inject(target: str, container: str = "", image: str = "") -> dict[str, Any]:
    """Give the Deployment an image that cannot be had until healed.

    Args:
        target: Workload, or labels such as ``app=worker``.
        container: Its name; may be left out where the pods have only one.
        image: One that cannot be pulled; one of nobody's if empty.

    Raises:
        FaultError: There is no such container, or every pod starts all the same; nothing is
            left behind.
    """
    image = image or NOWHERE
    current = session()
    with closing(pods.open_cluster(current)) as cluster:
        found, _, arguments = templates.deployment(cluster, current, target)
        workload = found.workload
        name = container or next(iter(workload.images))
        if name not in workload.images or (not container and len(workload.images) > 1):
            known = ", ".join(workload.images)
            raise FaultError(f"{workload.name} has the containers {known}; say which is meant.")
        good = workload.images[name]
        if good == image:
            raise FaultError(f"{workload.name} has the image {image} already.")
        path = workloads(current.stack.namespace, workload.kind, workload.name)
        fault = Injection(
            kind=KIND,
            target=target,
            verb=VERB,
            arguments={
                **arguments,
                "container": name,
                "bad": image,
                "good": good,
                **objects.MARK,
            },
            look=LOOK,
            before=f"all pods ran {good}",
            prove_within_s=templates.PROVE_WITHIN_S,
        )

        def changed(now: JSON) -> JSON:
            if workload_template.image_in(now, name) != good:
                raise RefusedError(f"{workload.name} was given another image just now, not by us.")
            return workload_template.with_image(now, name, image)

        def applied(entry: Entry) -> None:
            mark = entry.arguments["mark"]
            cluster_mark.put(cluster, path, workload.uid, mark, changed)

        return injection.proven(injection.inject(current, fault, applied))


def heal(target: str) -> list[dict[str, str]]:
    """Give it its image back, and wait until the rollout is complete on it."""
    return services.heal(session(), kind=KIND, target=target)
