"""The fixed table of undo verbs: how each kind of entry is undone, and seen to be undone.

A verb is idempotent. ``undo`` makes the fault absent by the control path; ``prove`` looks
by another path, at the traffic itself, and returns the proof as text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from harness import (
    cluster_labelled,
    cluster_object,
    config_key,
    connection_slots,
    container_network,
    container_partition,
    edge_partition,
    fsync_latency,
    http_fault_helper,
    node_power,
    open_files,
    pod_container,
    pod_isolation,
    pod_stressor,
    probe,
    service_clock,
    service_container,
    service_node,
    service_pod,
    service_process,
    stressor,
    toxiproxy_server,
    workload_template,
)
from harness.errors import FaultError
from harness.looks import look
from harness.toxiproxy import Toxiproxy

Arguments = Mapping[str, str]
HEALTHY_WITHIN_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """One way to undo: the arguments it takes, the deed, and the look afterwards.

    ``also`` is what an entry of a cluster says on top, all of it, and no other does.
    ``call_off`` is for an entry of which nobody knows whether its effect's call is over: from then
    on one that still arrives does nothing. None where no call goes on without its caller.

    All functions raise FaultError when they did not succeed.
    """

    arguments: tuple[str, ...]
    undo: Callable[[Arguments], None]
    prove: Callable[[Arguments], str]
    also: tuple[str, ...] = ()
    call_off: Callable[[Arguments], None] | None = None


def _remove_toxic(arguments: Arguments) -> None:
    if not _server_is_gone(arguments):
        Toxiproxy(arguments["api"]).remove_toxic(arguments["proxy"], arguments["toxic"])


def _path_is_clear(arguments: Arguments) -> str:
    """Traffic passes quickly, or the proxy process is gone and its toxics with it."""
    if _server_is_gone(arguments):
        return "nothing listens at the proxy's API or port any more: its toxics went with it"
    seen = probe.ask(arguments["listen"], arguments["health_path"], HEALTHY_WITHIN_S)
    limit_s = float(arguments["clear_below_s"])
    if (seen.status or seen.answered) and seen.elapsed_s < limit_s:
        return f"a new request through {arguments['listen']} got {seen}"
    raise FaultError(
        f"The path through {arguments['listen']} is not clear yet: {seen}, "
        f"expected an answer within {limit_s * 1000:.0f} ms."
    )


def _path_is_clear_and_unbitten(arguments: Arguments) -> str:
    """Quick answers are not enough where a small answer passes through the fault unharmed."""
    proof = _path_is_clear(arguments)
    if _server_is_gone(arguments):
        return proof
    seen = look(arguments["look"], arguments, json.loads(arguments["effect"]))
    if seen.bites:
        raise FaultError(f"The fault still bites after its removal: {seen.words}.")
    return f"{proof}, and {seen.words}"


def _restore_enabled(arguments: Arguments) -> None:
    """Back to what it was before, which need not be enabled."""
    if not _server_is_gone(arguments):
        server = Toxiproxy(arguments["api"])
        server.set_enabled(arguments["proxy"], arguments["enabled"] == "true")


def _is_as_before(arguments: Arguments) -> str:
    if arguments["enabled"] == "true":
        return _path_is_clear(arguments)
    if probe.refuses(arguments["listen"]):
        return f"{arguments['listen']} refuses connections, as before the fault"
    raise FaultError(f"{arguments['listen']} accepts connections, unlike before the fault.")


def _restore_upstream(arguments: Arguments) -> None:
    """Past the helper again, then end it; where somebody else pointed the proxy stays."""
    if not _server_is_gone(arguments):
        client = Toxiproxy(arguments["api"])
        client.move_upstream(arguments["proxy"], from_=arguments["via"], to=arguments["upstream"])
    http_fault_helper.end(arguments["token"])


def _is_past_the_helper(arguments: Arguments) -> str:
    proof = _path_is_clear_and_unbitten(arguments)
    if left := http_fault_helper.find(arguments["token"]):
        raise FaultError(f"The helper of {arguments['token']} still runs: processes {left}.")
    return f"{proof}{_whose_upstream(arguments)}; its helper does not run any more"


def _whose_upstream(arguments: Arguments) -> str:
    """A note when the proxy leads where somebody else pointed it."""
    if _server_is_gone(arguments):
        return ""
    at = Toxiproxy(arguments["api"]).proxy(arguments["proxy"]).upstream
    if at == arguments["via"]:
        raise FaultError(f"Proxy {arguments['proxy']!r} still leads to the helper at {at}.")
    if at == arguments["upstream"]:
        return ""
    return f"; somebody else pointed the proxy at {at}, and it stays so"


def _server_is_gone(arguments: Arguments) -> bool:
    api = urlsplit(arguments["api"]).netloc
    return toxiproxy_server.is_gone(arguments, (api, arguments["listen"]))


_TOXIC = ("api", "proxy", "toxic", "listen", "health_path", "clear_below_s")

VERBS: Mapping[str, Verb] = {
    "toxiproxy.remove_toxic": Verb(
        arguments=_TOXIC,
        undo=_remove_toxic,
        prove=_path_is_clear,
        also=toxiproxy_server.ARGUMENTS,
    ),
    "toxiproxy.remove_toxic_and_look": Verb(
        arguments=(*_TOXIC, "look", "effect"),
        undo=_remove_toxic,
        prove=_path_is_clear_and_unbitten,
        also=toxiproxy_server.ARGUMENTS,
    ),
    "toxiproxy.enable": Verb(
        arguments=("api", "proxy", "enabled", "listen", "health_path", "clear_below_s"),
        undo=_restore_enabled,
        prove=_is_as_before,
        also=toxiproxy_server.ARGUMENTS,
    ),
    "toxiproxy.restore_upstream": Verb(
        arguments=(
            *("api", "proxy", "upstream", "via", "listen", "health_path", "clear_below_s"),
            *("token", "look", "look_path", "effect"),
        ),
        undo=_restore_upstream,
        prove=_is_past_the_helper,
        also=toxiproxy_server.ARGUMENTS,
    ),
    "stressor.end": Verb(
        arguments=("token", "path"),
        undo=stressor.undo,
        prove=stressor.prove_ended,
    ),
    "fsync.end": Verb(
        arguments=fsync_latency.ARGUMENTS,
        undo=fsync_latency.end,
        prove=fsync_latency.prove_ended,
    ),
    "connections.release": Verb(
        arguments=connection_slots.ARGUMENTS,
        undo=connection_slots.release,
        prove=connection_slots.prove_released,
    ),
    "process.ensure_running": Verb(
        arguments=service_process.ARGUMENTS,
        undo=service_process.ensure_running,
        prove=service_process.prove_running,
    ),
    "process.resume": Verb(
        arguments=service_process.ARGUMENTS,
        undo=service_process.resume,
        prove=service_process.prove_resumed,
    ),
    "descriptors.restore": Verb(
        arguments=open_files.ARGUMENTS,
        undo=open_files.restore,
        prove=open_files.prove_restored,
    ),
    "clock.restore": Verb(
        arguments=service_clock.ARGUMENTS,
        undo=service_clock.restore,
        prove=service_clock.prove_restored,
    ),
    "container.ensure_running": Verb(
        arguments=service_container.ARGUMENTS,
        undo=service_container.ensure_running,
        prove=service_container.prove_running,
    ),
    "container.resume": Verb(
        arguments=service_container.ARGUMENTS,
        undo=service_container.resume,
        prove=service_container.prove_resumed,
    ),
    "container.reconnect": Verb(
        arguments=container_network.ARGUMENTS,
        undo=container_network.reconnect,
        prove=container_network.prove_reconnected,
    ),
    "container.rejoin": Verb(
        arguments=container_partition.ARGUMENTS,
        undo=container_partition.rejoin,
        prove=container_partition.prove_rejoined,
    ),
    "cluster.put_back": Verb(
        arguments=cluster_object.CHANGED,
        undo=cluster_object.put_back,
        prove=cluster_object.prove_back,
        call_off=cluster_object.call_off,
    ),
    "cluster.delete": Verb(
        arguments=cluster_object.OBJECT,
        undo=cluster_object.delete,
        prove=cluster_object.prove_deleted,
    ),
    "workload.ensure_ready": Verb(
        arguments=service_pod.ARGUMENTS,
        undo=service_pod.nothing_to_undo,
        prove=service_pod.prove_ready,
    ),
    "workload.scale_back": Verb(
        arguments=service_pod.MARKED,
        undo=service_pod.scale_back,
        prove=service_pod.prove_given_back,
        call_off=service_pod.call_off,
    ),
    "workload.put_back": Verb(
        arguments=workload_template.CHANGED,
        undo=workload_template.put_back,
        prove=workload_template.prove_back,
        call_off=service_pod.call_off,
    ),
    "workload.restore_image": Verb(
        arguments=workload_template.IMAGE,
        undo=workload_template.restore_image,
        prove=workload_template.prove_image,
        call_off=service_pod.call_off,
    ),
    "container_in_pod.ensure_ready": Verb(
        arguments=pod_container.ARGUMENTS,
        undo=service_pod.nothing_to_undo,
        prove=service_pod.prove_ready,
    ),
    "cluster.delete_labelled": Verb(
        arguments=cluster_labelled.ARGUMENTS,
        undo=cluster_labelled.delete,
        prove=cluster_labelled.prove_deleted,
    ),
    "node.give_back": Verb(
        arguments=service_node.DRAINED,
        undo=cluster_object.put_back,
        prove=service_node.prove_moved,
        call_off=cluster_object.call_off,
    ),
    "node.start": Verb(
        arguments=node_power.ARGUMENTS,
        undo=node_power.start,
        prove=node_power.prove_back,
    ),
    "config.restore": Verb(
        arguments=config_key.ARGUMENTS,
        undo=config_key.restore,
        prove=config_key.prove_restored,
        call_off=config_key.call_off,
    ),
    "policy.lift": Verb(
        arguments=pod_isolation.ARGUMENTS,
        undo=cluster_labelled.delete,
        prove=pod_isolation.prove_lifted,
    ),
    "pod_stressor.end": Verb(
        arguments=pod_stressor.ARGUMENTS,
        undo=pod_stressor.end,
        prove=pod_stressor.prove_ended,
    ),
    "toxiproxy.rejoin": Verb(
        arguments=edge_partition.ARGUMENTS,
        undo=edge_partition.rejoin,
        prove=edge_partition.prove_rejoined,
        also=toxiproxy_server.ARGUMENTS,
    ),
}


def verb_of(name: str, arguments: Arguments) -> Verb:
    """Look up a verb and check that its arguments are complete.

    Raises:
        FaultError: No such verb, or an argument is missing or unknown.
    """
    verb = VERBS.get(name)
    if verb is None:
        raise FaultError(f"Unknown undo verb {name!r}; known: {', '.join(VERBS)}.")
    if set(arguments) not in (set(verb.arguments), {*verb.arguments, *verb.also}):
        raise FaultError(
            f"The undo verb {name!r} takes {', '.join(verb.arguments)}; "
            f"the entry has {', '.join(sorted(arguments)) or 'nothing'}."
        )
    return verb
