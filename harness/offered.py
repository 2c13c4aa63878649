"""What load a scenario offers: which requests, how many, and when a user gives up. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.arrivals import Plan
from harness.errors import InvalidError


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadMaster:
    """Where load workers of other hosts join.

    Args:
        bind: Address that it listens on; ``*`` is every one of this machine.
        port: TCP port; 0 for one that is free.
        join_timeout_s: How long to wait for all of them.
    """

    bind: str = "127.0.0.1"
    port: int = 0
    join_timeout_s: float = 120.0

    def __post_init__(self) -> None:
        """Refuse what cannot be listened on."""
        if not 0 <= self.port < 2**16:
            raise InvalidError(f"The load master's port {self.port} must be below 65536.")
        if not 0 < self.join_timeout_s < math.inf:
            raise InvalidError(f"The time to join, {self.join_timeout_s:g} s, must be above 0.")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadInside:
    """Load that comes from pods in the namespace of a Kubernetes stack.

    Args:
        image: Image of the pods; empty for this version's own.
        join_timeout_s: How long to wait until the pods run and all workers have joined.
        secret: Secret of the namespace with the variables that the locustfile may see; empty
            for none.
        nodes: Labels that a node must have to be given one of the pods.
    """

    image: str = ""
    join_timeout_s: float = 120.0
    secret: str = ""
    nodes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what cannot be waited for."""
        if not 0 < self.join_timeout_s < math.inf:
            raise InvalidError(f"The time to join, {self.join_timeout_s:g} s, must be above 0.")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSpec:
    """Offered load: a locustfile or a list of HTTP requests, open or closed loop.

    Args:
        profile: Locustfile, or None.
        http: Requests, where there is no locustfile.
        service: Service that the requests go to; the stack's entry when None.
        arrivals: Open loop: when journeys begin, whatever the answers do.
        users: Closed loop, where ``arrivals`` is None: this many users, each of whom waits
            for an answer before the next request.
        timeout_s: After this long a user has given up, counted from the send.
        max_in_flight: Users in the pool; further arrivals wait, and the wait counts.
        workers: Load processes that share the plan.
        master: Where they join from other hosts; None when they are started on this one.
        inside: How they run as pods beside the services; None when they do not.
    """

    profile: str | None
    http: tuple[str, ...]
    service: str | None
    arrivals: Plan | None
    timeout_s: float
    max_in_flight: int
    users: int | None = None
    workers: int = 1
    master: LoadMaster | None = None
    inside: LoadInside | None = None

    def __post_init__(self) -> None:
        """Refuse a load that cannot exist."""
        if (self.arrivals is None) == (self.users is None):
            raise InvalidError("A load has either arrivals (open loop) or users (closed loop).")
        crowd = self.max_in_flight if self.users is None else self.users
        if not 1 <= self.workers <= crowd:
            raise InvalidError(f"{self.workers} workers cannot share {crowd} users.")
        if not 0 < self.timeout_s < math.inf:
            raise InvalidError(f"The load timeout {self.timeout_s:g} s must be above 0.")
        if self.master is not None and self.inside is not None:
            raise InvalidError("Load workers join from other hosts or run as pods, not both.")

    @property
    def shared(self) -> bool:
        """Whether losing a load process would leave others sending, or a master waiting."""
        return self.workers > 1 or self.master is not None or self.inside is not None

    @property
    def peak_per_s(self) -> float | None:
        """The highest planned arrival rate; None for a closed loop, whose rate nobody plans."""
        return None if self.arrivals is None else self.arrivals.peak_per_s
