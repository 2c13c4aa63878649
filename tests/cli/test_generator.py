"""The pods of a load from inside are made in the cluster that was attached to, and in no other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from harness import store
from harness.cli.generator import generator_of
from harness.cli.kubernetes import connect_to
from harness.descriptor import StackDescriptor, dump
from harness.errors import FaultError, InvalidError
from harness.fakes.cluster import FakeCluster
from harness.files import private_folder
from harness.ports import Load
from harness.redaction import Redactor
from harness.scenario import parse
from harness.stacks import registry
from tests.cluster_host import stack_of
from tests.cluster_server import ApiServer, api_server

SCENARIO = """\
version: 1
name: from-inside
stack: {driver: kubernetes, context: fake, namespace: shop}
load: {http: [GET /], arrivals: 10/s, timeout: 1s, inside: {}}
phases: {warmup: 1s, steady: 11s}
faults: []
metrics: none
objectives: [http.errors < 5% during steady]
"""


@pytest.fixture
def api(tmp_path: Path, own_state: Path) -> Iterator[ApiServer]:
    (tmp_path / "server").mkdir()
    with api_server(FakeCluster(), tmp_path / "server") as found:
        yield found


def attached_to(cluster: str, api: ApiServer) -> StackDescriptor:
    """The stack, as it was described when the context led to this cluster."""
    stack = stack_of(cluster, str(api.kubeconfig))
    (private_folder(registry.folder(stack.id)) / registry.FILE).write_text(dump(stack))
    return stack


def load_of(stack_id: str, folder: Path) -> Load:
    run = store.create(folder, "from-inside", 0.0, Redactor())
    run.close()
    return generator_of(
        parse(SCENARIO, path="s.yaml", environment={}, exists=lambda _: True),
        folder,
        run,
        seed=1,
        recorded={},
        redactor=Redactor(),
        tell=lambda _: None,
        given_up=lambda: False,
        connect=lambda: connect_to(stack_id),
    )


def test_a_context_that_leads_elsewhere_by_now_is_refused_before_anything_is_made(
    api: ApiServer, tmp_path: Path
) -> None:
    stack = attached_to("another-cluster", api)
    load = load_of(stack.id, tmp_path)
    with pytest.raises(FaultError, match="leads to the cluster fake-cluster, not another-cluster"):
        load.start("http://api:8080")
    load.stop()
    assert api.cluster.deeds == []


def test_a_stack_that_nobody_has_attached_to_is_none_to_send_load_in(
    api: ApiServer, tmp_path: Path
) -> None:
    load = load_of("kubernetes-nobody-knows", tmp_path)
    with pytest.raises(InvalidError, match="'kubernetes-nobody-knows' is not described"):
        load.start("http://api:8080")
    assert api.cluster.deeds == []


def test_the_cluster_that_was_attached_to_is_connected_with(api: ApiServer) -> None:
    with closing(connect_to(attached_to(api.cluster.uid, api).id)) as cluster:
        assert cluster.uid == api.cluster.uid
