"""On a real cluster: every process of the host is killed, and all is undone within a minute.

Cordons a node of the cluster and gives it back; all else is in a namespace of the test's own.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from harness import rights
from harness.cluster_paths import jobs, nodes
from tests.kubernetes.conftest import IMAGE, Shop
from tests.real import eventually

pytestmark = pytest.mark.kubernetes

HEALED_WITHIN_S = 60.0
BROKEN_WITHIN_S = 240.0
FAULTS = (
    ("node_pressure", {"target": "api", "workers": 1}),
    ("cordon", {"target": "api"}),
    ("stop", {"target": "store"}),
)


def action(name: str, module: str, func: str, arguments: dict[str, Any]) -> dict[str, Any]:
    provider = {"type": "python", "module": module, "func": func, "arguments": arguments}
    return {"type": "action", "name": name, "provider": provider}


def scenario(shop: Shop) -> str:
    """Three faults that are held for ten minutes; the path of the scenario's file."""
    held = [action(k, f"harness.faults.{k}", "inject", dict(given)) for k, given in FAULTS]
    held.append(action("hold", "harness.faults", "hold", {"for_s": "600s"}))
    healed = [
        action(f"heal {k}", f"harness.faults.{k}", "heal", {"target": given["target"]})
        for k, given in reversed(FAULTS)
    ]
    document = {"title": "t", "description": "d", "method": held, "rollbacks": healed}
    (shop.folder / "experiments" / "e.json").write_text(json.dumps(document))
    (shop.folder / "s.yaml").write_text(
        f"""\
version: 1
name: killed
stack:
  driver: kubernetes
  context: {shop.context}
  namespace: {shop.namespace}
  guardian_image: {IMAGE}
load: {{http: [GET /], service: api, arrivals: 5/s, timeout: 2s}}
experiment: experiments/e.json
phases: {{warmup: 1s, steady: 12s, recovery: 6s, after: 1s}}
metrics: none
objectives: [http.errors < 90% during steady]
"""
    )
    return "s.yaml"


def cordoned(shop: Shop) -> set[str]:
    found = shop.cluster.list(nodes())
    return {n["metadata"]["name"] for n in found if (n.get("spec") or {}).get("unschedulable")}


@contextlib.contextmanager
def broken(shop: Shop, before: set[str]) -> Iterator[subprocess.Popen[str]]:
    """A run that holds all three faults."""
    run = shop.harness("run", scenario(shop))

    def is_broken() -> bool:
        assert run.poll() is None, run.communicate()
        at_once = shop.replicas("store") == 0 and len(shop.stressing()) == 1
        return at_once and len(cordoned(shop) - before) == 1

    try:
        eventually(is_broken, "all three faults are there", BROKEN_WITHIN_S)
        yield run
    finally:
        if run.poll() is None:
            run.send_signal(signal.SIGINT)
        run.communicate(timeout=120)


def is_whole(shop: Shop, before: set[str]) -> bool:
    return shop.replicas("store") == 2 and not shop.stressing() and cordoned(shop) == before


def ended_well(shop: Shop) -> list[int | None]:
    """How many pods of each guardian have."""
    found = shop.cluster.list(jobs(shop.namespace))
    return [(job.get("status") or {}).get("succeeded") for job in found]


def test_when_every_process_of_the_host_is_killed_all_is_undone_within_a_minute(
    shop: Shop, capsys: Any
) -> None:
    before = cordoned(shop)
    with broken(shop, before) as run:
        family = [psutil.Process(run.pid), *psutil.Process(run.pid).children(recursive=True)]
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        killed_at = time.monotonic()
        eventually(lambda: is_whole(shop, before), "all is undone", HEALED_WITHIN_S)
        with capsys.disabled():
            took_s = time.monotonic() - killed_at
            sys.stdout.write(f"\n{len(family)} processes killed; undone after {took_s:.1f} s\n")
    eventually(shop.is_settled, "the workloads are well", HEALED_WITHIN_S)
    eventually(lambda: ended_well(shop) == [1], "the guardian has ended well", HEALED_WITHIN_S)
    assert shop.of_a_run_beyond() == []
    # Whoever comes next finds nothing to heal, and takes the rest away.
    again = shop.harness("recover", "--context", shop.context, "-n", shop.namespace)
    out, errors = again.communicate(timeout=60)
    assert again.returncode == 0, out + errors
    assert shop.of_a_run() == []


def test_a_run_that_is_stopped_leaves_nothing_and_a_second_one_is_refused(shop: Shop) -> None:
    before = cordoned(shop)
    with broken(shop, before) as run:
        second = shop.harness("run", "s.yaml")
        _, errors = second.communicate(timeout=120)
        assert second.returncode == 2, errors
        assert "in use" in errors
        run.send_signal(signal.SIGINT)
        out, errors = run.communicate(timeout=180)
        assert run.returncode == 5, out + errors
    assert is_whole(shop, before)
    assert shop.of_a_run() == []


def test_what_the_test_may_do_is_asked_of_the_real_server(shop: Shop) -> None:
    """Whoever may make namespaces may do more than a run needs."""
    warnings = rights.review(shop.cluster, shop.namespace, ("stop",))
    assert all("more than this run needs" in warning for warning in warnings)
