"""A pod that is asked through the API server's proxy by the real client, over real HTTP."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cluster import Question
from harness.cluster_paths import jobs
from harness.errors import FaultError
from harness.load import cluster_messages as told
from harness.load.cluster_master import ClusterMaster, _Server
from tests.load.apiserver import ApiServer, api_server
from tests.load.podinmemory import NAMESPACE
from tests.real import free_port

pytest.importorskip("kubernetes", reason="the package of the API server's client is missing")

from harness.kubernetes_api import KubernetesApi

SECRET = "a secret of a test"
LOOK = told.question((), 0)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[ApiServer, KubernetesApi]]:
    with api_server(tmp_path / "cluster") as (server, kubeconfig):
        client = KubernetesApi("test", str(kubeconfig))
        yield server, client
        client.close()


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """Where the master's pod answers."""
    master = ClusterMaster(tmp_path, "127.0.0.1")
    digest = hashlib.sha256(SECRET.encode()).hexdigest()
    with _Server("127.0.0.1", 0, digest, master) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def ask(client: KubernetesApi, port: int, secret: str = SECRET, path: str = told.LOOK) -> bytes:
    headers = {told.SECRET_HEADER: secret}
    question = Question(body=LOOK, headers=headers, timeout_s=5.0)
    return client.ask(NAMESPACE, "master-1", port, path, question)


def test_the_answer_is_the_pods_and_the_pod_sees_no_credentials_of_the_cluster(
    cluster: tuple[ApiServer, KubernetesApi], port: int
) -> None:
    server, client = cluster
    assert told.state(ask(client, port)).joined == ()
    (headers,) = server.passed_on
    assert headers[told.SECRET_HEADER] == SECRET
    assert "Authorization" not in headers


def test_a_pod_that_refuses_is_an_error_with_its_words(
    cluster: tuple[ApiServer, KubernetesApi], port: int
) -> None:
    with pytest.raises(FaultError, match="answered 403: this is no run that knows the secret"):
        ask(cluster[1], port, secret="another")  # noqa: S106 - that of nobody
    with pytest.raises(FaultError, match="answered 404"):
        ask(cluster[1], port, path="/elsewhere")


def test_a_pod_that_is_not_there_is_an_error(cluster: tuple[ApiServer, KubernetesApi]) -> None:
    with pytest.raises(FaultError, match="answered 503: error trying to reach service"):
        ask(cluster[1], free_port())


def test_an_api_server_that_is_away_is_an_error(
    cluster: tuple[ApiServer, KubernetesApi], port: int
) -> None:
    cluster[0].away = True
    with pytest.raises(FaultError, match="answered 503: away"):
        ask(cluster[1], port)


def test_what_stands_for_an_api_server_keeps_objects_as_one(
    cluster: tuple[ApiServer, KubernetesApi],
) -> None:
    _, client = cluster
    labels = {"harness-load": "harness-load-1"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": []}}
    body = {
        "metadata": {"name": "one", "labels": labels},
        "spec": {"parallelism": 0, "template": template},
    }
    made = client.create(jobs(NAMESPACE), body)
    assert [o["metadata"]["name"] for o in client.list(jobs(NAMESPACE), labels)] == ["one"]
    assert client.list(jobs(NAMESPACE), {"harness-load": "another"}) == ()
    assert client.get(jobs(NAMESPACE, "one")) == made
    assert not client.delete(jobs(NAMESPACE, "one"), "another-uid")
    assert client.delete(jobs(NAMESPACE, "one"), made["metadata"]["uid"])
    assert client.get(jobs(NAMESPACE, "one")) is None
