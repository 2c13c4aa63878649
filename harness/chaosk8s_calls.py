"""Calls of chaostoolkit-kubernetes in an experiment, and the kinds that do the same. Pure.

Such an action goes to whatever context is current, has no entry in the undo log, and is proven by
nobody: a run that let it pass could end "clean" with a cluster left broken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.errors import InvalidError

PACKAGE = "chaosk8s"
REFERENCE = "docs/reference/faults.md"
#: The kind of fault that does what an action does, by the action's module and function.
KIND_OF: Mapping[str, str] = {
    "actions.kill_microservice": "stop",
    "actions.remove_service_endpoint": "isolate",
    "actions.scale_microservice": "stop",
    "chaosmesh.network.actions.add_latency": "latency",
    "chaosmesh.network.actions.set_bandwidth": "bandwidth",
    "chaosmesh.stress.actions.stress_cpu": "cpu",
    "chaosmesh.stress.actions.stress_memory": "memory",
    "deployment.actions.delete_deployment": "stop",
    "deployment.actions.rollout_deployment": "rollout_restart",
    "deployment.actions.scale_deployment": "stop",
    "networking.actions.create_network_policy": "isolate",
    "networking.actions.deny_all_egress": "isolate",
    "networking.actions.deny_all_ingress": "isolate",
    "node.actions.cordon_node": "cordon",
    "node.actions.drain_nodes": "drain",
    "node.actions.uncordon_node": "cordon",
    "pod.actions.delete_pods": "pod_kill",
    "pod.actions.terminate_pods": "pod_kill",
    "replicaset.actions.delete_replica_set": "pod_kill",
    "service.actions.delete_service": "isolate",
    "statefulset.actions.remove_statefulset": "stop",
    "statefulset.actions.scale_statefulset": "stop",
}


def calls(value: Any) -> Iterator[tuple[str, str]]:
    """Module and function of each call of the package, wherever in a document it stands."""
    if isinstance(value, Mapping):
        module = value.get("module")
        if isinstance(module, str) and module.partition(".")[0] == PACKAGE:
            yield module, str(value.get("func") or "")
        for item in value.values():
            yield from calls(item)
    elif isinstance(value, list):
        for item in value:
            yield from calls(item)


def refuse_calls(place: str, experiment: Mapping[str, Any]) -> None:
    """Let an experiment pass, or refuse it with what to use instead of each call.

    Args:
        place: Path of the scenario.
        experiment: The document.

    Raises:
        InvalidError: It calls the package.
    """
    found = tuple(dict.fromkeys(calls(experiment)))
    if found:
        named = ", ".join(".".join(filter(None, call)) for call in found)
        raise InvalidError(
            f"{place}: the experiment calls {named}: that goes to the current context, whichever "
            "the stack's is, and nobody would undo it or prove it undone.",
            f"{' '.join(dict.fromkeys(_instead(*call) for call in found))} See {REFERENCE}.",
        )


def _instead(module: str, func: str) -> str:
    kind = KIND_OF.get(f"{module.removeprefix(f'{PACKAGE}.')}.{func}")
    if kind:
        return f"Use the fault kind `{kind}` instead of {func}."
    if module.endswith("probes"):
        return f"State it as an objective instead of {func}."
    return f"No fault kind does it: leave out {func or module}."
