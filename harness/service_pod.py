"""The pods of a Kubernetes workload: looked at and brought back by their identity.

A pod is always meant by its uid and its restarts, a workload by its uid; all are read again at
the moment of every deed. Everything here takes plain text (:data:`ARGUMENTS`), so that whoever
holds an undo entry can look and undo.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness import cluster_mark, probe, workload_pods
from harness.cluster import JSON, Cluster, Pod, Workload, parse_pod, parse_workload
from harness.cluster_object import cluster_of
from harness.cluster_paths import namespaced, workloads
from harness.errors import FaultError, HarnessError

Arguments = Mapping[str, str]

#: What an undo entry has to say: the cluster, by context and uid; the workload, by kind, name
#: and uid, and how many replicas it had; the pods that were meant, by names and identities with
#: commas between them; where the service answered.
ARGUMENTS = (
    "context",
    "kubeconfig",
    "cluster",
    "namespace",
    "kind",
    "service",
    "workload",
    "replicas",
    "pod",
    "identity",
    "address",
    "health_path",
)
#: On top, where the workload itself is changed: the mark that it bears meanwhile.
MARKED = (*ARGUMENTS, "mark")

ANSWER_WITHIN_S = 1.0


def path_of(arguments: Arguments) -> str:
    """Where the entry's workload is."""
    return workloads(arguments["namespace"], arguments["kind"], arguments["service"])


def described(cluster: Cluster, arguments: Arguments) -> JSON | None:
    """The very workload as the server describes it, None when it was deleted or made anew."""
    return cluster_mark.found(cluster, path_of(arguments), arguments["workload"])


def present(cluster: Cluster, arguments: Arguments) -> Workload | None:
    """The workload that an entry names, None when it was deleted or made anew."""
    raw = described(cluster, arguments)
    return None if raw is None else parse_workload(arguments["kind"], raw)


def pods_of(cluster: Cluster, arguments: Arguments) -> tuple[Pod, ...]:
    """The pods of the entry's names as they are now, whoever they are."""
    paths = (namespaced(arguments["namespace"], "pods", n) for n in arguments["pod"].split(","))
    return tuple(parse_pod(raw) for path in paths if (raw := cluster.get(path)) is not None)


def is_same(pod: Pod, arguments: Arguments) -> bool:
    """Whether it is one of those that were meant, runs, and has not started anew since."""
    return bool(pod.identity) and pod.identity in arguments["identity"].split(",")


def same(cluster: Cluster, arguments: Arguments) -> tuple[Pod, ...]:
    """Those that were meant and still run."""
    return tuple(pod for pod in pods_of(cluster, arguments) if is_same(pod, arguments))


def left(cluster: Cluster, arguments: Arguments) -> tuple[Pod, ...]:
    """Those that were meant and still run, or were told to end and have not yet."""
    meant = arguments["identity"].split(",")
    return tuple(
        pod
        for pod in pods_of(cluster, arguments)
        if pod.phase == "Running" and pod.started in meant
    )


# -- looks: whether the fault is there, and what was met, in words


def look_gone(arguments: Arguments) -> tuple[bool, str]:
    """No pod that was meant runs any more, whatever has come in their place."""
    with cluster_of(arguments) as cluster:
        running = left(cluster, arguments)
    if running:
        names = ", ".join(pod.name for pod in running)
        return False, f"{names} of {arguments['service']} still {_verb('run', len(running))}"
    return True, f"{_words(arguments)} {'have' if ',' in arguments['pod'] else 'has'} ended"


def look_replaced(arguments: Arguments) -> tuple[bool, str]:
    """At least one pod that was meant does not run any more: they are being made anew."""
    with cluster_of(arguments) as cluster:
        running = left(cluster, arguments)
    many = len(arguments["identity"].split(","))
    ended = many - len(running)
    return ended > 0, f"{ended} of {many} pods of {arguments['service']} have ended"


def look_down(arguments: Arguments) -> tuple[bool, str]:
    """No replica is asked for, no pod is left, and nothing listens in their place."""
    with cluster_of(arguments) as cluster:
        now = present(cluster, arguments)
        left = () if now is None else workload_pods.pods_of(cluster, arguments["namespace"], now)
    service, address = arguments["service"], arguments["address"]
    if now is None:
        return False, f"{service} was deleted"
    listens = bool(address) and probe.listens(address)
    heard = f", {address} {'accepts' if listens else 'takes no'} connections" if address else ""
    words = f"{service} has {now.replicas} replicas asked for and {len(left)} pods{heard}"
    return not now.replicas and not left and not listens, words


