"""Wrong context, cluster, namespace, rights, run or target: refused before any write, exit 2."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from harness import cluster_lease
from harness.cluster_lease import NAME
from harness.cluster_paths import DEPLOYMENT, namespaced, workloads
from harness.descriptor import dump
from harness.fakes.cluster import FakeCluster
from harness.fakes.cluster_documents import workload
from harness.files import private_folder, project_root
from harness.role_files import LOAD_INSIDE, RUN_ROLE, file_of
from harness.stacks import registry
from tests.cluster_host import NAMESPACE, stack_of
from tests.cluster_server import TOKEN, ApiServer, api_server
from tests.rbac import covers, granted_by, reviewed
from tests.real import serving

LEASE = cluster_lease.path(NAMESPACE)
GUARDS = """\
[guards]
stacks = ["kubernetes"]
contexts = ["fake", "*-test"]
namespaces = ["shop", "none", "team-*"]
"""
SCENARIO = """\
version: 1
name: scaled-down
stack: {driver: kubernetes, context: fake, namespace: shop}
load: {http: [GET /], arrivals: 10/s, timeout: 1s}
faults: [{kind: stop, target: api, hold: 5s}]
phases: {warmup: 1s, steady: 11s, recovery: 6s, after: 1s}
metrics: none
objectives: [http.errors < 5% during steady]
"""


@dataclass
class Place:
    """A project, a state of its own, and a cluster that a kubeconfig leads to."""

    folder: Path
    api: ApiServer

    @property
    def cluster(self) -> FakeCluster:
        return self.api.cluster

    def harness(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("HARNESS_")}
        return subprocess.run(
            [sys.executable, "-m", "harness", *arguments],
            capture_output=True,
            text=True,
            cwd=self.folder,
            env={
                **kept,
                "PYTHONPATH": str(project_root()),
                "KUBECONFIG": str(self.api.kubeconfig),
                "NO_COLOR": "1",
            },
            timeout=120,
        )


@pytest.fixture
def place(tmp_path: Path, own_state: Path) -> Iterator[Place]:
    cluster = FakeCluster()
    cluster.add("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    cluster.add(workloads(NAMESPACE, DEPLOYMENT), workload("api", 2))
    folder, server = tmp_path / "project", tmp_path / "server"
    folder.mkdir()
    server.mkdir()
    (folder / "harness.toml").write_text(GUARDS)
    (folder / "experiments").mkdir()
    (folder / "s.yaml").write_text(SCENARIO)
    with api_server(cluster, server) as api:
        yield Place(folder, api)


def nothing(_: Place) -> None:
    """All is as it should be, but for what is asked."""


def may_not_scale(place: Place) -> None:
    place.cluster.allows = lambda right: (
        (right["verb"], right["resource"])
        != (
            "patch",
            "deployments",
        )
    )


def may_not_ask_pods(place: Place) -> None:
    place.cluster.allows = lambda right: right.get("subresource") != "proxy"


def led_elsewhere(place: Place) -> None:
    before = stack_of("another-cluster", str(place.api.kubeconfig))
    path = private_folder(registry.folder(before.id)) / registry.FILE
    path.write_text(dump(before))


def unknown_to_the_server(place: Place) -> None:
    config = place.api.kubeconfig
    config.write_text(config.read_text().replace(TOKEN, "of-yesterday"))


def calls_the_package(place: Place) -> None:
    """An experiment with a fault of ours, and an action that goes wherever the context leads."""

    def activity(module: str, func: str, **arguments: str) -> dict[str, object]:
        provider = {"type": "python", "module": module, "func": func, "arguments": arguments}
        return {"type": "action", "name": func, "provider": provider}

    document = {
        "title": "t",
        "description": "d",
        "method": [
            activity("harness.faults.stop", "inject", target="api"),
            activity("chaosk8s.pod.actions", "terminate_pods", name_pattern="api"),
        ],
    }
    (place.folder / "experiments" / "e.json").write_text(json.dumps(document))
    faults = "faults: [{kind: stop, target: api, hold: 5s}]"
    text = SCENARIO.replace(faults, "experiment: experiments/e.json")
    (place.folder / "s.yaml").write_text(text)


def leads_to(cluster: str = "c", server: str = "") -> Callable[[Place], None]:
    """The kubeconfig of this machine has the context lead elsewhere."""

    def happens(place: Place) -> None:
        path = place.api.kubeconfig
        document = json.loads(path.read_text())
        (entry,), (context,) = document["clusters"], document["contexts"]
        entry["name"] = context["context"]["cluster"] = cluster
        entry["cluster"]["server"] = server or entry["cluster"]["server"]
        path.write_text(json.dumps(document))

    return happens


def only_another_cluster(place: Place) -> None:
    (place.folder / "harness.toml").write_text(f'{GUARDS}clusters = ["another"]\n')


PRODUCTION = "arn:aws:eks:eu-west-1:1:cluster/shop-prod"


def no_project(place: Place) -> None:
    (place.folder / "harness.toml").unlink()


REFUSED: dict[str, tuple[Callable[[Place], None], tuple[str, ...], str]] = {
    "a context that is not allowed": (
        nothing,
        ("--context", "other"),
        "context 'other' is not allowed (allowed: fake, *-test)",
    ),
    "a context that looks like production, by a pattern": (
        nothing,
        ("--context", "prod-test"),
        "context 'prod-test' looks like production, and only its full name allows it",
    ),
    "a context that the kubeconfig lacks": (
        nothing,
        ("--context", "my-test"),
        "The context 'my-test' cannot be used",
    ),
    "a namespace that is not allowed": (
        nothing,
        ("-n", "bank"),
        "namespace 'bank' is not allowed",
    ),
    "a namespace that looks like production, by a pattern": (
        nothing,
        ("-n", "team-live"),
        "namespace 'team-live' looks like production",
    ),
    "a context that leads to production on this machine": (
        leads_to(PRODUCTION),
        (),
        f"the cluster entry '{PRODUCTION}' looks like production, and only its full name allows "
        f"it, never a pattern. Correct the kubeconfig, or, if that cluster is meant, write "
        f"'{PRODUCTION}' among `contexts` in the [guards] of harness.toml.",
    ),
    "an API server that looks like production": (
        leads_to(server="https://api.prod.example:6443"),
        (),
        "the API server's host 'api.prod.example' looks like production",
    ),
    "a cluster that the guards do not allow": (
        only_another_cluster,
        (),
        "The context 'fake' leads to the cluster fake-cluster, which is not allowed (allowed: "
        "another): nothing was touched.",
    ),
    "a namespace that is not there": (nothing, ("-n", "none"), "There is no namespace 'none'"),
    "no guards at all": (no_project, (), "stack 'kubernetes' is not allowed"),
    "another cluster than the scenario says": (
        nothing,
        ("--set", "stack.cluster=another"),
        "leads to the cluster fake-cluster, and `stack.cluster` says another",
    ),
    "another cluster than the context led to before": (
        led_elsewhere,
        (),
        "when shop was attached to, it led to another-cluster",
    ),
    "a right that is missing": (
        may_not_scale,
        (),
        "may not patch deployments.apps in the namespace shop: the run needs that. "
        "Let somebody apply stack/kubernetes/roles/stop.yaml",
    ),
    "a right that load from inside needs": (
        may_not_ask_pods,
        ("--set", "load.inside={}"),
        "may not create pods/proxy in the namespace shop: the run needs that. "
        "Let somebody apply stack/kubernetes/roles/load-inside.yaml",
    ),
    "nobody whom the server knows": (
        unknown_to_the_server,
        (),
        "The context 'fake' may not even ask which cluster this is. "
        "The API server answered 401 to GET /api/v1/namespaces/kube-system: Unauthorized",
    ),
    "an action that nobody would undo": (
        calls_the_package,
        (),
        "s.yaml: the experiment calls chaosk8s.pod.actions.terminate_pods: that goes to the "
        "current context, whichever the stack's is, and nobody would undo it or prove it undone. "
        "Use the fault kind `pod_kill` instead of terminate_pods.",
    ),
    "a target that is not there": (
        nothing,
        ("--set", "faults.0.target=web"),
        "no fault target web; it has api. Correct `with: {target: …}`",
    ),
    "labels that no pod has": (
        nothing,
        ("--set", "faults.0.target=app=web"),
        "No pod of the namespace shop has the labels app=web. Correct `with: {target: …}`",
    ),
    "a node that is not there": (
        nothing,
        ("--set", "faults.0.kind=cordon", "--set", "faults.0.target=node/gone"),
        "The cluster of the context 'fake' has no node/gone. Correct `with: {target: …}`",
    ),
    "a target that the platform lacks, which is up already": (
        nothing,
        ("--set", "stack.overlay=experiments", "--set", "faults.0.target=web"),
        "no fault target web; it has api. Correct `with: {target: …}`",
    ),
    "labels that no pod of the platform has, which is up already": (
        nothing,
        ("--set", "stack.overlay=experiments", "--set", "faults.0.target=app=web"),
        "No pod of the namespace shop has the labels app=web.",
    ),
}


@pytest.mark.parametrize(("happens", "asked", "words"), REFUSED.values(), ids=REFUSED)
def test_it_is_refused_before_any_write(
    happens: Callable[[Place], None], asked: tuple[str, ...], words: str, place: Place
) -> None:
    happens(place)
    done = place.harness("run", "s.yaml", "--stack", "kubernetes", *asked)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert words in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert place.cluster.deeds == []
    assert not (place.folder / "results").exists()


DRY = (
    "a right that is missing",
    "a namespace that is not there",
    "a cluster that the guards do not allow",
    "labels that no pod has",
)


@pytest.mark.parametrize("name", DRY)
def test_a_dry_run_refuses_what_the_run_would(name: str, place: Place) -> None:
    happens, asked, words = REFUSED[name]
    happens(place)
    done = place.harness("run", "s.yaml", "--dry-run", *asked)
    assert done.returncode == 2
    assert words in " ".join(done.stderr.split())
    assert place.cluster.deeds == []


def test_a_cluster_is_allowed_by_its_full_name_and_its_uid(place: Place) -> None:
    leads_to(PRODUCTION)(place)
    guards = GUARDS.replace('["fake", ', f'["fake", "{PRODUCTION}", ')
    (place.folder / "harness.toml").write_text(f'{guards}clusters = ["fake-cluster"]\n')
    done = place.harness("run", "s.yaml", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert f"cluster entry {PRODUCTION}" in " ".join(done.stdout.split())


LOADED = """\
version: 1
name: by-labels
stack: {driver: kubernetes, context: fake, namespace: shop}
load: {http: [GET /items], service: api, arrivals: 10/s, timeout: 1s}
faults: [{kind: pod_kill, target: team=a}]
phases: {warmup: 1s, steady: 11s, recovery: 6s, after: 1s}
metrics: none
objectives: [http.errors < 5% during steady]
"""


def test_labels_that_no_pod_has_any_more_are_no_verdict_and_nothing_is_hit(place: Place) -> None:
    """They are there when the run begins, and gone as soon as it asks its first question."""
    (place.folder / "s.yaml").write_text(LOADED)
    labels = [o["metadata"]["labels"] for path, o in place.cluster.held.items() if "/pods/" in path]
    for each in labels:
        each["team"] = "a"

    class Answering(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Tests have nothing to log."""

        def do_GET(self) -> None:
            with place.api.lock:
                for each in labels if self.path == "/items" else ():
                    each.pop("team", None)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with serving(Answering) as address:
        place.cluster.add(namespaced(NAMESPACE, "services"), service_at(address))
        done = place.harness("run", "s.yaml", "-o", "json")
    assert done.returncode == 4, done.stdout + done.stderr
    result = json.loads(done.stdout)
    reasons = {reason["code"]: str(reason) for reason in result["verdict"]["reasons"]}
    assert "No pod of the namespace shop has the labels team=a." in reasons["fault_not_applied"]
    assert result["verdict"]["restoration"] == "clean"
    assert result["faults"] == []
    assert [deed for deed in place.cluster.deeds if LEASE not in deed] == []


