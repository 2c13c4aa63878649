"""The table of fault kinds: what each does, what it takes. No discovery, no plugins."""

from __future__ import annotations

from collections.abc import Mapping

from harness.faults.cluster_kinds import CLUSTER_KINDS
from harness.faults.kind import Kind

_TARGET = {"target": "an edge of the stack, such as gateway->llm-gateway"}
_SHARE = {"toxicity": "share of the connections that it hits, 0.05 to 1; default 1"}
_DIRECTION = {"direction": "to_caller (answers) or to_callee (requests); default to_caller"}
_REQUESTS = {
    "share": "share of the requests that it hits, 0.05 to 1; default 1",
    "path": "it hits requests whose path begins so; default /",
    "look_path": "where to look; default the health path, or path where that is not hit",
}
_SERVICE = {"target": "a service of the stack, such as recommender"}

KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            name="timeout",
            summary="Black hole: connections are accepted, nothing comes back.",
            parameters={**_TARGET, **_DIRECTION, **_SHARE},
        ),
        Kind(
            name="latency",
            summary="What is sent one way is delayed.",
            parameters={
                **_TARGET,
                "latency_ms": "added delay, milliseconds, above 0",
                "jitter_ms": "how much the delay varies, milliseconds, below latency_ms; default 0",
                **_DIRECTION,
                **_SHARE,
            },
        ),
        Kind(
            name="bandwidth",
            summary="What is sent one way passes at a limited rate.",
            parameters={
                **_TARGET,
                "rate_kb_s": "rate of each connection, kilobytes per second, above 0",
                **_DIRECTION,
                **_SHARE,
            },
        ),
        Kind(
            name="reset_peer",
            summary="Connections are reset instead of answered.",
            parameters={
                **_TARGET,
                "after_ms": "time from the first bytes to the reset, milliseconds; default 0",
                **_DIRECTION,
                **_SHARE,
            },
        ),
        Kind(
            name="slicer",
            summary="Answers are cut into small pieces with pauses between them.",
            parameters={
                **_TARGET,
                "average_bytes": "size of a piece, bytes; default 16",
                "vary_bytes": "how much the size varies, bytes, below average_bytes; default 0",
                "delay_us": "pause after each piece, microseconds, above 0; default 1000",
                **_SHARE,
            },
        ),
        Kind(
            name="limit_data",
            summary="Connections are closed after so many bytes of answers.",
            parameters={
                **_TARGET,
                "limit_bytes": "what passes on one connection, headers included, bytes, above 0",
                **_SHARE,
            },
        ),
        Kind(
            name="slow_close",
            summary="Connections stay open for a while after the callee has closed them.",
            parameters={
                **_TARGET,
                "delay_ms": "how long the end is held back, milliseconds, 50 to 3000",
                **_SHARE,
            },
        ),
        Kind(
            name="down",
            summary="Connections are refused, and those that were open end.",
            parameters=_TARGET,
        ),
        Kind(
            name="http_error",
            summary="Requests are answered with an HTTP error instead of being passed on.",
            parameters={
                **_TARGET,
                "status": "of the answer, 400 to 599; default 503",
                "body": "text of the answer; default none",
                **_REQUESTS,
            },
        ),
        Kind(
            name="http_429",
            summary="Requests are refused as too many, and told when to come again.",
            parameters={
                **_TARGET,
                "retry_after_s": "the header Retry-After, seconds; 0 sends none; default 1",
                **_REQUESTS,
            },
        ),
        Kind(
            name="slow_first_byte",
            summary="Answers begin late; what follows the first byte is not slowed down.",
            parameters={
                **_TARGET,
                "delay_ms": "how much later, milliseconds, from 50",
                **_REQUESTS,
            },
        ),
        Kind(
            name="stall_stream",
            summary="Answers stop in the middle, with the connection open.",
            parameters={
                **_TARGET,
                "after_bytes": "how many bytes of a body come first; shorter ones pass whole",
                "stall_ms": "how long, milliseconds, from 50; 0 is for good; default 0",
                **_REQUESTS,
            },
        ),
        Kind(
            name="truncate_stream",
            summary="Answers break off in the middle: the connection ends before they do.",
            parameters={
                **_TARGET,
                "after_bytes": "how many bytes of a body come first; shorter ones pass whole",
                **_REQUESTS,
            },
        ),
        Kind(
            name="kill",
            summary="The process of a service is killed; its supervisor starts another one.",
            parameters={**_SERVICE, "signal": "KILL or TERM; default KILL"},
        ),
        Kind(
            name="restart",
            summary="A service is asked to end, killed after two seconds, and started again.",
            parameters=_SERVICE,
        ),
        Kind(
            name="pause",
            summary="The process of a service is stopped in its tracks until healed.",
            parameters=_SERVICE,
        ),
        Kind(
            name="stop",
            summary="A service is ended and held down until healed.",
            parameters={**_SERVICE, "signal": "KILL or TERM; default KILL"},
        ),
        Kind(
            name="descriptors",
            summary="A service runs out of file descriptors (Linux).",
            parameters={**_SERVICE, "spare": "how many more it may open, 0 to 64; default 0"},
        ),
        Kind(
            name="clock",
            summary="A service is restarted with a clock that is off (libfaketime).",
            parameters={
                **_SERVICE,
                "offset_s": "seconds ahead, or behind when negative; at least 10",
            },
        ),
        Kind(
            name="disconnect",
            summary="A service loses a network (compose).",
            parameters={
                **_SERVICE,
                "network": "its name, with or without the project's; the only one by default",
            },
        ),
        Kind(
            name="partition",
            summary="Two services do not reach each other.",
            parameters={
                "target": "one service of the stack, a",
                "peer": "the other one, b",
                "direction": "both, or what one opens: a_to_b, b_to_a; default both",
            },
        ),
        Kind(
            name="cpu",
            summary="Processors of the service's machine, or of its container, are kept busy.",
            parameters={
                **_SERVICE,
                "workers": "how many processors; default 1",
                "container": "its name (Kubernetes); the first one by default",
            },
        ),
        Kind(
            name="memory",
            summary="Memory of the service's machine, or of its container, is used up.",
            parameters={
                **_SERVICE,
                "megabytes": "how much, 1 to 8192",
                "container": "its name (Kubernetes); the first one by default",
            },
        ),
        Kind(
            name="disk_latency",
            summary="Synced writes on a disk of the service's machine become slow.",
            parameters={
                **_SERVICE,
                "latency_ms": "what a small synced write takes at least, 1 to 1000",
                "folder": "on the disk that is meant; the stack's own by default",
            },
        ),
        Kind(
            name="pool_exhaustion",
            summary="A database server has no connection left: PostgreSQL or Redis.",
            parameters={
                "target": "a service whose url is postgresql://… or redis://…",
                "connections": "how many are held at most, 1 to 5000; default 1000",
            },
        ),
        Kind(
            name="disk",
            summary="A disk of the service's machine is filled, to a bound.",
            parameters={
                **_SERVICE,
                "megabytes": "how much, 1 to 8192",
                "folder": "where to write; the folder for temporary files by default",
            },
        ),
        *CLUSTER_KINDS,
    )
}

