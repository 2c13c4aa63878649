"""The guardian inside a cluster: undoes faults when the machine that injected them is gone.

A program of the standard library and a few modules of its kind, mounted into a stock image. It
watches the Lease of the run. When nobody renews it any more, or the run gives it up with
something left, it takes the Lease, so that a run which wakes up goes no further; undoes every
entry that is open, proves each, marks it, tries again what is not, gives the Lease back, and ends.
While somebody else has the Lease and lives, it is theirs to heal. When its namespace is deleted,
it heals at once, for none comes after it. All the time it renews a Lease of its own, by which the
run sees it alive.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import cluster_lease, cluster_object, service_account_api
from harness.cluster import JSON, Cluster, ConflictError, ForbiddenError
from harness.cluster_lease import Standing, Watched
from harness.cluster_undo import UNDO
from harness.errors import FaultError

TICK_S = 1.0
HEARTBEAT_S = 2.0
#: For how long it heals when its pod is told to end, where nobody else would.
LAST_S = 15.0
TERMINATED = 128 + signal.SIGTERM
#: A key of the entries' ConfigMap that says that an entry is healed, and the proof.
HEALED = ".healed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """What a guardian watches.

    Args:
        lease: Path of the run's Lease.
        holder: The run, as it stands in there.
        heartbeat: Path of the guardian's own Lease.
        entries: Path of the ConfigMap with the undo entries.
        namespace: Path of the namespace that it is in.
        remove: Objects of the cluster that it deletes when it is done, which no owner takes along.
    """

    lease: str
    holder: str
    heartbeat: str
    entries: str
    namespace: str
    remove: tuple[str, ...] = ()


class Guardian:
    """Watches one run.

    Args:
        cluster: The API server.
        post: What is watched.

    ``needed`` is the last answer of :meth:`is_needed`, which counts while nobody answers.
    """

    def __init__(self, cluster: Cluster, post: Post) -> None:
        self._cluster = cluster
        self._post = post
        self._name = cluster_lease.guardian_of(post.holder)  # whichever pod it runs in
        self._known: Watched | None = None
        self.needed = False
        self._entries: dict[str, str] | None = None
        self._beaten_at = -HEARTBEAT_S
        self._called_off: set[str] = set()

    def beat(self, at: float) -> None:
        """Say that it is alive, now and then."""
        if at - self._beaten_at >= HEARTBEAT_S:
            self._cluster.patch(self._post.heartbeat, cluster_lease.taken(self._name, time.time()))
            self._beaten_at = at

    def is_needed(self, at: float) -> bool:
        """Whether the run is gone: then the Lease is the guardian's from now on.

        A run or a command that has taken it heals by itself: as long as it lives, and unless it
        gives the Lease up with something left, the guardian stands aside.
        """
        self.needed = self._is_gone(at)
        return self.needed

    def _is_gone(self, at: float) -> bool:
        raw = self._cluster.get(self._post.lease)
        if raw is None:
            return True
        lease = cluster_lease.parse(raw)
        if cluster_lease.is_guardian(lease.holder):
            return True  # if that of another run, both heal: a race of two harms nobody
        self._known = cluster_lease.watched(self._known, lease, at)
        seen = cluster_lease.standing(lease, self._name, self._known, at)
        return seen in (Standing.FREE, Standing.STALE) and self._take(lease.version)

    def _take(self, version: str) -> bool:
        """Fence the run off, unless somebody else has done so already."""
        try:
            self._cluster.patch(
                self._post.lease, cluster_lease.taken(self._name, time.time(), version)
            )
        except ConflictError:
            return False  # it was renewed or taken at this very moment: look again
        say("the run is gone: undoing what is open")
        return True

    def keep(self) -> None:
        """Renew the run's Lease, if it is the guardian's: whoever wants the namespace waits."""
        raw = self._cluster.get(self._post.lease)
        lease = None if raw is None else cluster_lease.parse(raw)
        if lease is not None and lease.holder == self._name:
            self._cluster.patch(self._post.lease, cluster_lease.renewed(time.time(), lease.version))

    def is_due(self) -> bool:
        """Whether it heals before its pod ends, because nobody would come after it to do so.

        One that has to leave its node is started anew elsewhere, and while the run lives there
        is nothing to undo. But none is started in a namespace that is being deleted. There the
        guardian may have lost its rights before it is told to end. It loses them too when whoever
        has healed takes it away, and may not have read that yet: what it has of the whole cluster
        goes first then, so that it knows one from the other and touches nothing.

        Raises:
            FaultError: The API server does not answer.
        """
        try:
            found = self._cluster.get(self._post.namespace)
        except ForbiddenError:
            return any(self._seen(path) for path in self._post.remove)
        return self.needed or found is None or "deletionTimestamp" in found["metadata"]

    def remember(self) -> bool:
        """Read the entries; whether they are there.

        Otherwise those that were read last count: a namespace that is being deleted may lose
        them, or the right to read them, before it loses its guardian.
        """
        try:
            raw = self._cluster.get(self._post.entries)
        except ForbiddenError:
            if self._entries is None:
                raise
            return False
        if raw is not None:
            self._entries = dict(raw.get("data") or {})
        return raw is not None

    def heal(self) -> tuple[str, ...]:
        """Undo every open entry, newest first; problems of those that are left, in words."""
        there = self.remember()
        if self._entries is None:
            say(f"{self._post.entries} is gone: nobody can tell what is to be undone")
            return ()
        problems = []
        for key in reversed(open_entries(self._entries)):
            try:
                proof = self._undo(key, self._entries[key])
                if there:
                    self._cluster.patch(self._post.entries, {"data": {f"{key}{HEALED}": proof}})
                self._entries[f"{key}{HEALED}"] = proof
                say(f"healed {key}: {proof}")
            except FaultError as error:
                problems.append(f"{key}: {error}")
            except (ValueError, KeyError, TypeError) as error:
                problems.append(f"{key} cannot be read: {error!r}")
        return tuple(problems)

    def _undo(self, key: str, text: str) -> str:
        entry = json.loads(text)["entry"]
        arguments: Mapping[str, str] = entry["arguments"]
        undo = UNDO.get(entry["verb"])
        if undo is None:
            raise FaultError(f"nobody knows the undo verb {entry['verb']!r} here")
        if undo.call_off is not None and key not in self._called_off:
            undo.call_off(arguments)  # the machine of the run may have died in the middle of a call
            self._called_off.add(key)
        undo.undo(arguments)
        return undo.prove(arguments)

    def leave(self) -> None:
        """Take away what nobody else would, and give the run's Lease back.

        Raises:
            FaultError: An entry is open after all, or the API server refuses.
        """
        record = self._seen(self._post.entries)
        if record is not None and (left := open_in(record)):
            raise FaultError(f"{', '.join(left)} is open again.")
        for path in (self._post.entries, *self._post.remove):
            found = self._seen(path)
            if found is not None:
                self._cluster.delete(path, found["metadata"]["uid"])
        raw = self._seen(self._post.lease)
        lease = None if raw is None else cluster_lease.parse(raw)
        if lease is not None and lease.holder == self._name:
            self._cluster.patch(self._post.lease, cluster_lease.given_back(lease.version))

    def _seen(self, path: str) -> JSON | None:
        """One of its own objects, None when it is gone, or the right to see it has gone with it."""
        try:
            return self._cluster.get(path)
        except ForbiddenError:
            return None


def open_entries(data: Mapping[str, str]) -> tuple[str, ...]:
    """Keys of the entries that nobody has marked healed, in the order they were intended."""
    keys = [k for k in data if not k.endswith(HEALED) and f"{k}{HEALED}" not in data]
    return tuple(sorted(keys, key=lambda key: (_intended_at(data[key]), key)))


def open_in(record: JSON) -> tuple[str, ...]:
    """Keys of the open entries in a ConfigMap of them."""
    return open_entries(record.get("data") or {})


def _intended_at(text: str) -> float:
    """Unreadable ones count as the newest: they keep no other from being undone in its order."""
    try:
        return float(json.loads(text)["entry"]["intended_at"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


def serve(guardian: Guardian) -> None:
    """Watch until the run is gone, then undo until nothing is left.

    The Job's deadline and the end of the pod are the only other ends.
    """
    while True:
        with told():
            guardian.remember()
        with told():
            guardian.beat(time.monotonic())
        with told():
            guardian.is_needed(time.monotonic())
        if guardian.needed:
            with told():
                guardian.keep()
            with told():
                if heal_all(guardian):
                    return
        time.sleep(TICK_S)


def end(guardian: Guardian) -> bool:
    """What is done when the pod is told to end; whether nothing is left to undo."""
    give_up_at = time.monotonic() + LAST_S
    while time.monotonic() < give_up_at:
        with told():
            if not guardian.is_due():
                return False
            if heal_all(guardian):
                return True
        time.sleep(TICK_S)
    return False


def heal_all(guardian: Guardian) -> bool:
    """One round; whether nothing is left, and the guardian has given the namespace back."""
    problems = guardian.heal()
    for problem in problems:
        say(f"not healed {problem}")
    if not problems:
        guardian.leave()
    return not problems


class TerminatedError(BaseException):
    """The pod is told to end, once."""


def terminated(*_: object) -> None:
    """Leave whatever is being done: every entry may be undone again."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise TerminatedError


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Say what the API server refuses, and go on: one step keeps no other from being tried."""
    try:
        yield
    except FaultError as error:
        say(str(error))


def say(text: str) -> None:
    """One line of the pod's log."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    os.write(sys.stderr.fileno(), f"{stamp} guardian: {text}\n".encode())


def main(arguments: Sequence[str]) -> int:
    """Watch, undo, end."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("lease", "holder", "heartbeat", "entries", "namespace"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--remove", action="append", default=[])
    parser.add_argument("--url", help="API server; that of this pod by default")
    parser.add_argument("--account", type=Path, default=service_account_api.ACCOUNT)
    given = parser.parse_args(arguments)
    cluster = (
        service_account_api.ServiceAccountApi(given.url, given.account)
        if given.url
        else service_account_api.of_this_pod()
    )
    cluster_object.be_inside(cluster)
    post = Post(
        lease=given.lease,
        holder=given.holder,
        heartbeat=given.heartbeat,
        entries=given.entries,
        namespace=given.namespace,
        remove=tuple(given.remove),
    )
    guardian = Guardian(cluster, post)
    try:
        signal.signal(signal.SIGTERM, terminated)  # as PID 1 it would ignore it
        say(f"watching {post.holder}")
        serve(guardian)
    except TerminatedError:
        if not end(guardian):
            return TERMINATED
    say("nothing is left to undo")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
