"""The fixed table of looks: how it is seen, from outside, that a fault bites.

A look only reads. It is told the undo arguments of an entry and the effect to be seen, both
plain data, so that anybody who holds the entry can look again.

Toxicity is drawn per connection: where ``connections`` is in the effect, a look takes that
many fresh connections at most, and the first that meets the fault is enough. So it is with
``draws``, where the share is drawn per request; each is made on a connection of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness import (
    cluster_labelled,
    cluster_object,
    config_key,
    connection_slots,
    container_network,
    container_partition,
    edge_partition,
    fsync_latency,
    node_power,
    node_pressure,
    open_files,
    pod_container,
    pod_isolation,
    pod_quota,
    pod_stressor,
    probe,
    service_clock,
    service_container,
    service_node,
    service_pod,
    service_process,
    stressor,
    workload_template,
)
from harness.errors import FaultError
from harness.http_looks import HTTP_LOOKS
from harness.network_looks import NETWORK_LOOKS
from harness.probe import Effect

Arguments = Mapping[str, str]
EffectFields = Mapping[str, float]

#: What chance decides about, by the field of the effect that says how often to try.
DRAWN = {"connections": ("connection", "toxicity"), "draws": ("request", "the share")}


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look met, in words, and whether it is the fault."""

    bites: bool
    words: str


def _request(arguments: Arguments, effect: EffectFields) -> Seen:
    """A timed request on a fresh connection through the faulted path."""
    wanted = Effect(**effect)
    met = probe.ask(arguments["listen"], arguments["health_path"], wanted.look_timeout_s)
    return Seen(wanted.seen_in(met), f"a request through {arguments['listen']} met {met}")


def _on_the_network(name: str) -> Callable[[Arguments, EffectFields], Seen]:
    return lambda arguments, effect: Seen(*NETWORK_LOOKS[name](arguments, effect))


def _over_http(name: str) -> Callable[[Arguments, EffectFields], Seen]:
    return lambda arguments, effect: Seen(*HTTP_LOOKS[name](arguments, effect))


LOOKS: Mapping[str, Callable[[Arguments, EffectFields], Seen]] = {
    "request": _request,
    "stressor_works": lambda arguments, effect: Seen(*stressor.look_works(arguments, effect)),
    "fsync_slow": lambda arguments, effect: Seen(*fsync_latency.look_slow(arguments, effect)),
    "connections_taken": lambda arguments, effect: Seen(
        *connection_slots.look_taken(arguments, effect)
    ),
    "process_gone": lambda arguments, _: Seen(*service_process.look_gone(arguments)),
    "process_stopped": lambda arguments, _: Seen(*service_process.look_stopped(arguments)),
    "service_held_down": lambda arguments, _: Seen(*service_process.look_held_down(arguments)),
    "descriptors_exhausted": lambda arguments, _: Seen(*open_files.look_exhausted(arguments)),
    "clock_off": lambda arguments, effect: Seen(*service_clock.look_off(arguments, effect)),
    "container_gone": lambda arguments, _: Seen(*service_container.look_gone(arguments)),
    "container_paused": lambda arguments, _: Seen(*service_container.look_paused(arguments)),
    "container_down": lambda arguments, _: Seen(*service_container.look_down(arguments)),
    "object_changed": lambda arguments, _: Seen(*cluster_object.look_changed(arguments)),
    "object_there": lambda arguments, _: Seen(*cluster_object.look_there(arguments)),
    "pod_gone": lambda arguments, _: Seen(*service_pod.look_gone(arguments)),
    "pod_replaced": lambda arguments, _: Seen(*service_pod.look_replaced(arguments)),
    "container_restarted": lambda arguments, _: Seen(*pod_container.look_restarted(arguments)),
    "node_drained": lambda arguments, _: Seen(*service_node.look_drained(arguments)),
    "node_down": lambda arguments, _: Seen(*node_power.look_down(arguments)),
    "image_cannot_start": lambda arguments, _: Seen(
        *workload_template.look_cannot_start(arguments)
    ),
    "template_changed": lambda arguments, _: Seen(*workload_template.look_changed(arguments)),
    "config_changed": lambda arguments, _: Seen(*config_key.look_changed(arguments)),
    "labelled_there": lambda arguments, _: Seen(*cluster_labelled.look_there(arguments)),
    "quota_refuses": lambda arguments, _: Seen(*pod_quota.look_refuses(arguments)),
    "pod_isolated": lambda arguments, _: Seen(*pod_isolation.look_cut(arguments)),
    "pod_stressor_works": lambda arguments, effect: Seen(
        *pod_stressor.look_works(arguments, effect)
    ),
    "node_under_pressure": lambda arguments, effect: Seen(
        *node_pressure.look_works(arguments, effect)
    ),
    "workload_down": lambda arguments, _: Seen(*service_pod.look_down(arguments)),
    "container_disconnected": lambda arguments, _: Seen(
        *container_network.look_disconnected(arguments)
    ),
    "containers_partitioned": lambda arguments, _: Seen(
        *container_partition.look_partitioned(arguments)
    ),
    "edges_cut": lambda arguments, _: Seen(*edge_partition.look_cut(arguments)),
    **{name: _on_the_network(name) for name in NETWORK_LOOKS},
    **{name: _over_http(name) for name in HTTP_LOOKS},
}


def look(name: str, arguments: Arguments, effect: EffectFields) -> Seen:
    """Look once, or on as many fresh connections as the effect allows.

    Raises:
        FaultError: No such look.
    """
    if name not in LOOKS:
        raise FaultError(f"Unknown look {name!r}; known: {', '.join(LOOKS)}.")
    once = {key: value for key, value in effect.items() if key not in DRAWN}
    drawn = next((key for key in DRAWN if key in effect), None)
    if drawn is None:
        return LOOKS[name](arguments, once)
    most, taken, seen = int(effect[drawn]), 0, Seen(False, "")
    while taken < most and not seen.bites:
        seen, taken = LOOKS[name](arguments, once), taken + 1
    unit, chance = DRAWN[drawn]
    of = f"{unit} {taken} of at most {most}; {chance} is drawn per {unit}"
    return Seen(seen.bites, f"{seen.words} ({of})")
