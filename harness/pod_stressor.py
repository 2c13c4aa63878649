"""A stressor inside a container of a pod: in its cgroup, found by a token, ended by itself.

It is a few lines of ``sh``, and needs ``sh`` alone for processors; for memory ``head``, ``tail``
and ``sleep`` as well. It lives for :data:`LEASE_S` and must be told to go on before that is over
(:func:`renew`), so that it ends with whoever injected it. Everything here takes plain text
(:data:`ARGUMENTS`), so that whoever holds an undo entry can look and undo.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.cluster import Cluster, Pod, parse_pod
from harness.cluster_object import cluster_of
from harness.cluster_paths import namespaced
from harness.errors import FaultError

Arguments = Mapping[str, str]

#: The cluster, the pod by its identity, its container, and the id of the entry.
ARGUMENTS = (
    "context",
    "kubeconfig",
    "cluster",
    "namespace",
    "pod",
    "identity",
    "container",
    "token",
)
LEASE_S = 8
RENEW_S = 2.0
PAUSE_S = 0.5
PAGE_MB = 4096 / 2**20
_PPID, _UTIME, _STIME, _RSS = 1, 11, 12, 21  # in /proc/PID/stat, after the name

#: Lives while it is renewed, by a signal that harms nobody who does not wait for it.
_LEASE = (
    f"lease() {{ read u _ </proc/uptime; e=$((${{u%%.*}}+{LEASE_S})); }}; "
    "live() { read u _ </proc/uptime; [ ${u%%.*} -lt $e ]; }; "
)
_BURN = (
    f"{_LEASE}trap lease CONT; lease; while live; do "
    "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; done"
)
#: ``tail`` keeps what it is given until the end of its input, which comes with the lease's; the
#: second file that it is asked for is only there to be found by its name.
_HOLD = (
    f"{_LEASE}trap : CONT; {{ trap lease CONT; lease; head -c $1 /dev/zero; "
    'while live; do sleep 1; done; } | tail - "$0" >/dev/null'
)
#: Starts ``$5`` of the script ``$3`` with the argument ``$4``, under the token.
_START = (
    'i=0; while [ $i -lt $5 ]; do sh -c "$3" "$2$1" "$4" </dev/null >/dev/null 2>&1 & '
    "i=$((i+1)); done"
)
#: Every process, marked where its command line has the token. The token always comes in two
#: parts in the wrong order, so that who looks or starts does not find itself.
_SCAN = (
    "for p in /proc/[0-9]*; do line=; stat=; "
    '{ read -r line <"$p/cmdline"; read -r stat <"$p/stat"; } 2>/dev/null; '
    'case $line in *"$2$1"*) mark=+ ;; *) mark=- ;; esac; '
    '[ "$stat" ] && echo "$mark $stat"; done; :'
)
_SIGNAL = (
    "for p in /proc/[0-9]*; do line=; "
    '{ read -r line <"$p/cmdline"; } 2>/dev/null; '
    'case $line in *"$2$1"*) kill -"$0" "${p#/proc/}" 2>/dev/null ;; esac; done; :'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What the processes of a token use: how many there are, processor ticks, memory."""

    processes: int
    ticks: int
    megabytes: float


def start(cluster: Cluster, arguments: Arguments, resource: str, amount: int) -> None:
    """Start it: so many processors, or so many megabytes.

    Raises:
        FaultError: The container has no shell, or the server refuses.
    """
    _execute(cluster, arguments, _started(_START, resource, amount, arguments["token"]))


def command(resource: str, amount: int, token: str) -> list[str]:
    """What a pod of its own runs to use up so many processors or megabytes, for good.

    Its lease is renewed from inside: such a pod ends by its deadline, or when it is told to. The
    kernel keeps signals without a handler from the first process of a container, and a shell
    handles none before its command has ended: so it waits for a sleep beside it.
    """
    renewing = (
        f"trap 'exit 0' TERM; {_START}; while sleep {RENEW_S:g} & wait $!; do "
        f'sh -c \'{_SIGNAL}\' CONT "$1" "$2"; done'
    )
    return _started(renewing, resource, amount, token)


