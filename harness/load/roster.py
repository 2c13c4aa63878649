"""Which workers have joined a load master, which are refused, and which are lost. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.load.messages import PROTOCOL, WORKER_SILENT_S, Hello

PLAIN = (
    "is a plain Locust worker without the harness's recorder: its load would be on no record; "
    "start it with `harness load worker`"
)


@dataclass(slots=True)
class Member:
    """One worker that was taken in; ``heard_at`` is on the master's monotonic clock."""

    id: str
    worker: int
    hello: Hello
    heard_at: float
    planned: bool = False  #: follows the plan it was given
    joined: bool = False  #: its clock is known too, and Locust counts it
    ready: bool = False  #: its users wait for the first arrival
    begun: bool = False  #: it knows when the schedule begins
    done: bool = False  #: handed in its last records
    lost: str = ""  #: why it no longer does its share


class Roster:
    """Decides who belongs to a load, from what they say and when they were last heard.

    Args:
        workers: How many the load wants.
        machine: The master's own, as in :class:`~harness.load.messages.Hello`.
        profile: Digest of the locustfile.
        version: The master's version of the harness.
        own_target: The target's address if it means another machine on every host, such as
            ``127.0.0.1``; empty otherwise.
    """

    def __init__(
        self, *, workers: int, machine: str, profile: str, version: str, own_target: str = ""
    ) -> None:
        self.workers = workers
        self.closed = False  #: the load is on its way: nobody joins any more
        self._machine = machine
        self._profile = profile
        self._version = version
        self._own_target = own_target
        self._members: dict[str, Member] = {}

    def __iter__(self) -> Iterator[Member]:
        return iter(sorted(self._members.values(), key=lambda member: member.worker))

    def __len__(self) -> int:
        return len(self._members)

    def get(self, client: str) -> Member | None:
        """The member behind a connection, if it is one."""
        return self._members.get(client)

    def greet(self, client: str, hello: Hello, now: float) -> Member | str:
        """A worker introduces itself: the member that it now is, or why it is refused."""
        problem = self._objection(hello)
        if problem:
            return problem
        taken = {member.worker for member in self._members.values()}
        worker = next(n for n in range(self.workers) if n not in taken)
        member = self._members[client] = Member(client, worker, hello, now)
        return member

    def _objection(self, hello: Hello) -> str:
        if hello.protocol != PROTOCOL:
            return (
                f"runs version {hello.version} of the harness, which speaks another protocol "
                f"than version {self._version} here; install the same on both hosts"
            )
        if self.closed:
            return "came when the load was on its way; a load keeps the workers it began with"
        if len(self._members) >= self.workers:
            return f"is one more than the {self.workers} that load.workers asks for"
        if hello.profile != self._profile:
            return (
                "has another locustfile than the master; leave out --profile, so that it gets "
                "the master's"
            )
        if self._own_target and hello.machine != self._machine:
            return (
                f"runs on another machine, where the target's address {self._own_target} means "
                "another target; give the stack an address that all hosts reach"
            )
        return ""

    def drop(self, client: str) -> None:
        """A member left before the load began: its place is free again."""
        self._members.pop(client, None)

    def silent(self, now: float) -> list[Member]:
        """Members of whom nothing was heard for too long, and who are not known as lost yet."""
        return [
            member
            for member in self
            if not (member.lost or member.done) and now - member.heard_at > WORKER_SILENT_S
        ]

    def all_are(self, what: str) -> bool:
        """Whether as many as wanted are here, and all of them ``planned`` or ``ready``."""
        return len(self) == self.workers and all(getattr(member, what) for member in self)
