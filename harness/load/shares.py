"""How many users each worker of another host has. In the load master's process only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from locust.dispatch import UsersDispatcher


class Shares:
    """Gives each worker the users that it would have if it were alone with its share.

    In the place of Locust's dispatcher, which would deal users out again whenever a worker
    comes or goes; a worker that is lost makes the load inconclusive instead.
    """

    dispatch_in_progress = False

    def __init__(
        self, worker_nodes: list[Any], user_classes: list[Any], users_of: Callable[[str], int]
    ) -> None:
        self._nodes = worker_nodes
        self._classes = user_classes
        self._users_of = users_of

    def new_dispatch(self, **_options: Any) -> None:
        """Nothing to prepare: everybody gets their users at once."""

    def __iter__(self) -> Iterator[dict[str, dict[str, int]]]:
        """One round."""
        yield {node.id: self._alone(node) for node in self._nodes}

    def _alone(self, node: Any) -> dict[str, int]:
        users = self._users_of(node.id)
        dispatcher = UsersDispatcher([node], self._classes)
        dispatcher.new_dispatch(users, users)
        counts: dict[str, int] = {}
        for dispatched in dispatcher:
            counts = dispatched[node.id]
        return counts

    def add_worker(self, worker_node: Any) -> None:
        """Nobody's users change."""

    def remove_worker(self, worker_node: Any) -> None:
        """Nobody's users change."""
