"""The load generator that a scenario asks for: processes, here or elsewhere, or pods."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from harness import store
from harness.cluster import Cluster
from harness.handed_on import handed_on
from harness.load.cluster_load import ClusterLoad
from harness.load.cluster_manifests import LoadPodSpec
from harness.load.cluster_pods import LoadPods
from harness.load.locust import LocustLoad
from harness.model import Scenario
from harness.offered import LoadInside
from harness.ports import Load
from harness.redaction import Redactor
from harness.run import CHAOS_PATIENCE_S


def generator_of(
    scenario: Scenario,
    root: Path,
    folder: store.RunFolder,
    *,
    seed: int,
    recorded: Mapping[str, str],
    redactor: Redactor,
    tell: Callable[[str], None],
    given_up: Callable[[], bool],
    connect: Callable[[], Cluster],
) -> Load:
    """The generator of a scenario's load.

    Args:
        scenario: What is to be run.
        root: What the locustfile's path is relative to.
        folder: The run's own.
        seed: For the choice of journeys and for random gaps.
        recorded: What a load process needs to put the scenario's writes on record.
        redactor: Knows what must not be written down.
        tell: Told who has joined.
        given_up: Whether somebody asked to stop.
        connect: Opens a connection to the stack's cluster; called when load from inside starts.

    Raises:
        InvalidError: The locustfile does not exist.
    """
    samples = folder.path / store.SAMPLES
    names = (*scenario.environment, *scenario.secrets)
    inside = scenario.load.inside
    if inside is not None:
        namespace = scenario.stack.options["namespace"]
        pods = _pods(scenario, inside, names, folder.run_id)
        return ClusterLoad(
            scenario.load,
            root,
            samples,
            seed,
            pods=lambda: LoadPods(connect, namespace, pods),
            names=names,
            redactor=redactor,
            tell=tell,
            given_up=given_up,
        )
    return LocustLoad(
        scenario.load,
        root,
        samples,
        seed,
        environment={**handed_on(os.environ, names), **recorded},
        redactor=redactor,
        tell=tell,
        given_up=given_up,
    )


def _pods(
    scenario: Scenario, inside: LoadInside, names: tuple[str, ...], run_id: str
) -> LoadPodSpec:
    plan = scenario.phases
    planned_s = plan.warmup_s + plan.steady_s + plan.recovery_s + plan.after_s
    return LoadPodSpec(
        name=f"harness-load-{secrets.token_hex(4)}",
        run=run_id,
        image=inside.image,
        secret=inside.secret,
        nodes=inside.nodes,
        names=names,
        # Far more than it takes: this is for the day on which nothing else ends it.
        deadline_s=inside.join_timeout_s + planned_s + CHAOS_PATIENCE_S,
    )
