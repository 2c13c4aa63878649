"""Imports go one way: a module may import only from layers below its own."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "harness"

#: The longest prefix of a module's dotted name decides. Inside the effects, the number after
#: the point orders what may build on what; adapters of one number never import each other.
LAYERS = {
    "errors": 0.0,
    "slis": 0.05,
    "durability": 3.3,
    "durability.series": 0.05,
    "durability.ledger": 1.0,
    "durability.order": 1.0,
    "durability.address": 1.1,
    "durability.reader": 3.05,
    "durability.postgres": 3.1,
    "durability.redis": 3.1,
    "durability.kafka": 3.1,
    "durability.stores": 3.2,
    "durability.reconciliation": 1.05,
    "waivers": 0.05,
    "alerting": 0.05,
    "ratecurve": 0.05,
    "arrivals": 0.06,
    "offered": 0.07,
    "model": 0.1,
    "units": 1.0,
    "descriptor": 1.0,
    "containers": 1.0,
    "cluster_paths": 0.9,
    "cluster": 1.0,
    "cluster_merge": 1.0,
    "cluster_mark": 1.1,
    "cluster_lease": 1.1,
    "cluster_undo": 3.08,
    "guardian_rights": 1.1,
    "guardian_manifests": 1.2,
    "role_files": 1.2,
    "undo_reach": 1.2,
    "service_account_api": 3.01,
    "cluster_guardian": 3.09,
    "namespace_lease": 3.05,
    "rights": 3.05,
    "guardian_post": 3.1,
    "cluster_copy": 3.15,
    "namespace_hold": 3.2,
    "cluster_outpost": 3.25,
    "cluster_safety": 3.35,
    "access": 1.0,
    "reasons": 1.0,
    "schedule": 0.9,
    "buckets": 1.0,
    "scrapes": 1.0,
    "promql": 1.1,
    "readings": 1.1,
    "slo_rules": 1.2,
    "samples": 1.0,
    "arrival_text": 1.1,
    "histogram": 1.0,
    "histogram_table": 1.05,
    "hdrhistogram": 1.05,
    "knee": 1.0,
    "statistics": 1.0,
    "objectives": 1.1,
    "sustained": 1.1,
    "evidence": 1.1,
    "trend": 1.0,
    "timeline": 1.2,
    "recovery": 1.2,
    "series_recovery": 1.25,
    "judge": 1.2,
    "baseline": 1.3,
    "contrast": 1.0,
    "scales": 1.0,
    "design": 1.1,
    "measures": 1.4,
    "findings": 1.42,
    "pairing": 1.2,
    "comparison": 1.45,
    "witnesses": 1.25,
    "series_checks": 1.3,
    "live": 1.3,
    "recovery_checks": 1.4,
    "alert_reach": 1.2,
    "detection": 1.3,
    "alert_checks": 1.4,
    "durability_checks": 1.4,
    "failure_checks": 1.4,
    "growth_checks": 1.4,
    "baseline_checks": 1.4,
    "accepted_run": 1.65,
    "waiver_checks": 1.4,
    "checks": 1.45,
    "verdict": 1.5,
    "capacity": 1.55,
    "overload": 1.55,
    "staircase": 1.56,
    "result": 1.6,
    "chart": 1.7,
    "conclusion": 1.8,
    "scenario": 1.8,
    "reach": 1.1,
    "handed_on": 1.0,
    "redaction": 1.0,
    "secret_values": 1.1,
    "guards": 1.7,
    "cluster_guards": 1.75,
    "chaosk8s_calls": 1.0,
    "stack_guards": 1.75,
    "guard_file": 3.01,
    "experiment": 1.7,
    "preview": 1.9,
    "openslo": 1.9,
    "ports": 1.8,
    "reading_back": 1.9,
    "scraping": 1.9,
    "run": 2.0,
    "fakes": 2.1,
    "crashpoints": 3.0,
    "files": 3.0,
    "greetings": 1.0,
    "probe": 3.0,
    "offspring": 3.0,
    "rest": 3.0,
    "processes": 3.0,
    "toxiproxy": 3.02,
    "control": 3.0,
    "scratch": 3.01,
    "docker_engine": 3.0,
    "kubernetes_api": 3.0,
    "kubeconfig": 3.01,
    "namespace": 3.0,
    "container_host": 3.02,
    "redacted_log": 3.0,
    "service_process": 3.05,
    "open_files": 3.06,
    "service_clock": 3.06,
    "service_container": 3.05,
    "cluster_object": 3.03,
    "service_pod": 3.05,
    "workload_pods": 1.1,
    "disruption": 1.1,
    "chaosk8s_actions": 3.05,
    "cluster_labelled": 3.05,
    "config_key": 3.05,
    "config_readers": 1.1,
    "service_node": 3.05,
    "node_commands": 1.0,
    "power_command": 3.02,
    "node_power": 3.05,
    "project_file": 3.0,
    "pod_probe": 1.1,
    "pod_container": 3.06,
    "pod_isolation": 3.06,
    "toxiproxy_server": 3.07,
    "pod_quota": 3.06,
    "pod_stressor": 3.05,
    "node_pressure": 3.07,
    "workload_template": 3.07,
    "container_network": 3.06,
    "container_partition": 3.06,
    "edge_partition": 3.08,
    "guardian_process": 3.1,
    "stacks.registry": 3.1,
    "stacks.maven": 3.05,
    "stacks.fetch": 3.1,
    "stacks.provision": 3.15,
    "stacks.preload": 3.2,
    "verbs": 3.1,
    "wire": 3.0,
    "databases": 3.0,
    "stressor": 3.05,
    "witness": 3.02,
    "http_fault": 3.0,
    "http_answer": 3.03,
    "http_looks": 3.05,
    "http_fault_helper": 3.06,
    "http_fault_proxy": 3.06,
    "connection_slots": 3.06,
    "fsync_latency": 3.06,
    "network_looks": 3.05,
    "looks": 3.09,
    "undo": 3.1,
    "recover": 3.2,
    "faults": 3.3,
    "guardian": 3.3,
    "safety": 3.3,
    "stacks": 3.3,
    "load": 3.3,
    "chaos": 3.3,
    "prometheus": 3.3,
    "prometheus_api": 3.2,
    "received": 3.2,
    "store": 3.3,
    "baselines": 3.3,
    "surroundings": 3.3,
    "report": 3.3,
    "export_tables": 1.7,
    "stored_run": 3.4,
    "results": 3.5,
    "cli": 4.0,
    "__main__": 4.1,
}


def dotted(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layer(module: str) -> tuple[float, str]:
    known = [name for name in LAYERS if module == name or module.startswith(f"{name}.")]
    assert known, f"{module} has no layer: add it to LAYERS"
    place = max(known, key=len)
    return LAYERS[place], place


def imported(path: Path) -> set[str]:
    """Names of our own modules that this file imports, in whichever way it says so."""
    modules = {dotted(p) for p in PACKAGE.rglob("*.py")}
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write the import in full"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner.removeprefix("harness.") in modules else str(node.module))
    ours = {name.removeprefix("harness.") for name in found if name.startswith("harness.")}
    return ours & modules


def test_every_import_points_down() -> None:
    bad = []
    for path in sorted(PACKAGE.rglob("*.py")):
        module = dotted(path)
        if not module:
            continue
        height, place = layer(module)
        for name in sorted(imported(path)):
            below, other = layer(name)
            if other != place and below >= height:
                bad.append(f"{module} imports {name}")
    assert bad == []


def test_the_pure_layers_touch_nothing() -> None:
    """No clock, file, socket, randomness or process below the lifecycle."""
    forbidden = {"os", "socket", "subprocess", "time", "random", "secrets", "requests", "shutil"}
    bad = []
    for path in sorted(PACKAGE.rglob("*.py")):
        module = dotted(path)
        if not module or layer(module)[0] >= 2:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [a.name.split(".")[0] for a in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [str(node.module).split(".")[0]]
            bad += [f"{module} imports {name}" for name in names if name in forbidden]
    assert bad == []


def test_only_the_edge_prints_or_exits() -> None:
    """One place prints, one place ends the process; programs of their own may exit."""
    programs = {
        "guardian",
        "cluster_guardian",
        "processes",
        "stacks.supervisor",
        "stacks.child",
        "load.leaving",
    }
    bad = []
    for path in sorted(PACKAGE.rglob("*.py")):
        module = dotted(path)
        if module.startswith("cli") or module in programs:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                if called in ("print", "sys.exit", "exit", "quit", "os._exit"):
                    bad.append(f"{module}:{node.lineno} calls {called}")
    assert bad == []


def test_no_module_is_over_400_lines_and_no_function_over_70() -> None:
    bad = []
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text()
        if len(text.splitlines()) > 400:
            bad.append(f"{dotted(path)} has {len(text.splitlines())} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                if length > 70:
                    bad.append(f"{dotted(path)}.{node.name} has {length} lines")
    assert bad == []