_ON_EDGES = {
    **dict.fromkeys(
        ("timeout", "latency", "bandwidth", "reset_peer", "slicer", "limit_data", "slow_close"),
        "toxiproxy.remove_toxic",
    ),
    "down": "toxiproxy.enable",
}
_OVER_HTTP = dict.fromkeys(
    ("http_error", "http_429", "slow_first_byte", "stall_stream", "truncate_stream"),
    "toxiproxy.restore_upstream",
)

#: The verb out of :data:`harness.verbs.VERBS` that undoes each kind that a driver offers. Where
#: a quick answer would not prove it, the entry has the variant of the verb that looks as well;
#: where the containers' own networks cannot be cut, the one for the edges between them.
UNDONE_BY: Mapping[str, Mapping[str, str]] = {
    "local": {
        **_ON_EDGES,
        **_OVER_HTTP,
        **dict.fromkeys(("kill", "restart", "stop"), "process.ensure_running"),
        "pause": "process.resume",
        "partition": "toxiproxy.rejoin",
        "descriptors": "descriptors.restore",
        "clock": "clock.restore",
        "disk_latency": "fsync.end",
        "pool_exhaustion": "connections.release",
        **dict.fromkeys(("cpu", "memory", "disk"), "stressor.end"),
    },
    "compose": {
        **_ON_EDGES,
        **_OVER_HTTP,
        **dict.fromkeys(("kill", "restart", "stop"), "container.ensure_running"),
        "pause": "container.resume",
        "disconnect": "container.reconnect",
        "partition": "container.rejoin",
        "pool_exhaustion": "connections.release",
    },
    "kubernetes": {
        **_ON_EDGES,
        **dict.fromkeys(
            ("kill", "restart", "pod_kill", "evict", "rollout_restart"), "workload.ensure_ready"
        ),
        "stop": "workload.scale_back",
        "partition": "toxiproxy.rejoin",
        "container_kill": "container_in_pod.ensure_ready",
        "cordon": "cluster.put_back",
        "drain": "node.give_back",
        "node_stop": "node.start",
        "bad_image": "workload.restore_image",
        "dns": "workload.put_back",
        "config": "config.restore",
        "isolate": "policy.lift",
        **dict.fromkeys(("quota", "node_pressure"), "cluster.delete_labelled"),
        **dict.fromkeys(("cpu", "memory"), "pod_stressor.end"),
        "pool_exhaustion": "connections.release",
    },
}
