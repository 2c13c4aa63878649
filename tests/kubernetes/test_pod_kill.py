"""The control plane in a real cluster, and one of its replicas killed: the whole way of a run."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.cluster import Cluster
from harness.cluster_paths import namespaced
from harness.files import project_root
from tests.kubernetes.conftest import NAMESPACES, connected, needs_image
from tests.real import eventually, saturated, undisturbed

pytestmark = pytest.mark.kubernetes

PLATFORM = "harness-reference-platform"
OVERLAY = "stack/kubernetes/control"
WITHIN_S = 600.0
#: Bounds that a busy machine keeps: what is looked at is that nothing is lost, and nothing left.
SCENARIO = """\
version: 1
name: pod-kill
stack: {{driver: kubernetes, context: {context}, namespace: {namespace}}}
load: {{profile: loadtests/plans.py, service: control-api, arrivals: 10/s, timeout: 5s}}
experiment: experiments/pod-kill.json
with: {{target: control-api, signal: KILL}}
phases: {{warmup: 5s, steady: 15s, recovery: 120s, after: 5s}}
durability:
  plans:
    writes: POST /api/v1/action-plans
    read: postgres.action_plans
    key: plan_id
    settle: 30s
    dsn: postgresql://shop:shop@postgres/shop
objectives:
  - plans.errors < 20% during steady, after
  - recovery of plans < 120s from injection
  - plans.lost == 0
  - plans.duplicated == 0
"""


@dataclass(frozen=True)
class Project:
    """A folder with guards of its own, and the platform in a namespace of its own."""

    cluster: Cluster
    namespace: str
    folder: Path

    def harness(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "harness", *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(project_root())},
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )

    def run(self) -> dict[str, Any]:
        done = self.harness("run", "s.yaml", "--out", "runs")
        written = self.folder / "runs" / "latest" / "result.json"
        assert written.exists(), done.stdout + done.stderr
        found: dict[str, Any] = json.loads(written.read_text())
        return found

    @property
    def place(self) -> list[str]:
        return ["--stack", "kubernetes", "--context", self.cluster.context, "-n", self.namespace]

    def pods(self) -> list[dict[str, Any]]:
        return list(self.cluster.list(namespaced(self.namespace, "pods")))


@pytest.fixture
def project(tmp_path: Path, own_state: Path) -> Iterator[Project]:
    cluster = connected()
    needs_image(cluster, PLATFORM)
    found = Project(cluster, f"harness-test-{secrets.token_hex(4)}", tmp_path)
    for name in ("experiments", "loadtests", "stack"):
        ignored = shutil.ignore_patterns(".venv", "__pycache__")
        shutil.copytree(project_root() / name, tmp_path / name, ignore=ignored)
    (tmp_path / "harness.toml").write_text(
        f'[guards]\nstacks = ["kubernetes"]\ncontexts = ["{cluster.context}"]\n'
        f'namespaces = ["{found.namespace}"]\n'
    )
    (tmp_path / "s.yaml").write_text(
        SCENARIO.format(context=cluster.context, namespace=found.namespace)
    )
    try:
        yield found
    finally:
        down = found.harness("stack", "down", *found.place)
        cluster.close()
        assert down.returncode == 0, down.stderr


def test_a_replica_of_the_control_plane_is_killed_and_no_accepted_plan_is_lost(
    project: Project,
) -> None:
    up = project.harness("stack", "up", *project.place, "--overlay", OVERLAY)
    assert up.returncode == 0, up.stderr
    before = {p["metadata"]["name"]: p["metadata"]["uid"] for p in project.pods()}
    result = undisturbed(lambda _: project.run(), saturated)
    assert result["verdict"]["name"] == "PASS", result["verdict"]["reasons"]
    assert result["verdict"]["restoration"] == "clean"
    (fault,) = result["faults"]
    assert "control-api" in fault["target"]
    assert fault["proof"]
    gone = before.keys() - {p["metadata"]["name"] for p in project.pods()}
    assert len([name for name in gone if name.startswith("control-api-")]) >= 1
    down = project.harness("stack", "down", *project.place)
    assert down.returncode == 0, down.stderr
    here = f"{NAMESPACES}/{project.namespace}"
    eventually(lambda: project.cluster.get(here) is None, "the namespace is gone", 60)
