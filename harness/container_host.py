"""What this machine can do to a container beside the engine, if it is the engine's host.

Processes and network namespaces are only touched when the process is proven to be the
container's, by its control group; a number that a remote engine names belongs to somebody
else here.
"""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from harness import namespace
from harness.containers import Container
from harness.control import identity_of
from harness.errors import FaultError

TIMEOUT_S = 4.0
IPTABLES = ("iptables", "ip6tables")
CLONE_NEWNET = 0x40000000  # what setns(2) calls a network namespace

T = TypeVar("T")


def process_of(container: Container) -> str:
    """``pid:start`` of the container's first process, empty when it is not on this machine."""
    if not container.pid:
        return ""
    identity = identity_of(container.pid)
    try:
        groups = Path(f"/proc/{container.pid}/cgroup").read_text()
    except OSError:
        return ""
    ours = container.id in groups and identity == identity_of(container.pid)
    return identity if ours else ""


def why_not(container: Container, *programs: str) -> str:
    """Why nothing can be done in the container's network namespace; empty when it can."""
    if os.geteuid() != 0:
        return "that takes root, and this process is not"
    if not process_of(container):
        return f"no process of {container.name} is on this machine: the engine runs elsewhere"
    missing = [name for name in programs if shutil.which(name) is None]
    return f"this machine has no {', '.join(missing)}" if missing else ""


def meet(container: Container, wanted: Sequence[str], timeout_s: float) -> dict[str, str]:
    """What the container's network meets at addresses and names; see :mod:`harness.namespace`.

    Raises:
        FaultError: The namespace could not be entered.
    """
    return _inside(container, lambda: namespace.meet(wanted, timeout_s))


def add_rules(container: Container, rules: Sequence[Sequence[str]]) -> None:
    """Run each rule, an argument vector of ``iptables`` or ``ip6tables``, in its namespace.

    Raises:
        FaultError: One was not taken.
    """
    for rule in rules:
        _run(container, rule)


def remove_rules(container: Container, tag: str) -> None:
    """Delete every rule of the container's namespace whose comment is the tag."""
    for program in filter(shutil.which, IPTABLES):
        for rule in _tagged(container, program, tag):
            _run(container, [program, "-w", "2", "-D", *rule[1:]])


def count_rules(container: Container, tag: str) -> int:
    """How many rules of the container's namespace have the tag for a comment."""
    return sum(len(_tagged(container, p, tag)) for p in filter(shutil.which, IPTABLES))


def _tagged(container: Container, program: str, tag: str) -> list[list[str]]:
    lines = _run(container, [program, "-w", "2", "-S"]).splitlines()
    rules = [shlex.split(line) for line in lines]
    return [rule for rule in rules if rule[0] == "-A" and tag in rule]


def _run(container: Container, argv: Sequence[str]) -> str:
    """Run a program in the container's network namespace and return what it printed."""

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)

    try:
        done = _inside(container, run)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FaultError(f"{argv[0]} in the network of {container.name}: {error}.") from error
    if done.returncode:
        raise FaultError(
            f"{shlex.join(argv)} in the network of {container.name} failed: {done.stderr.strip()}"
        )
    return done.stdout


def _inside(container: Container, deed: Callable[[], T]) -> T:
    """Do something in the container's network namespace: in a thread that enters it, and ends.

    Raises:
        FaultError: It cannot be entered.
    """
    reason = why_not(container)
    if reason:
        raise FaultError(f"The network of {container.name} cannot be entered: {reason}.")
    try:
        space = os.open(f"/proc/{container.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise FaultError(f"{container.name} has no network any more: {error}.") from error
    try:
        # Held open: what is the container's namespace now stays the one that is entered.
        if not process_of(container):
            raise FaultError(f"{container.name} ended just now.")
        with ThreadPoolExecutor(max_workers=1) as thread:
            return thread.submit(_entered, space, deed).result()
    finally:
        os.close(space)


def _entered(space: int, deed: Callable[[], T]) -> T:
    """Only this thread, and what it starts, are in the namespace."""
    if ctypes.CDLL(None, use_errno=True).setns(space, CLONE_NEWNET):
        problem = os.strerror(ctypes.get_errno())
        raise FaultError(f"The network of a container cannot be entered: {problem}.")
    return deed()
