"""`harness stack up --stack kubernetes --kind`: what kind and Docker are told, and when not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.cli import namespaces
from harness.cluster_paths import DEPLOYMENT, workloads
from harness.errors import InvalidError
from harness.fakes.cluster import FakeCluster
from harness.fakes.cluster_documents import workload
from harness.files import project_root
from harness.stacks import kind, kustomization
from tests.cli.test_kubernetes import Place
from tests.cluster_server import api_server

GUARDS = """\
[guards]
stacks = ["kubernetes"]
contexts = ["kind-harness"]
namespaces = ["shop", "sentinel"]
"""
#: A stand-in: it notes its call, and is asked by its environment to have something or to fail.
PROGRAMS = {
    "kind": """\
#!/bin/sh
echo "kind $*" >>{calls}
case "$1 $2" in
"get clusters") echo "$THERE" ;;
"$FAILS") echo "ERROR: no space left on device" >&2; exit 1 ;;
esac
""",
    "docker": """\
#!/bin/sh
echo "docker $*" >>{calls}
case "$1 $2" in
"image inspect") exit "${{MISSING:-0}}" ;;
"$FAILS") echo "ERROR: is the docker daemon running?" >&2; exit 1 ;;
esac
""",
}
CREATE = f"kind create cluster --config {project_root() / kind.CONFIG} --wait 120s"
BUILD = f"docker build --quiet --tag harness-reference-platform {project_root() / 'stack'}"
LOAD = "kind load docker-image harness-reference-platform --name harness"
UP = ("stack", "up", "--stack", "kubernetes", "--kind", "-n", "shop")


@dataclass
class Machine(Place):
    """A machine with stand-ins for kind and Docker, and nothing else on its PATH."""

    programs: Path

    def told(self) -> list[str]:
        """What the stand-ins were told, without what they were only asked."""
        calls = self.programs / "calls"
        lines = calls.read_text().splitlines() if calls.exists() else []
        asked = ("kind get", "docker version", "docker image inspect")
        return [line for line in lines if not line.startswith(asked)]


@pytest.fixture
def machine(tmp_path: Path, own_state: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """Its API server is behind the context that kind writes."""
    folder, server, programs = tmp_path / "project", tmp_path / "server", tmp_path / "bin"
    for path in (folder, server, programs):
        path.mkdir()
    for name, text in PROGRAMS.items():
        (programs / name).write_text(text.format(calls=programs / "calls"))
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    for name in ("THERE", "FAILS", "MISSING"):
        monkeypatch.delenv(name, raising=False)
    (folder / "harness.toml").write_text(GUARDS)
    cluster = FakeCluster()
    cluster.add("/api/v1/namespaces", {"metadata": {"name": "shop"}})
    cluster.add(workloads("shop", DEPLOYMENT), workload("api"))
    with api_server(cluster, server) as api:
        config = json.loads(api.kubeconfig.read_text())
        config["contexts"] = [{"name": kind.CONTEXT, "context": {"cluster": "c", "user": "u"}}]
        api.kubeconfig.write_text(json.dumps(config))
        yield Machine(folder, api, programs)


MADE: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    "a cluster is made, and gets the image": ({}, (CREATE, LOAD)),
    "an image that is missing is built": ({"MISSING": "1"}, (BUILD, CREATE, LOAD)),
    "a cluster that is there is taken": ({"THERE": "other\nharness"}, (LOAD,)),
    "another one's cluster is not taken for it": ({"THERE": "harness-2"}, (CREATE, LOAD)),
}


@pytest.mark.parametrize(("has", "told"), MADE.values(), ids=MADE)
def test_a_stack_is_up_on_kind_when(
    has: dict[str, str], told: tuple[str, ...], machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in has.items():
        monkeypatch.setenv(name, value)
    done = machine.harness(*UP)
    assert done.returncode == 0, done.stderr
    assert "stack kubernetes-" in done.stdout
    assert "is up" in done.stdout
    assert machine.told() == list(told)


REFUSED: dict[str, tuple[tuple[str, ...], str]] = {
    "another context": (
        (*UP, "--context", "staging"),
        "--kind is the cluster of the context kind-harness, and --context says staging. "
        "Leave one of the two out.",
    ),
    "another driver": (
        ("stack", "up", "--kind"),
        "--kind makes a Kubernetes cluster, and the driver is local. "
        "Write `--stack kubernetes --kind`",
    ),
    "a namespace that is not allowed": (
        (*UP[:-1], "bank"),
        "The guards refuse to touch bank of kind-harness: namespace 'bank' is not allowed",
    ),
    "an overlay without a namespace": (
        (*UP[:-2], "--overlay", "here"),
        "A namespace is meant by --context and --namespace together",
    ),
}


@pytest.mark.parametrize(("asked", "words"), REFUSED.values(), ids=REFUSED)
def test_nothing_is_made_for(asked: tuple[str, ...], words: str, machine: Machine) -> None:
    done = machine.harness(*asked)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in " ".join(done.stderr.split())
    assert machine.told() == []


def test_nothing_is_made_where_the_context_is_not_allowed(machine: Machine) -> None:
    (machine.folder / "harness.toml").write_text(GUARDS.replace("kind-harness", "staging"))
    done = machine.harness(*UP)
    assert (done.returncode, done.stdout) == (2, "")
    assert "context 'kind-harness' is not allowed (allowed: staging)" in done.stderr
    assert machine.told() == []


LACKING: dict[str, tuple[str, str, str]] = {
    "kind": ("kind", "", "This machine has no kind. Install kind (https://kind.sigs.k8s.io) and"),
    "Docker": ("docker", "", "This machine has no docker. Install kind"),
    "an engine that answers": (
        "",
        "version --format",
        "No Docker engine answers, in which kind would make its cluster: "
        "ERROR: is the docker daemon running? Start Docker",
    ),
}


@pytest.mark.parametrize(("program", "fails", "words"), LACKING.values(), ids=LACKING)
def test_a_machine_is_told_that_it_lacks(
    program: str, fails: str, words: str, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAILS", fails)
    if program:
        (machine.programs / program).unlink()
    done = machine.harness(*UP)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert words in " ".join(done.stderr.split())
    assert machine.told() == []


FAILING: dict[str, tuple[dict[str, str], str]] = {
    "the cluster": ({"FAILS": "create cluster"}, "`kind delete cluster --name harness` takes away"),
    "the image": ({"FAILS": "build --quiet", "MISSING": "1"}, "daemon running?"),
    "the image in the cluster": ({"FAILS": "load docker-image"}, "no space left on device"),
}


@pytest.mark.parametrize(("has", "words"), FAILING.values(), ids=FAILING)
def test_what_could_not_be_made_is_an_error_with_its_own_words(
    has: dict[str, str], words: str, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in has.items():
        monkeypatch.setenv(name, value)
    done = machine.harness(*UP)
    assert (done.returncode, done.stdout) == (3, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_the_cluster_outlives_its_stack_and_it_is_said_what_ends_it(machine: Machine) -> None:
    assert machine.harness(*UP).returncode == 0
    before = machine.told()
    down = machine.harness("stack", "down", "--context", "kind-harness", "-n", "shop")
    assert down.returncode == 0, down.stderr
    assert down.stdout.splitlines() == [
        "shop is let go",
        "the kind cluster harness stays; `kind delete cluster --name harness` takes it away",
    ]
    assert machine.told() == before


def test_without_a_name_the_control_plane_of_the_platform_is_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "harness.toml").write_text(GUARDS)
    monkeypatch.setattr(kind, "ensure", lambda *_: kind.CONTEXT)
    context, namespace, overlay = namespaces.on_kind("kubernetes", None, None, None)
    assert (context, namespace) == ("kind-harness", "sentinel")
    assert overlay is not None
    assert (overlay / kustomization.FILE).is_file()


def test_a_package_without_its_checkout_makes_no_cluster(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match=r"--kind needs stack/kubernetes/kind\.yaml, .* clone"):
        kind.ensure(tmp_path, str)
