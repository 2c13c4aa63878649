"""Three workers in a real cluster send what three processes of this machine would.

Touches only a namespace that it makes. Needs the image of `make image` on the nodes
(`IMAGE` says another name) and a kubeconfig whose current context may be used for this:
`HARNESS_TEST_CLUSTER=1`.
"""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import __version__
from harness.arrivals import constant
from harness.cluster import Cluster
from harness.cluster_paths import jobs, namespaced, network_policies
from harness.descriptor import StackDescriptor, entry
from harness.errors import HarnessError
from harness.kubernetes_api import KubernetesApi
from harness.load.cluster_load import ClusterLoad
from harness.load.cluster_manifests import LoadPodSpec
from harness.load.cluster_pods import LoadPods
from harness.load.locust import LocustLoad
from harness.model import LoadSpec, Window
from harness.offered import LoadInside
from harness.ports import Load
from harness.samples import Kind, LoadSamples, outcome_counts, within
from harness.stacks.kubernetes_namespace import describe
from harness.statistics import quantile_bounds
from tests.kubernetes.conftest import connected, needs_image
from tests.real import eventually

pytestmark = pytest.mark.kubernetes
LOG = logging.getLogger(__name__)  # the figures: --log-cli-level=INFO

IMAGE = os.environ.get("IMAGE", f"reliability-harness:{__version__}")
RATE, SECONDS = 60.0, 30.0
UP_WITHIN_S = 120.0
#: Answers after 10 to 210 ms, evenly spread and the same for each load, so that what two loads
#: see differs by their ways and what else the machine does, and by no luck of the draw.
SERVER = """
import itertools, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

numbers = itertools.count()

class Shop(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        time.sleep(0.01 + 0.2 * (next(numbers) * 0.6180339887 % 1))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass

ThreadingHTTPServer.request_queue_size = 128
ThreadingHTTPServer(("", 8080), Shop).serve_forever()
"""


@dataclass(frozen=True)
class Shop:
    cluster: Cluster
    context: str
    namespace: str
    stack: StackDescriptor


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    cluster = connected()
    needs_image(cluster, IMAGE)
    namespace = f"harness-test-{secrets.token_hex(4)}"
    spaces = "/api/v1/namespaces"
    made = cluster.create(spaces, {"metadata": {"name": namespace}})
    try:
        cluster.create(f"/apis/apps/v1/namespaces/{namespace}/deployments", deployment())
        cluster.create(namespaced(namespace, "services"), service())

        def described() -> StackDescriptor | None:
            stack, _ = describe(cluster, namespace)
            answers = stack.base_url.startswith("http:") and stack.cluster_url
            return stack if answers else None

        stack = eventually(described, "the shop is up", UP_WITHIN_S)
        assert stack is not None
        yield Shop(cluster, cluster.context, namespace, stack)
    finally:
        cluster.delete(f"{spaces}/{namespace}", made["metadata"]["uid"])
        cluster.close()


def deployment() -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": "gateway"}
    container = {
        "name": "gateway",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-c", SERVER],
        "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
    }
    return {
        "metadata": {"name": "gateway", "labels": labels},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def service() -> dict[str, Any]:
    return {
        "metadata": {"name": "gateway"},
        "spec": {
            "type": "NodePort",
            "selector": {"app.kubernetes.io/name": "gateway"},
            "ports": [{"name": "main", "port": 8080}],
        },
    }


def offered(inside: LoadInside | None) -> LoadSpec:
    return LoadSpec(
        profile=None,
        http=("GET /items",),
        service=None,
        arrivals=constant(RATE),
        timeout_s=2.0,
        max_in_flight=60,
        workers=3,
        inside=inside,
    )


def load_inside(shop: Shop, folder: Path, **changes: Any) -> ClusterLoad:
    asked = LoadInside(**{"image": IMAGE, "join_timeout_s": UP_WITHIN_S, **changes})
    pods = LoadPodSpec(
        name=f"harness-load-{secrets.token_hex(4)}",
        run="a-test",
        image=asked.image,
        deadline_s=600.0,
    )
    return ClusterLoad(
        offered(asked),
        folder,
        folder / "inside" / "samples",
        1,
        pods=lambda: LoadPods(lambda: KubernetesApi(shop.context), shop.namespace, pods),
    )


def played(load: Load, url: str) -> LoadSamples:
    """The samples of the planned time."""
    try:
        zero = load.start(url)
        time.sleep(max(0.0, zero + SECONDS - time.time()))
        assert load.problem() is None
    finally:
        load.stop()
    return load.samples()


def journeys(samples: LoadSamples) -> Any:
    window = Window(start=samples.zero, end=samples.zero + SECONDS - 1e-3)
    return within(samples.of_kind(Kind.JOURNEY), window)


def left(shop: Shop) -> list[str]:
    collections = (jobs(shop.namespace), network_policies(shop.namespace))
    found = [o for path in collections for o in shop.cluster.list(path)]
    pods = shop.cluster.list(
        namespaced(shop.namespace, "pods"), {"app.kubernetes.io/component": "load"}
    )
    return [o["metadata"]["name"] for o in (*found, *pods)]


def test_a_load_from_inside_equals_one_from_here_within_its_intervals(
    shop: Shop, tmp_path: Path
) -> None:
    here = LocustLoad(offered(None), tmp_path, tmp_path / "here" / "samples", 1)
    samples = {
        "inside": played(load_inside(shop, tmp_path), entry(shop.stack, None, inside=True)),
        "here": played(here, entry(shop.stack, None)),
    }
    assert left(shop) == []
    assert all(each.intact for each in samples.values())
    assert samples["inside"].clock_error_s < 0.1
    found = {name: journeys(each) for name, each in samples.items()}
    due = {name: np.sort(j["intended"]) - samples[name].zero for name, j in found.items()}
    assert due["inside"] == pytest.approx(due["here"], abs=1e-5)  # the same arrivals, to the last
    assert len(due["inside"]) == RATE * SECONDS
    assert all(set(outcome_counts(each)) == {"good"} for each in found.values())
    for quantile in (0.5, 0.9, 0.95):
        took = [each["completed"] - each["intended"] for each in found.values()]
        _, low, high = zip(*(quantile_bounds(t, quantile, len(t)) for t in took), strict=True)
        for name, *ends in zip(found, low, high, strict=True):
            LOG.info("p%g %s: %.1f to %.1f ms", quantile * 100, name, *(e * 1e3 for e in ends))
        # Two intervals that share a point do not tell two loads apart.
        assert max(low) <= min(high), f"p{quantile * 100:g}: from {low} to {high} s"


def test_an_image_that_is_nowhere_is_named_and_nothing_stays(shop: Shop, tmp_path: Path) -> None:
    load = load_inside(shop, tmp_path, image="no-such-image:0", join_timeout_s=40.0)
    with pytest.raises(HarnessError, match="no-such-image"):
        load.start(entry(shop.stack, None, inside=True))
    load.stop()
    assert left(shop) == []
    assert len(load.samples().records) == 0


def test_a_load_whose_run_was_killed_leaves_nothing_in_the_end(shop: Shop, tmp_path: Path) -> None:
    load = load_inside(shop, tmp_path)
    load.start(entry(shop.stack, None, inside=True))
    assert load._looking is not None
    load._looking._over.set()  # nobody looks any more, and nobody deletes
    eventually(lambda: not left(shop), "the cluster has deleted it", 180.0)
