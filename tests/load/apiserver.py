"""Stands for an API server and its nodes: real HTTP, and the pods of Jobs are processes here.

It keeps objects as the cluster in memory does, passes on what is asked of a pod's port as the
real proxy does (without the caller's credentials), and ends processes whose pods are deleted.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests

from harness import processes
from harness.cluster import JSON
from harness.cluster_paths import namespaced
from harness.errors import FaultError
from harness.fakes.cluster import FakeCluster
from harness.fakes.cluster_documents import Document
from harness.files import project_root
from harness.kubernetes_api import IDENTITY, KubernetesApi
from harness.load.cluster_load import ClusterLoad
from harness.load.cluster_manifests import MASTER, ROLE, LoadPodSpec
from harness.load.cluster_pods import LoadPods
from harness.offered import LoadInside
from tests.load.podinmemory import LOAD, NAMESPACE
from tests.load.site import spec
from tests.real import _Quiet, free_port, serving

TOKEN = "token-of-a-test"
COLLECTIONS = ("pods", "jobs", "networkpolicies")


class Nodes(FakeCluster):
    """Runs the pods of Jobs as processes of this machine, on loopback."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def list(self, path: str, labels: Mapping[str, str] | None = None) -> tuple[JSON, ...]:
        self._refresh()
        return super().list(path, labels)

    def settle(self) -> None:
        super().settle()
        pods = namespaced(NAMESPACE, "pods")
        for name in [n for n in self.running if f"{pods}/{n}" not in self.held]:
            processes.stop(self.running.pop(name), 2.0)

    def of_role(self, role: str) -> dict[str, subprocess.Popen[bytes]]:
        """The processes of a role, by their pods' names."""
        pods = namespaced(NAMESPACE, "pods")
        labels = {n: self.held[f"{pods}/{n}"]["metadata"]["labels"] for n in self.running}
        return {n: process for n, process in self.running.items() if labels[n][ROLE] == role}

    def said(self, name: str) -> str:
        """What a pod's process has printed."""
        return (self.folder / f"{name}.log").read_text()

    def end(self) -> None:
        """No process outlives the test."""
        processes.stop_all(list(self.running.values()), 0.0)

    def _pod(self, name: str, owner: Document, template: Document, *, starts: bool) -> Document:
        made = super()._pod(name, owner, template, starts=starts)
        made["status"]["podIP"] = "127.0.0.1"
        (container,) = template["spec"]["containers"]
        home = self.folder / name
        home.mkdir()
        argv = [sys.executable, *container["command"][1:]]
        if container["name"] == MASTER:
            argv += ["--bind", "127.0.0.1"]
        own = {"HOME": str(home), "TMPDIR": str(home), "PYTHONPATH": str(project_root())}
        with (self.folder / f"{name}.log").open("wb") as output:
            self.running[name] = subprocess.Popen(
                argv,
                env={"PATH": os.environ["PATH"], **own},
                cwd=home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return made

    def _refresh(self) -> None:
        for name, process in self.running.items():
            code = process.poll()
            if code is not None:
                ended = {"reason": "Error" if code else "Completed", "exitCode": code}
                status = self.held[f"{namespaced(NAMESPACE, 'pods')}/{name}"]["status"]
                status["phase"] = "Failed" if code else "Succeeded"
                status["containerStatuses"] = [{"state": {"terminated": ended}}]


class ApiServer:
    """What is asked of it over HTTP; ``away`` while it is, nothing is answered."""

    def __init__(self, nodes: Nodes) -> None:
        self.nodes = nodes
        self.away = False
        self.passed_on: list[dict[str, str]] = []

    def answer(self, method: str, target: str, headers: Any, body: bytes) -> tuple[int, bytes]:
        if self.away:
            return 503, b"away"
        if headers.get("Authorization") != f"Bearer {TOKEN}":
            return 401, b"who are you"
        path, _, inner = urlsplit(target).path.partition("/proxy/")
        if inner:
            return self._pass_on(path, f"/{inner}", headers, body)
        try:
            return self._keep(method, target, json.loads(body or b"{}"))
        except FaultError as error:
            return 409, json.dumps({"message": str(error)}).encode()

    def _keep(self, method: str, target: str, body: Any) -> tuple[int, bytes]:
        path, query = urlsplit(target).path, dict(parse_qsl(urlsplit(target).query))
        match method:
            case "POST":
                return 201, json.dumps(self.nodes.create(path, body)).encode()
            case "DELETE":
                there = self.nodes.delete(path, body["preconditions"]["uid"])
                return (200, b"{}") if there else (404, b"{}")
        if path == IDENTITY:
            return 200, json.dumps({"metadata": {"uid": "cluster-1"}}).encode()
        if path.rpartition("/")[2] in COLLECTIONS:
            pairs = (pair.partition("=") for pair in query.get("labelSelector", "").split(","))
            found = self.nodes.list(path, {key: value for key, _, value in pairs if key})
            return 200, json.dumps({"items": found}).encode()
        one = self.nodes.get(path)
        return (404, b"{}") if one is None else (200, json.dumps(one).encode())

    def _pass_on(self, path: str, inner: str, headers: Any, body: bytes) -> tuple[int, bytes]:
        scheme, _, port = path.rpartition("/")[2].split(":")
        kept = {k: v for k, v in headers.items() if k not in ("Authorization", "Host")}
        self.passed_on.append(kept)
        try:
            answer = requests.post(
                f"{scheme}://127.0.0.1:{port}{inner}", body, headers=kept, timeout=5
            )
        except requests.RequestException as error:
            return 503, f"error trying to reach service: {error}".encode()
        return answer.status_code, answer.content


@contextlib.contextmanager
def api_server(folder: Path) -> Iterator[tuple[ApiServer, Path]]:
    """An API server, and the kubeconfig that leads to it."""
    folder.mkdir()
    server = ApiServer(Nodes(folder))

    class Handler(_Quiet):
        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, answer = server.answer(self.command, self.path, self.headers, body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_DELETE = _any  # noqa: N815 - http.server's names

    assert issubclass(Handler, BaseHTTPRequestHandler)
    with serving(Handler) as address:
        path = folder / "kubeconfig"
        path.write_text(json.dumps(kubeconfig(f"http://{address}")))
        try:
            yield server, path
        finally:
            server.nodes.end()


def kubeconfig(url: str) -> dict[str, Any]:
    """A context ``test`` that signs in with a token."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": url}}],
        "users": [{"name": "test", "user": {"token": TOKEN}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    }


def load_through(path: Path, folder: Path, profile: str = "", **changes: Any) -> ClusterLoad:
    """A load of three pods behind the API server that a kubeconfig leads to."""
    asked: dict[str, Any] = {"workers": 3, "inside": LoadInside(join_timeout_s=60.0)}
    pods = LoadPodSpec(
        name=LOAD,
        run="run-1",
        deadline_s=600.0,
        control_port=free_port(),
        join_port=free_port(),
    )
    return ClusterLoad(
        spec(folder, profile, **asked | changes),
        folder,
        folder / "inside" / "samples",
        1,
        pods=lambda: LoadPods(lambda: KubernetesApi("test", str(path)), NAMESPACE, pods),
    )
