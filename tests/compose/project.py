"""A small compose project of the tests' own: two HTTP services, Redis, Toxiproxy between them."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from harness import docker_engine
from harness.containers import Container, sole
from harness.descriptor import StackDescriptor
from harness.docker_engine import DockerEngine
from harness.errors import HarnessError
from harness.faults import session as sessions
from harness.files import project_root
from harness.stacks.compose import ComposeStack
from harness.toxiproxy import Toxiproxy
from harness.undo import UndoLog
from tests.real import allow_slowness, eventually, free_port

PYTHON, REDIS = "python:3.11-slim", "redis:7"
TOXIPROXY = "ghcr.io/shopify/toxiproxy:2.12.0"
PROXY_PORT = 8666
EDGE = "front->back"

FILE = """\
x-web: &web
  image: {python}
  init: true
  stop_grace_period: 1s
  command: sh -c "mkdir -p /web && cd /web && echo ok > healthz && exec python -m http.server 8000"
services:
  front:
    <<: *web
    restart: unless-stopped
    ports: ["127.0.0.1:{front}:8000"]
    labels: {{harness.entry: "true"}}
  back:
    <<: *web
    restart: "no"
    ports: ["127.0.0.1::8000"]
    networks: {{default: {{aliases: [store]}}}}
  cache:
    image: {redis}
    restart: on-failure:3
    stop_grace_period: 1s
  toxi:
    image: {toxiproxy}
    command: ["-host", "0.0.0.0", "-proxy-metrics"]
    stop_grace_period: 1s
    ports: ["127.0.0.1:{api}:8474", "127.0.0.1:{proxy}:{proxy_port}"]
"""


def engine() -> DockerEngine:
    """The engine of this machine; the test is skipped where there is none."""
    try:
        found = docker_engine.connect()
    except HarnessError as error:
        pytest.skip(f"no container engine: {error}")
    missing = [i for i in (PYTHON, REDIS, TOXIPROXY) if not found._client.images(i)]
    if missing:
        found.close()
        pytest.skip(f"the engine lacks the images {', '.join(missing)}")
    return found


@contextlib.contextmanager
def running(folder: Path) -> Iterator[ComposeStack]:
    """The project, up; its containers and networks are removed afterwards, by its name."""
    with closing(engine()):
        pass
    file = folder / "compose.yml"
    ports = {"front": free_port(), "api": free_port(), "proxy": free_port()}
    images = {"python": PYTHON, "redis": REDIS, "toxiproxy": TOXIPROXY}
    file.write_text(FILE.format(**ports, **images, proxy_port=PROXY_PORT))
    stack = ComposeStack(f"harness-test-{secrets.token_hex(3)}", file)
    try:
        stack.up(lambda _: None)
        server = Toxiproxy(f"http://127.0.0.1:{ports['api']}")
        server.create(name=EDGE, listen=f"[::]:{PROXY_PORT}", upstream="back:8000")
        # Without a health check of its own a server may be up and not listen yet.
        eventually(lambda: _both_answer(stack), "both web servers answer")
        yield stack
    finally:
        stack.down()


def _both_answer(stack: ComposeStack) -> bool:
    services = stack.up(lambda _: None).services
    return all(services[name].health_path for name in ("front", "back"))


def container(stack: StackDescriptor, service: str) -> Container:
    """A service's container as it is now."""
    with closing(docker_engine.connect()) as found:
        return sole(found.containers(stack.project), service)


def belong_to_a_run(stack: StackDescriptor, patch: pytest.MonkeyPatch) -> UndoLog:
    """Make this process one that injects for a run on the stack."""
    log = UndoLog(stack.id)
    patch.setenv("HARNESS_STACK", stack.id)
    patch.setenv("HARNESS_RUN_ID", "run-1")
    patch.setenv("HARNESS_EPOCH", str(log.epoch()))
    allow_slowness(patch)
    sessions.session.cache_clear()
    return log


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The harness as a command, with this test's state."""
    return subprocess.run(
        [sys.executable, "-m", "harness", *arguments],
        cwd=project_root(),
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=120,
    )
