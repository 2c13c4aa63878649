"""kind as a command: a cluster of containers for the platform, made once and found again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.errors import InvalidError
from harness.stacks import commands

CLUSTER = "harness"
CONTEXT = f"kind-{CLUSTER}"
CONFIG = Path("stack/kubernetes/kind.yaml")
IMAGE, SOURCE = "harness-reference-platform", Path("stack")  # no registry has it
DELETE = f"kind delete cluster --name {CLUSTER}"

ASK_TIMEOUT_S = 20.0
BUILD_TIMEOUT_S = 600.0
CREATE_TIMEOUT_S = 600.0  # the node's image may have to be pulled
LOAD_TIMEOUT_S = 300.0
GET = "Install kind (https://kind.sigs.k8s.io) and Docker, or name a `--context` of your own."


def ensure(root: Path, progress: Callable[[str], None]) -> str:
    """The context of a running kind cluster that has the image of the platform's services.

    Args:
        root: The checkout that the cluster and the image are made from.
        progress: Told what is being done.

    Raises:
        InvalidError: This machine has no kind or no Docker that answers, or this is no checkout;
            nothing was made.
        StackError: Image or cluster could not be made, or the one not be loaded into the other.
    """
    if not (root / CONFIG).is_file():
        raise InvalidError(
            f"--kind needs {CONFIG}, which is part of a checkout, not of the package.",
            "Run it from a clone of the repository.",
        )
    _see_engine()
    known = commands.told(["kind", "get", "clusters"], ASK_TIMEOUT_S, get=GET).split()
    if commands.run(["docker", "image", "inspect", IMAGE], ASK_TIMEOUT_S, get=GET).returncode:
        progress(f"building the image {IMAGE}")
        build = ["docker", "build", "--quiet", "--tag", IMAGE, str(root / SOURCE)]
        commands.told(build, BUILD_TIMEOUT_S, get=GET)
    if CLUSTER not in known:
        progress(f"making the kind cluster {CLUSTER}")
        create = ["kind", "create", "cluster", "--config", str(root / CONFIG), "--wait", "120s"]
        left = f"`{DELETE}` takes away what there is of it."
        commands.told(create, CREATE_TIMEOUT_S, get=GET, next_step=left)
    progress(f"loading {IMAGE} into the kind cluster {CLUSTER}")
    load = ["kind", "load", "docker-image", IMAGE, "--name", CLUSTER]
    commands.told(load, LOAD_TIMEOUT_S, get=GET)
    return CONTEXT


def _see_engine() -> None:
    """See that kind finds the containers' engine: its own words for that are those of a crash."""
    ask = ["docker", "version", "--format", "{{.Server.Version}}"]
    done = commands.run(ask, ASK_TIMEOUT_S, get=GET)
    if done.returncode:
        said = done.stderr.strip()[-500:]
        raise InvalidError(
            f"No Docker engine answers, in which kind would make its cluster: {said}",
            "Start Docker, or name a `--context` of your own.",
        )
