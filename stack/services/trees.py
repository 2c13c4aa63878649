"""A small ensemble of decision trees, grown from a seed: no weights, the same on every machine."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

FEATURES = 8
TREES = 1000  # about a millisecond for each prediction
DEPTH = 6


@dataclass(frozen=True)
class Tree:
    """A complete binary tree, its nodes row by row: those below node n are 2n + 1 and 2n + 2.

    Attributes:
        feature: For each inner node, the number of the feature that it asks.
        threshold: For each inner node, the value from which on it goes right.
        leaf: The values at the bottom, from 0 to 1.
    """

    feature: tuple[int, ...]
    threshold: tuple[float, ...]
    leaf: tuple[float, ...]

    @classmethod
    def grown(cls, rng: random.Random) -> Tree:
        """A tree of :data:`DEPTH` rows."""
        inner = 2**DEPTH - 1
        return cls(
            feature=tuple(int(rng.random() * FEATURES) for _ in range(inner)),
            threshold=tuple(rng.random() for _ in range(inner)),
            leaf=tuple(rng.random() for _ in range(inner + 1)),
        )

    def value(self, features: Sequence[float]) -> float:
        """The leaf that the features lead to."""
        node, inner = 0, len(self.feature)
        while node < inner:
            node = 2 * node + 1 + (features[self.feature[node]] >= self.threshold[node])
        return self.leaf[node - inner]


class Ensemble:
    """The mean of many trees.

    Args:
        seed: What it is grown from; the same seed is the same model.
    """

    def __init__(self, seed: int) -> None:
        rng = random.Random(seed)
        self._trees = [Tree.grown(rng) for _ in range(TREES)]

    def predict(self, features: Sequence[float]) -> float:
        """The score, from 0 to 1, of :data:`FEATURES` numbers from 0 to 1."""
        return sum(tree.value(features) for tree in self._trees) / TREES
