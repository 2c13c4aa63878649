"""A container engine in memory, that behaves: what ends starts again where its policy says so."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from harness.containers import UP, Attachment, Container
from harness.errors import FaultError


class FakeEngine:
    """Holds containers by id; every deed is noted in ``deeds``.

    Args:
        containers: What there is at first.
        refuses: Told each deed before it is done; may raise FaultError as an engine would.
    """

    def __init__(
        self,
        containers: Iterable[Container] = (),
        refuses: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.url = "unix:///fake.sock"
        self.id = "FAKE:ENGINE"
        self.deeds: list[str] = []
        self.held = {c.id: c for c in containers}
        self._refuses = refuses
        self._starts = 0

    def containers(self, project: str) -> tuple[Container, ...]:
        """All containers of a project, by service and number."""
        fitting = [c for c in self.held.values() if c.project == project]
        return tuple(sorted(fitting, key=lambda c: (c.service, c.number)))

    def container(self, container_id: str) -> Container | None:
        """One container, None when it was removed."""
        return self.held.get(container_id)

    def start(self, container_id: str) -> None:
        """Start it; a running one is left as it is."""
        found = self._do("start", container_id)
        if found.state not in UP:
            self._set(container_id, state="running", started_at=self._next_start())

    def stop(self, container_id: str, grace_s: int) -> None:
        """End it; its restart policy does not apply."""
        self._do(f"stop {grace_s}", container_id)
        self._set(container_id, state="exited", pid=0)

    def kill(self, container_id: str, signal: str) -> None:
        """End it; killing what does not run is an error, as in the real one."""
        found = self._do(f"kill {signal}", container_id)
        if found.state not in UP:
            raise FaultError(f"{found.name} is not running.")
        self._set(container_id, state="exited", pid=0)

    def restart(self, container_id: str, grace_s: int) -> None:
        """End and start it."""
        self._do(f"restart {grace_s}", container_id)
        self._set(container_id, state="running", started_at=self._next_start())

    def pause(self, container_id: str) -> None:
        """Freeze it; pausing twice is an error, as in the real one."""
        found = self._do("pause", container_id)
        if found.state != "running":
            raise FaultError(f"{found.name} is {found.state}.")
        self._set(container_id, state="paused")

    def unpause(self, container_id: str) -> None:
        """Let it go on, if it is frozen."""
        found = self._do("unpause", container_id)
        if found.state == "paused":
            self._set(container_id, state="running")

    def set_restart_policy(self, container_id: str, policy: str) -> None:
        """Make this its restart policy."""
        self._do(f"policy {policy}", container_id)
        self._set(container_id, restart_policy=policy)

    def disconnect(self, container_id: str, network: str) -> None:
        """Detach it from a network."""
        found = self._do(f"disconnect {network}", container_id)
        left = {name: a for name, a in found.networks.items() if name != network}
        self._set(container_id, networks=left)

    def connect(self, container_id: str, attachment: Attachment) -> None:
        """Attach it to a network; attaching twice is an error, as in the real one."""
        found = self._do(f"connect {attachment.network}", container_id)
        if attachment.network in found.networks:
            raise FaultError(f"{found.name} is attached to {attachment.network} already.")
        self._set(container_id, networks={**found.networks, attachment.network: attachment})

    def close(self) -> None:
        """There is no connection to drop."""

    # -- what happens by itself, for tests to bring about

    def dies(self, container_id: str) -> None:
        """The container's process ends, not by the engine's doing: its policy applies."""
        found = self.held[container_id]
        again = found.restart_policy != "no"
        started_at = self._next_start() if again else found.started_at
        self._set(container_id, state="running" if again else "exited", started_at=started_at)

    def remove(self, container_id: str) -> None:
        """Somebody removes it."""
        del self.held[container_id]

    def _do(self, deed: str, container_id: str) -> Container:
        self._refuses(deed)
        if container_id not in self.held:
            raise FaultError(f"No such container: {container_id}.")
        self.deeds.append(f"{deed} {self.held[container_id].service}")
        return self.held[container_id]

    def _set(self, container_id: str, **changes: object) -> None:
        self.held[container_id] = replace(self.held[container_id], **changes)  # type: ignore[arg-type]

    def _next_start(self) -> str:
        self._starts += 1
        return f"2026-11-21T11:00:{self._starts:02}.000000000Z"
