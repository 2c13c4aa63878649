"""The manifests of the platform on Kubernetes: held to the platform's other descriptions."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from harness.stacks import kind, kustomization
from harness.stacks.reference.table import CALLS

STACK = Path(__file__).resolve().parents[2] / "stack"
ROOT = STACK / "kubernetes"
#: Of the usual 30000 to 32767, what a cluster gives no service that asks for any port at all, until
#: the others are gone: kubernetes.io/blog/2023/05/11/nodeport-dynamic-and-static-allocation.
NOT_GIVEN_AWAY = range(30000, 30086)
FOLDERS = sorted(p.parent.name for p in ROOT.glob("*/kustomization.yaml"))


def documents(*folders: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for folder in folders or ("parts",):
        for path in sorted((ROOT / folder).rglob("*.yaml")):
            if path.name not in ("kustomization.yaml", "prometheus.yml"):
                found += [d for d in YAML(typ="safe").load_all(path.read_text()) if d]
    return found


def of_kind(*kinds: str) -> list[dict[str, Any]]:
    return [d for d in documents() if d["kind"] in kinds]


WORKLOADS = of_kind("Deployment", "StatefulSet")
SERVICES = {d["metadata"]["name"]: d for d in of_kind("Service")}


def names(found: list[dict[str, Any]]) -> list[str]:
    return [d["metadata"]["name"] for d in found]


@pytest.mark.parametrize("workload", WORKLOADS, ids=names(WORKLOADS))
def test_a_workload_is_bounded_asked_and_without_rights(workload: dict[str, Any]) -> None:
    pod = workload["spec"]["template"]["spec"]
    name = workload["metadata"]["name"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    for container in pod["containers"]:
        assert container["imagePullPolicy"] == "IfNotPresent"
        assert "readinessProbe" in container
        assert container["resources"]["limits"]["memory"]
        assert container["resources"]["requests"]["cpu"]
    labels = workload["spec"]["template"]["metadata"]["labels"]
    assert labels["app.kubernetes.io/name"] == name
    assert workload["spec"]["selector"]["matchLabels"] == {"app.kubernetes.io/name": name}


OWN = [w for w in WORKLOADS if "harness-reference-platform" in json.dumps(w)]


@pytest.mark.parametrize("workload", OWN, ids=names(OWN))
def test_a_service_of_the_platform_is_not_root_and_lives_on_without_its_dependencies(
    workload: dict[str, Any],
) -> None:
    pod = workload["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    # Readiness follows the dependencies, liveness does not: a restart would mend nobody else.
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    module = container["command"][-1].removeprefix("services.")
    assert (STACK / "services" / f"{module}.py").is_file()


SCALED = [w for w in OWN if w["spec"]["replicas"] > 1]


@pytest.mark.parametrize("workload", SCALED, ids=names(SCALED))
def test_each_pod_of_what_is_scaled_is_scraped_by_its_own_address(workload: dict[str, Any]) -> None:
    name = workload["metadata"]["name"]
    service = SERVICES[f"{name}-pods"]["spec"]
    assert service["clusterIP"] == "None"
    # One that is not ready is looked at too: it may be why.
    assert service["publishNotReadyAddresses"] is True
    scraped = YAML(typ="safe").load((ROOT / "parts" / "watch" / "prometheus.yml").read_text())
    jobs = {j["job_name"]: j for j in scraped["scrape_configs"]}
    (lookup,) = jobs[name]["dns_sd_configs"]
    assert lookup["names"] == [f"{name}-pods"]
    assert lookup["port"] in {p["port"] for p in service["ports"]}


BUDGETS = of_kind("PodDisruptionBudget")


@pytest.mark.parametrize("budget", BUDGETS, ids=names(BUDGETS))
def test_one_of_several_may_be_moved_at_a_time_and_none_of_one(budget: dict[str, Any]) -> None:
    name = budget["metadata"]["name"]
    (workload,) = [w for w in WORKLOADS if w["metadata"]["name"] == name]
    assert budget["spec"]["selector"] == workload["spec"]["selector"]
    several = workload["spec"]["replicas"] > 1
    assert budget["spec"]["maxUnavailable"] == (1 if several else 0)


def test_what_loses_its_memory_with_its_pod_may_not_be_moved() -> None:
    assert {"postgres", "prometheus", "toxiproxy"} <= set(names(BUDGETS))


@pytest.mark.parametrize("name", ["control-api", "jobs"])
def test_a_replica_answers_until_its_service_has_learned_that_it_ends(name: str) -> None:
    (replicas,) = [w for w in WORKLOADS if w["metadata"]["name"] == name]
    pod = replicas["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    waits_s = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert waits_s > 0
    assert waits_s + 2 < pod["terminationGracePeriodSeconds"]  # a service ends within 2 s


def test_every_proxy_has_a_port_that_is_reached_from_outside() -> None:
    proxies = json.loads((STACK / "toxiproxy" / "proxies.json").read_text())
    ports = {p["port"]: p["nodePort"] for p in SERVICES["toxiproxy"]["spec"]["ports"]}
    for proxy in proxies:
        inner = int(proxy["listen"].rpartition(":")[2])
        assert ports[inner] == inner + 8000, proxy["name"]


def test_every_proxy_leads_to_a_service_that_there_is() -> None:
    for proxy in json.loads((STACK / "toxiproxy" / "proxies.json").read_text()):
        name, _, port = proxy["upstream"].rpartition(":")
        assert int(port) in {p["port"] for p in SERVICES[name]["spec"]["ports"]}, proxy["name"]


def test_calls_are_those_of_the_local_platform() -> None:
    """Each caller is told the proxies of its own edges, and no address of a callee."""
    proxies = json.loads((STACK / "toxiproxy" / "proxies.json").read_text())
    ports = {p["name"]: p["listen"].rpartition(":")[2] for p in proxies}
    by_name = {w["metadata"]["name"]: w for w in OWN}
    for call in CALLS:
        caller = by_name.get(call.caller)
        if caller is None or not call.variable or call.edge not in ports:
            continue
        (container,) = caller["spec"]["template"]["spec"]["containers"]
        environment = {e["name"]: e.get("value", "") for e in container["env"]}
        assert f"toxiproxy:{ports[call.edge]}" in environment[call.variable], call.edge


def test_no_two_services_want_one_port_and_kind_maps_them_all() -> None:
    wanted = [
        p["nodePort"] for s in SERVICES.values() for p in s["spec"]["ports"] if "nodePort" in p
    ]
    assert len(wanted) == len(set(wanted))
    assert set(wanted) <= set(NOT_GIVEN_AWAY)
    cluster = YAML(typ="safe").load((ROOT / "kind.yaml").read_text())
    (node,) = cluster["nodes"]
    assert {m["containerPort"] for m in node["extraPortMappings"]} == set(wanted)
    assert all(m["hostPort"] == m["containerPort"] for m in node["extraPortMappings"])
    assert {m["listenAddress"] for m in node["extraPortMappings"]} == {"127.0.0.1"}
    assert cluster["name"] == kind.CLUSTER


def test_images_are_those_of_compose() -> None:
    compose = (STACK.parent / "docker-compose.yml").read_text()
    known = set(re.findall(r"image: (\S+)", compose))
    used = {c["image"] for w in WORKLOADS for c in w["spec"]["template"]["spec"]["containers"]}
    assert used <= known


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.skipif(shutil.which("kubectl") is None, reason="this machine has no kubectl")
def test_a_part_of_the_platform_can_be_rendered(folder: str) -> None:
    kinds = {kind for kind, _ in rendered(ROOT / folder)}
    assert {"Deployment", "ConfigMap"} <= kinds


def rendered(path: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """What a kustomization makes, by kind and name."""
    done = subprocess.run(
        ["kubectl", "kustomize", str(path)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    found = [d for d in YAML(typ="safe").load_all(done.stdout) if d]
    return {(d["kind"], d["metadata"]["name"]): d for d in found}


def deployed(overlay: str, folder: Path, *defects: str) -> dict[tuple[str, str], dict[str, Any]]:
    """What a deployment of an overlay with defects makes."""
    folder.mkdir()
    text = kustomization.text(ROOT / overlay, defects, "shop", folder)
    (folder / kustomization.FILE).write_text(text)
    return rendered(folder)


def placed(workload: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Beside which workloads its pods have to be, and away from which they are rather put."""
    affinity = workload["spec"]["template"]["spec"].get("affinity", {})
    near = affinity.get("podAffinity", {})
    away = affinity.get("podAntiAffinity", {})
    near_terms = near.get("requiredDuringSchedulingIgnoredDuringExecution", [])
    away_terms = away.get("preferredDuringSchedulingIgnoredDuringExecution", [])

    def named(term: dict[str, Any]) -> str:
        assert term["topologyKey"] == "kubernetes.io/hostname"
        return str(term["labelSelector"]["matchLabels"]["app.kubernetes.io/name"])

    return [named(t) for t in near_terms], [named(t["podAffinityTerm"]) for t in away_terms]


