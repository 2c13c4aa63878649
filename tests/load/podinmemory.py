"""A cluster in memory whose master's pod answers as a real one would, and can be told not to."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from harness import __version__
from harness.cluster import Question
from harness.errors import FaultError
from harness.fakes.cluster import FakeCluster
from harness.fakes.cluster_documents import Document
from harness.load import cluster_messages as told
from harness.load.cluster_load import ClusterLoad
from harness.load.cluster_manifests import LoadPodSpec
from harness.load.cluster_messages import LoadOrder, LoadState, Page
from harness.load.cluster_pods import LoadPods
from harness.load.messages import Report
from harness.offered import LoadInside
from harness.samples import RECORD, Kind, RequestOutcome, SeriesName
from tests.load.site import spec

NAMESPACE = "shop"
LOAD = "harness-load-1"
BUY = SeriesName(Kind.REQUEST, "buy")


class PodInMemory:
    """Plays :class:`harness.load.cluster_master.ClusterMaster`, an hour ahead of us.

    Args:
        workers: How many have joined, once ordered.
        changes: Laid over every state that is told after the order.
    """

    def __init__(self, workers: int = 3, ahead_s: float = 3600.0, **changes: Any) -> None:
        self.workers, self.ahead_s, self.changes = workers, ahead_s, changes
        self.ordered: list[LoadOrder] = []
        self.ended = False
        self.recorded: list[list[tuple[Any, ...]]] = [[] for _ in range(workers)]
        self.mute: Callable[[str], bool] = lambda _path: False
        self.version = __version__
        self.skip = 0  #: records that the next answers leave out

    def now(self) -> float:
        return time.time() + self.ahead_s

    def record(self, worker: int, count: int) -> None:
        """Requests that begin now, on the pod's clock."""
        at = self.now()
        row = (at, at, at + 0.01, 0, 10, 0, 200, int(RequestOutcome.GOOD), b"")
        self.recorded[worker] += [row] * count

    def answer(self, _pod: str, _port: int, path: str, question: Question) -> bytes:
        assert question.headers[told.SECRET_HEADER]
        if self.mute(path):
            raise FaultError(f"no answer to {path}")
        match path:
            case told.BEGIN:
                self.ordered.append(told.order(question.body))
                return told.packed({})
            case told.END:
                self.ended = True
                return told.packed({})
        return self._look(question.body)

    def _look(self, body: bytes) -> bytes:
        positions, _ = told.asked(body)
        state = LoadState(version=self.version, received=self.now(), answered=self.now())
        if not self.ordered:
            return state.dump()
        pages = tuple(
            self._page(worker, at.records, at.series) for worker, at in enumerate(positions)
        )
        state = replace(
            state,
            joined=tuple(f"pod-{n}" for n in range(self.workers)),
            zero=self.now(),
            pages=pages,
            over=self.ended,
            clock_error_s=0.002,
        )
        return replace(state, **self.changes).dump()

    def _page(self, worker: int, at: int, series: int) -> Page:
        at += self.skip
        new = np.array(self.recorded[worker][at:], RECORD)
        named = (BUY,)[series:] if len(new) else ()
        report = Report(first=at, records=new.tobytes(), series=named, final=self.ended)
        return Page(report=report, figures=0)


class Pods(FakeCluster):
    """A cluster whose pods are as a test wants them."""

    def __init__(self, pod: PodInMemory, **status: Any) -> None:
        super().__init__()
        self.answers = pod.answer
        self._told = status

    def _pod(self, name: str, owner: Document, template: Document, *, starts: bool) -> Document:
        made = super()._pod(name, owner, template, starts=starts)
        made["status"] |= self._told
        return made


def load_on(
    cluster: FakeCluster,
    folder: Path,
    tell: Callable[[str], None] = lambda _sentence: None,
    given_up: Callable[[], bool] = lambda: False,
    inside: LoadInside | None = None,
    locustfile: str = "",
    **changes: Any,
) -> ClusterLoad:
    """A load of three workers in a cluster."""
    asked: dict[str, Any] = {"workers": 3, "inside": inside or LoadInside(join_timeout_s=20.0)}
    if locustfile:
        changes |= {"http": ()}
    offered = replace(spec(folder, **asked | changes), profile=locustfile or None)
    pods = LoadPodSpec(name=LOAD, run="run-1", deadline_s=60.0)
    return ClusterLoad(
        offered,
        folder,
        folder / "run" / "samples",
        1,
        pods=lambda: LoadPods(lambda: cluster, NAMESPACE, pods),
        tell=tell,
        given_up=given_up,
    )


def kinds_of(paths: Sequence[str]) -> list[str]:
    """What there is, by the collections of the paths."""
    return sorted(path.split("/")[-2] for path in paths)