def _started(launcher: str, resource: str, amount: int, token: str) -> list[str]:
    burns = resource == "cpu"
    script, argument = (_BURN, "") if burns else (_HOLD, str(amount * 2**20))
    workers = amount if burns else 1
    return ["sh", "-c", launcher, "sh", *_halves(token), script, argument, str(workers)]


def renew(cluster: Cluster, arguments: Arguments) -> None:
    """Give it another lease.

    Raises:
        FaultError: The container is not there, or the server refuses.
    """
    _signal(cluster, arguments, "CONT")


def is_same(cluster: Cluster, arguments: Arguments) -> bool:
    """Whether the container is in the start that was meant; with another it has ended."""
    pod = _pod(cluster, arguments)
    return pod is not None and pod.identity == arguments["identity"]


def used(cluster: Cluster, arguments: Arguments) -> Used:
    """What it uses now.

    Raises:
        FaultError: The container is not there, or the server refuses.
    """
    scan = ["sh", "-c", _SCAN, "sh", *_halves(arguments["token"])]
    return read(_execute(cluster, arguments, scan))


def read(scanned: str) -> Used:
    """What the marked processes and their children use, out of what a scan printed.

    Raises:
        FaultError: It printed something else.
    """
    rows: list[tuple[bool, str, list[str]]] = []
    try:
        for line in scanned.splitlines():
            mark, pid, rest = line.split(" ", 2)
            rows.append((mark == "+", pid, rest.rpartition(")")[2].split()))
        marked = {pid for ours, pid, _ in rows if ours}
        mine = [f for ours, _, f in rows if ours or f[_PPID] in marked]
        return Used(
            processes=len(marked),
            ticks=sum(int(f[_UTIME]) + int(f[_STIME]) for f in mine),
            megabytes=sum(int(f[_RSS]) for f in mine) * PAGE_MB,
        )
    except (ValueError, IndexError) as error:
        raise FaultError(f"A container told of its processes in another way: {error}.") from error


# -- look and undo


def look_works(arguments: Arguments, effect: Mapping[str, float]) -> tuple[bool, str]:
    """Whether it uses up what it should; ``effect`` names the resource and how much."""
    where = f"in {arguments['container']} of {arguments['pod']}"
    with cluster_of(arguments) as cluster:
        if not is_same(cluster, arguments):
            return False, f"its container {where} has ended or started anew"
        before = used(cluster, arguments)
        if "memory" in effect:
            bites = before.processes > 0 and before.megabytes >= effect["memory"]
            return bites, f"{before.processes} processes {where} hold {before.megabytes:.0f} MB"
        time.sleep(PAUSE_S)
        after = used(cluster, arguments)
    burnt = after.ticks - before.ticks
    words = f"{after.processes} processes {where} burnt {burnt} ticks in {PAUSE_S:g} s"
    return after.processes >= effect["cpu"] and burnt > 0, words


def end(arguments: Arguments) -> None:
    """Kill what carries the token; it ends with its container, too."""
    with cluster_of(arguments) as cluster:
        if is_same(cluster, arguments):
            _signal(cluster, arguments, "KILL")


def prove_ended(arguments: Arguments) -> str:
    """Nothing in the container carries the token any more.

    Raises:
        FaultError: Something does.
    """
    with cluster_of(arguments) as cluster:
        if not is_same(cluster, arguments):
            return f"the container of {arguments['pod']} has ended, and its stressor with it"
        left = used(cluster, arguments).processes
    if left:
        raise FaultError(f"{left} processes of {arguments['token']} still run.")
    return f"no process of it runs in {arguments['container']} of {arguments['pod']} any more"


def _pod(cluster: Cluster, arguments: Arguments) -> Pod | None:
    raw = cluster.get(namespaced(arguments["namespace"], "pods", arguments["pod"]))
    return None if raw is None else parse_pod(raw)


def _signal(cluster: Cluster, arguments: Arguments, name: str) -> None:
    _execute(cluster, arguments, ["sh", "-c", _SIGNAL, name, *_halves(arguments["token"])])


def _halves(token: str) -> tuple[str, str]:
    """The second half of a token and the first one."""
    middle = len(token) // 2
    return token[middle:], token[:middle]


def _execute(cluster: Cluster, arguments: Arguments, argv: Sequence[str]) -> str:
    return cluster.execute(arguments["namespace"], arguments["pod"], arguments["container"], argv)
