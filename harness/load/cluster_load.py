"""Load from inside a cluster: master and workers are pods, and the run reads what they record."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from harness import __version__
from harness.errors import FaultError, InvalidError, LoadError
from harness.load import cluster_messages as told
from harness.load.cluster_looking import Looking
from harness.load.cluster_messages import LoadOrder, LoadState
from harness.load.cluster_mirror import Mirror
from harness.load.cluster_pods import LoadPods
from harness.load.link import write_header
from harness.load.locust import START_TIMEOUT_S, STOP_GRACE_S, plans_of
from harness.load.reading import SampleReader
from harness.offered import LoadInside, LoadSpec
from harness.redaction import Redactor
from harness.samples import LoadSamples

POLL_S = 0.05
PODS_POLL_S = 0.5
LEAST_JOIN_S = 5.0
#: The master gives its workers time to hand in, and this is how long all of that may take.
END_GRACE_S = STOP_GRACE_S + 10.0
LOOK_AT_PODS = (
    "Look at them with `kubectl get events`; `load.inside.image` must be of this version of the "
    "harness, and on the nodes or in a registry that they reach."
)


class ClusterLoad:
    """The load of a scenario with ``inside``; what is judged of it is as of any other load.

    Args:
        spec: What to send, how often, when a user gives up, and where the pods come from.
        root: Folder that the locustfile's path is relative to.
        folder: Where samples go; made if missing.
        seed: For the choice of journeys and for random gaps.
        pods: Makes the load's pods; called once, when it starts.
        names: Variables that the locustfile may see, where the pods have them.
        redactor: Knows what must not be written down.
        tell: Told who has joined, and what is wrong with pods.
        given_up: Whether somebody asked to stop, while pods are waited for.

    Raises:
        InvalidError: The locustfile does not exist.
    """

    def __init__(
        self,
        spec: LoadSpec,
        root: Path,
        folder: Path,
        seed: int,
        *,
        pods: Callable[[], LoadPods],
        names: tuple[str, ...] = (),
        redactor: Redactor | None = None,
        tell: Callable[[str], None] = lambda _sentence: None,
        given_up: Callable[[], bool] = lambda: False,
    ) -> None:
        self._spec, self._inside = spec, spec.inside or LoadInside()
        self._profile = None if spec.profile is None else root / spec.profile
        if self._profile is not None and not self._profile.is_file():
            raise InvalidError(f"The load profile {self._profile} does not exist.")
        self._names, self._tell, self._given_up = names, tell, given_up
        self._told: set[str] = set()
        self._folder = folder
        self._redactor = redactor or Redactor()
        self._plans = plans_of(spec, folder, seed)
        self._schedule = self._plans[0].schedule()
        self._reader = SampleReader(folder, len(self._plans))
        self._make_pods = pods
        self._pods: LoadPods | None = None
        self._looking: Looking | None = None
        self._zero = 0.0
        self._stopped = False
        self._intact = True

    def start(self, base_url: str) -> float:
        """Make the pods, and wait until all workers follow the schedule.

        Returns:
            When the first arrival is due, seconds since the epoch.

        Raises:
            LoadError: The pods did not come up or join in time, or one ended.
            FaultError: The API server refuses.
        """
        join_by = time.monotonic() + self._inside.join_timeout_s
        self._folder.mkdir(parents=True, exist_ok=True)
        for plan in self._plans:
            (self._folder / f"plan.{plan.worker}.json").write_text(plan.dump())
        pods = self._pods = self._make_pods()
        pods.make_master()
        address = self._await_master(pods, join_by)
        looking = self._looking = self._look_at(pods, join_by)
        self._await(lambda: looking.ready, pods, looking, join_by)
        self._refuse_another_version(looking.state)
        left_s = max(LEAST_JOIN_S, join_by - time.monotonic())
        looking.order = self._order(base_url, left_s, pods.join_port).dump()
        pods.make_workers(len(self._plans), address, left_s)
        # From here on the pod itself says when it has waited for too long.
        give_up_at = join_by + LEAST_JOIN_S + START_TIMEOUT_S + told.SILENT_S
        self._await(lambda: looking.zero is not None, pods, looking, give_up_at)
        assert looking.zero is not None
        self._zero = looking.zero
        for plan in self._plans:
            write_header(self._folder, plan, self._zero)
        return self._zero

    def problem(self) -> str | None:
        """Why the load is not whole any more, or None while it is."""
        if self._stopped or self._looking is None:
            return None
        problem = self._looking.problem()
        if problem is None:
            return None
        self._intact = False
        return self._redactor.text(problem)

    def samples(self) -> LoadSamples:
        """Everything that is here so far; only what is new is read."""
        return self._reader.samples(zero=self._zero, schedule=self._schedule, intact=self._intact)

    def stop(self) -> None:
        """No more arrivals; what is on its way may end, is read, and no pod stays."""
        if self._pods is None or self._stopped:
            return
        self.problem()
        self._stopped = True
        try:
            if self._looking is not None:
                whole = self._looking.end(self._spec.timeout_s + END_GRACE_S)
                self._intact = self._intact and whole
        finally:
            self._delete(self._pods)

    # -- starting

    def _await_master(self, pods: LoadPods, join_by: float) -> str:
        """Until the master's pod runs.

        Returns:
            Its address in the cluster.
        """
        self._say("load workers: the pod of their master is being started")
        while (pod := pods.master()) is None:
            self._look_after(pods, join_by)
            time.sleep(PODS_POLL_S)
        return pod.ip

    def _look_at(self, pods: LoadPods, join_by: float) -> Looking:
        log = self._folder.parent / "load.log"
        mirror = Mirror(self._folder, log, len(self._plans), self._redactor)
        # It has a moment to open its port, which is part of the time to join.
        patience_s = max(told.SILENT_S, join_by - time.monotonic())
        return Looking(mirror, pods.asker(), patience_s)

    def _await(
        self, done: Callable[[], bool], pods: LoadPods, looking: Looking, join_by: float
    ) -> None:
        next_look = 0.0
        while not done():
            self._news(looking.state)
            problem = looking.problem()
            if problem is not None:
                words, _ = pods.trouble()
                message = self._redactor.text(" ".join(filter(None, (problem, words))))
                raise LoadError(message, LOOK_AT_PODS)
            if time.monotonic() > next_look:
                self._look_after(pods, join_by)
                next_look = time.monotonic() + PODS_POLL_S
            time.sleep(POLL_S)
        self._news(looking.state)

    def _look_after(self, pods: LoadPods, join_by: float) -> None:
        """Say what is wrong with the pods, while they are waited for.

        Raises:
            LoadError: The time is over, a pod has ended, or somebody asked to stop.
        """
        trouble, final = pods.trouble()
        if trouble:
            self._say(f"load workers: {trouble}")
        if self._given_up():
            raise LoadError("Stopped while load workers were waited for.")
        if final or time.monotonic() > join_by:
            seconds, why = self._inside.join_timeout_s, trouble or "nobody says why"
            when = "will not join" if final else f"did not join within {seconds:g} s"
            raise LoadError(f"The load's pods {when} ({why}); nothing was sent.", LOOK_AT_PODS)

    def _refuse_another_version(self, state: LoadState | None) -> None:
        """What another version records may mean something else."""
        assert state is not None
        if state.version != __version__:
            message = f"load.inside.image has version {state.version} of the harness, not"
            raise LoadError(f"{message} {__version__} as here; nothing was sent.", LOOK_AT_PODS)

    def _news(self, state: LoadState | None) -> None:
        if state is None:
            return
        for refusal in state.refused:
            self._say(f"load worker refused: {refusal}")
        names = f" ({', '.join(state.joined)})" if state.joined else ""
        joined, wanted = len(state.joined), len(self._plans)
        self._say(f"load workers: {joined} of {wanted} have joined{names}")

    def _order(self, base_url: str, join_timeout_s: float, port: int) -> LoadOrder:
        crowd = self._spec.max_in_flight if self._spec.users is None else self._spec.users
        return LoadOrder(
            # No path of this machine is told to another.
            plan=replace(self._plans[0], folder="", users=crowd),
            target=base_url,
            http=self._spec.http,
            profile=self._profile.read_text() if self._profile else "",
            profile_name=self._profile.name if self._profile else "",
            names=self._names,
            join_timeout_s=join_timeout_s,
            port=port,
        )

    # -- ending

    def _delete(self, pods: LoadPods) -> None:
        try:
            left = pods.delete()
        except FaultError as error:
            left = f"what was made for it ({error})"
        finally:
            pods.close()
        if left:
            self._say(f"load workers: not gone yet is {left}; the cluster deletes it by itself")

    def _say(self, sentence: str) -> None:
        if sentence not in self._told:
            self._told.add(sentence)
            self._tell(self._redactor.text(sentence))
