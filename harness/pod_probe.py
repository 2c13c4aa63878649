"""Whether a container of a pod reaches an address: asked from inside, with what it has there."""

from __future__ import annotations

from harness.cluster import Cluster
from harness.errors import FaultError

OPEN, REFUSED, SILENT = "open", "refused", "silent"
#: A refusal has come through, too: only silence is cut off.
PASSED = (OPEN, REFUSED)
WITHIN_S = 2
_PYTHON = (
    "import socket, sys\n"
    f"s = socket.socket(); s.settimeout({WITHIN_S})\n"
    "try:\n    s.connect((sys.argv[1], int(sys.argv[2]))); print('open')\n"
    "except ConnectionRefusedError: print('refused')\n"
    "except OSError: print('silent')\n"
)
#: Some builds of busybox have an ``nc`` that cannot try a port only.
_NC = (
    "command -v nc >/dev/null || exit 127; "
    'case "$(nc -z 2>&1)" in *"invalid option"*) exit 127 ;; esac; '
    f'nc -z -w {WITHIN_S} "$0" "$1" && echo open || echo silent'
)
_BASH = (
    "command -v timeout >/dev/null || exit 127; "
    f'timeout {WITHIN_S} bash -c \'exec 3<>"/dev/tcp/$0/$1"\' "$0" "$1" 2>/dev/null '
    "&& echo open || echo silent"
)
#: Programs that can tell, by name; each is given host and port.
TOOLS = {
    "python3": ("python3", "-c", _PYTHON),
    "python": ("python", "-c", _PYTHON),
    "nc": ("sh", "-c", _NC),
    "bash": ("bash", "-c", _BASH),
}


def meet(
    cluster: Cluster, namespace: str, pod: str, container: str, tool: str, address: str
) -> str:
    """What a connection from inside to ``host:port`` meets: open, refused or silent.

    Raises:
        FaultError: The container has not that program, or the server refuses.
    """
    host, _, port = address.rpartition(":")
    found = cluster.execute(namespace, pod, container, [*TOOLS[tool], host, port]).strip()
    if found not in (OPEN, REFUSED, SILENT):
        raise FaultError(f"{tool} in {container} of {pod} answered {found[:80]!r}.")
    return found


def tool_in(cluster: Cluster, namespace: str, pod: str, container: str, address: str) -> str:
    """The first program of the container that reaches an address; empty when none does."""
    for tool in TOOLS:
        try:
            if meet(cluster, namespace, pod, container, tool, address) == OPEN:
                return tool
        except FaultError:
            continue  # it has not that one
    return ""