def service_at(address: str) -> dict[str, Any]:
    """The service of ``api``, whose node port is that of an address on loopback."""
    ports = [{"port": 80, "nodePort": int(address.rpartition(":")[2])}]
    selector = {"app.kubernetes.io/name": "api"}
    return {"metadata": {"name": "api"}, "spec": {"selector": selector, "ports": ports}}


@contextmanager
def renewing(api: ApiServer) -> Iterator[None]:
    """Another run that lives."""
    leases = LEASE.rpartition("/")[0]
    api.cluster.add(leases, cluster_lease.document(NAME, "run b on there", 0.0, {}))
    ended = threading.Event()

    def renew() -> None:
        count = 0
        while not ended.wait(0.2):
            count += 1
            with api.lock:
                api.cluster.held[LEASE]["spec"]["renewTime"] = f"t{count}"

    thread = threading.Thread(target=renew)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_a_namespace_with_a_foreign_run_is_refused_before_any_write(place: Place) -> None:
    with renewing(place.api):
        done = place.harness("run", "s.yaml")
    assert done.returncode == 2, done.stderr
    assert "The namespace shop is in use: run b on there holds it" in done.stderr
    assert place.cluster.deeds == []


def test_a_dry_run_warns_of_rights_that_nobody_needs_and_writes_nothing(place: Place) -> None:
    done = place.harness("run", "s.yaml", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "may do more than this run needs: do everything in the whole cluster" in done.stdout
    assert place.cluster.deeds == []


def test_who_has_what_is_shipped_for_the_scenario_is_not_warned(place: Place) -> None:
    granted = granted_by((RUN_ROLE, file_of("stop"), LOAD_INSIDE), NAMESPACE)
    place.cluster.allows = lambda right: covers(granted, reviewed(right))
    done = place.harness("run", "s.yaml", "--dry-run", "--set", "load.inside={}")
    assert done.returncode == 0, done.stderr
    assert "more than this run needs" not in done.stdout
    assert place.cluster.deeds == []


HALF: dict[str, tuple[str, ...]] = {
    "up without a namespace": ("stack", "up", "--stack", "kubernetes", "--context", "fake"),
    "attach without a context": ("stack", "attach", "--stack", "kubernetes", "-n", "shop"),
    "down without a context": ("stack", "down", "-n", "shop"),
    "recover without a namespace": ("recover", "--context", "fake"),
    "faults without a context": ("faults", "-n", "shop"),
}


@pytest.mark.parametrize("asked", HALF.values(), ids=HALF)
def test_what_is_current_is_never_meant(asked: tuple[str, ...], place: Place) -> None:
    done = place.harness(*asked)
    assert done.returncode == 2
    assert "--context and --namespace together" in done.stderr


def test_a_namespace_is_attached_to_and_let_go(place: Place) -> None:
    led_elsewhere(place)
    attached = place.harness(
        "stack", "attach", "--stack", "kubernetes", "--context", "fake", "-n", "shop"
    )
    assert attached.returncode == 0, attached.stderr
    assert "attached to shop of fake: stack kubernetes-" in attached.stdout
    assert place.harness("run", "s.yaml", "--dry-run").returncode == 0  # the other is forgotten
    down = place.harness("stack", "down", "--context", "fake", "-n", "shop")
    assert (down.returncode, down.stdout) == (0, "shop is let go\n")
    assert place.cluster.deeds == []


BEYOND: dict[str, tuple[Callable[[Place], None], str]] = {
    "production by the names of its cluster": (leads_to(PRODUCTION), "looks like production"),
    "another cluster": (only_another_cluster, "which is not allowed (allowed: another)"),
}


@pytest.mark.parametrize("verb", ["up", "attach"])
@pytest.mark.parametrize(("happens", "words"), BEYOND.values(), ids=BEYOND)
def test_a_cluster_that_the_guards_do_not_allow_is_left_alone(
    happens: Callable[[Place], None], words: str, verb: str, place: Place, own_state: Path
) -> None:
    happens(place)
    done = place.harness("stack", verb, "--stack", "kubernetes", "--context", "fake", "-n", "shop")
    assert done.returncode == 2, done.stderr
    assert words in " ".join(done.stderr.split())
    assert place.cluster.deeds == []
    assert not own_state.exists()


@pytest.mark.parametrize("verb", ["up", "attach"])
def test_a_namespace_that_the_guards_do_not_allow_is_left_alone(
    verb: str, place: Place, own_state: Path
) -> None:
    done = place.harness("stack", verb, "--stack", "kubernetes", "--context", "fake", "-n", "bank")
    assert done.returncode == 2
    assert not own_state.exists()
    assert "The guards refuse to touch bank of fake: namespace 'bank' is not allowed" in done.stderr
    assert place.cluster.deeds == []
