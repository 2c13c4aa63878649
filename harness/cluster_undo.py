"""The undo verbs that a guardian inside a cluster knows: the same deeds as from outside.

Of the standard library and modules of this package that need no other: the texts of all of them
are mounted into a stock image. Faults that are undone by other verbs are undone from outside only,
or end by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness import (
    cluster_labelled,
    cluster_object,
    config_key,
    service_node,
    service_pod,
    workload_template,
)

Arguments = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Undo:
    """As :class:`harness.verbs.Verb`, which the guardian in a cluster does not have."""

    undo: Callable[[Arguments], None]
    prove: Callable[[Arguments], str]
    call_off: Callable[[Arguments], None] | None = None


#: By their names in :data:`harness.verbs.VERBS`. That a policy is lifted is proven from outside by
#: connections between pods; from inside only by the API server, for want of the right to run
#: programs in pods.
UNDO: Mapping[str, Undo] = {
    "cluster.put_back": Undo(
        cluster_object.put_back, cluster_object.prove_back, cluster_object.call_off
    ),
    "cluster.delete": Undo(cluster_object.delete, cluster_object.prove_deleted),
    "cluster.delete_labelled": Undo(cluster_labelled.delete, cluster_labelled.prove_deleted),
    "config.restore": Undo(config_key.restore, config_key.prove_restored, config_key.call_off),
    "node.give_back": Undo(
        cluster_object.put_back, service_node.prove_moved, cluster_object.call_off
    ),
    "policy.lift": Undo(cluster_labelled.delete, cluster_labelled.prove_deleted),
    "workload.put_back": Undo(
        workload_template.put_back, workload_template.prove_back, service_pod.call_off
    ),
    "workload.restore_image": Undo(
        workload_template.restore_image, workload_template.prove_image, service_pod.call_off
    ),
    "workload.scale_back": Undo(
        service_pod.scale_back, service_pod.prove_given_back, service_pod.call_off
    ),
}