API, JOBS = ("Deployment", "control-api"), ("Deployment", "jobs")
#: What each defect changes in which overlay: parts of a platform share their defects.
CHANGED = [
    ("one-replica", "base", {API, JOBS}),
    ("one-replica", "control", {API}),
    ("one-replica", "jobs", {JOBS}),
    ("liveness-follows", "base", {API, JOBS}),
    ("liveness-follows", "control", {API}),
    ("liveness-follows", "jobs", {JOBS}),
]


@pytest.mark.parametrize(
    ("defect", "overlay", "wanted"), CHANGED, ids=[f"{r[0]} of {r[1]}" for r in CHANGED]
)
@pytest.mark.skipif(shutil.which("kubectl") is None, reason="this machine has no kubectl")
def test_a_defect_changes_what_it_is_a_defect_of_and_nothing_else(
    defect: str, overlay: str, wanted: set[tuple[str, str]], tmp_path: Path
) -> None:
    healthy = deployed(overlay, tmp_path / "healthy")
    planted = deployed(overlay, tmp_path / "planted", defect)
    assert healthy.keys() == planted.keys()
    assert {d["metadata"]["namespace"] for d in planted.values()} == {"shop"}
    assert {key for key in healthy if planted[key] != healthy[key]} == wanted


def test_every_defect_that_is_a_component_has_a_row_here() -> None:
    assert {row[0] for row in CHANGED} == {p.name for p in (ROOT / "defects").iterdir()}


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="this machine has no kubectl")
def test_a_node_with_jobs_can_be_drained_while_what_there_is_one_of_is_on_another(
    tmp_path: Path,
) -> None:
    """Everything is either with the database, or beside a pod of jobs and rather away from it."""
    made = deployed("jobs", tmp_path / "made")
    with_database = ["redis", "toxiproxy", "prometheus", "alertmanager", "receiver"]
    wanted = {
        **{name: (["postgres"], []) for name in with_database},
        "postgres": ([], []),
        "jobs": ([], ["jobs", "postgres"]),
        "jobs-worker": (["jobs"], ["postgres"]),
    }
    found = {name: placed(d) for (_, name), d in made.items() if "template" in d.get("spec", {})}
    assert found == wanted