# -- undo


def nothing_to_undo(arguments: Arguments) -> None:
    """Its controller makes a new pod by itself."""


def scale_back(arguments: Arguments) -> None:
    """As many replicas as before, unless somebody has asked for others meanwhile."""

    def back(raw: JSON) -> JSON:
        ours = raw["spec"].get("replicas") == 0
        return {"spec": {"replicas": int(arguments["replicas"])}} if ours else {}

    take_back(arguments, back)


def take_back(arguments: Arguments, back: cluster_mark.Change) -> None:
    """Take the change of the workload back, and its mark with it; only while it bears the mark."""
    path, uid = path_of(arguments), arguments["workload"]
    with cluster_of(arguments) as cluster:
        cluster_mark.take_back(cluster, path, uid, arguments["mark"], back)


def call_off(arguments: Arguments) -> None:
    """See that a change which may still be on its way is refused when it arrives."""
    path, uid = path_of(arguments), arguments["workload"]
    with cluster_of(arguments) as cluster:
        cluster_mark.call_off(cluster, path, uid, arguments["mark"])


def prove_given_back(arguments: Arguments) -> str:
    """The workload does not bear the mark any more, and has all the pods it is asked for.

    Who has asked for none since, or has injected another fault into it, has their reasons: then
    its pods tell nothing of this one.

    Raises:
        FaultError: It does, or has not yet.
    """
    with cluster_of(arguments) as cluster:
        raw = described(cluster, arguments)
    if raw is not None:
        service = arguments["service"]
        cluster_mark.refuse_if_left(raw, arguments["mark"], service)
        if other := cluster_mark.of(raw):
            return f"{service} bears the mark of another fault since, {other}: this one is undone"
        if raw["spec"].get("replicas") == 0:
            return f"{service} was scaled to nothing by somebody else since, and it stays so"
    return prove_ready(arguments)


def prove_ready(arguments: Arguments) -> str:
    """The workload has all the pods it is asked for, and the service answers.

    That all the very pods still run means that nobody was hit: the injector got no further than
    its intent.

    Raises:
        FaultError: Not yet.
    """
    with cluster_of(arguments) as cluster:
        now = present(cluster, arguments)
        if now is None:
            return f"{arguments['service']} was deleted or made anew: the fault went with it"
        pods = workload_pods.pods_of(cluster, arguments["namespace"], now)
    service = arguments["service"]
    well = [pod for pod in pods if pod.ready and pod.up]
    if not now.replicas and arguments["replicas"] != "0":
        raise FaultError(f"{service} still has no replicas asked for.")
    if not now.settled or len(well) != now.replicas:
        raise FaultError(
            f"{service} has {len(well)} of {now.replicas} pods ready, "
            f"{now.updated} of {now.total} up to date."
        )
    answer = _answer(arguments)
    unhit = [pod for pod in well if is_same(pod, arguments)]
    if len(unhit) == len(arguments["identity"].split(",")):
        be, it = ("are", "they") if len(unhit) > 1 else ("is", "it")
        return f"{service} {answer}; {_words(arguments)} {be} the same as before: {it} never ended"
    names = ", ".join(pod.name for pod in well)
    return f"{service} {answer}; ready are {names}"


def is_starting(arguments: Arguments) -> bool:
    """Whether an entry is about a workload whose pods are being made, or become ready."""
    if not set(ARGUMENTS) <= arguments.keys():
        return False
    try:
        with cluster_of(arguments) as cluster:
            now = present(cluster, arguments)
    except HarnessError:
        return False
    return now is not None and now.replicas > 0


def _answer(arguments: Arguments) -> str:
    """That the service answers, in words.

    Raises:
        FaultError: It does not, or not yet.
    """
    if not arguments["address"]:
        return "has all its pods ready and no port to ask from here"
    met = probe.ask(arguments["address"], arguments["health_path"], ANSWER_WITHIN_S)
    if not met.answered:
        raise FaultError(f"{arguments['service']} does not answer yet: a request met {met}.")
    return f"got {met}"


def _words(arguments: Arguments) -> str:
    names = arguments["pod"].split(",")
    return f"{'pods' if len(names) > 1 else 'pod'} {', '.join(names)} of {arguments['service']}"


def _verb(verb: str, count: int) -> str:
    return verb if count > 1 else f"{verb}s"
