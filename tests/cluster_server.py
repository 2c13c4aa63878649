"""A small API server over HTTP, on loopback, before a cluster in memory; it runs guardians' Jobs.

Enough of the API for the real client and for the real guardian: objects by path, lists by labels,
merge patches with resource versions, deletes by uid, a token that is checked. A Job that is woken
up is started as a child process, from the texts in its ConfigMap alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from harness.cluster import ConflictError
from harness.errors import FaultError
from harness.fakes.cluster import FakeCluster
from tests.real import Server

TOKEN = "t0ken"
COLLECTIONS = {
    "configmaps", "daemonsets", "deployments", "jobs", "leases", "namespaces", "nodes", "pods",
    "rolebindings", "roles", "serviceaccounts", "services", "statefulsets", "networkpolicies",
    "clusterroles", "clusterrolebindings", "selfsubjectaccessreviews",
}  # fmt: skip


@dataclass
class ApiServer:
    """The server, the folder with a kubeconfig and an account for it, and the Jobs it runs."""

    cluster: FakeCluster
    folder: Path
    url: str = ""
    lock: Any = field(default_factory=threading.RLock)
    jobs: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    ending: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def account(self) -> Path:
        return self.folder / "account"

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    def prepare(self) -> None:
        self.cluster.add(
            "/api/v1/namespaces",
            {"metadata": {"name": "kube-system", "uid": self.cluster.uid}},
        )
        self.account.mkdir()
        (self.account / "token").write_text(TOKEN)
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": self.url}}],
            "users": [{"name": "u", "user": {"token": TOKEN}}],
            "contexts": [{"name": "fake", "context": {"cluster": "c", "user": "u"}}],
        }
        self.kubeconfig.write_text(json.dumps(document))

    def after(self, path: str) -> None:
        """What controllers would do: start a Job that was woken up, end one that was deleted."""
        for key, job in list(self.cluster.held.items()):
            if "/jobs/" in key and job["spec"]["suspend"] is False and key not in self.jobs:
                self.jobs[key] = self._started(key, job)
                job["status"] = {"ready": 1}
        for key in set(self.jobs) - self.cluster.held.keys():
            process = self.jobs.pop(key)
            process.terminate()  # which may have something to ask before it ends
            self.ending.append(process)

    def _started(self, key: str, job: Any) -> subprocess.Popen[bytes]:
        """As the pod would: of the mounted texts, with nothing else to import."""
        namespace, name = key.split("/")[5], key.rpartition("/")[2]
        pod = job["spec"]["template"]["spec"]
        volume = pod["volumes"][0]["configMap"]
        program = self.cluster.held[f"/api/v1/namespaces/{namespace}/configmaps/{volume['name']}"]
        root = self.folder / name
        for item in volume["items"]:
            path = root / item["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(program["data"][item["key"]])
        command = pod["containers"][0]["command"][2:]  # without the image's python3 and -B
        account = self.account
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-S", "-B", *command, f"--url={self.url}", f"--account={account}"],
                cwd=root,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(root)},
                stderr=log,
                start_new_session=True,
            )

    def close(self) -> None:
        for process in (*self.jobs.values(), *self.ending):
            process.kill()
            process.wait()


@contextlib.contextmanager
def api_server(cluster: FakeCluster, folder: Path) -> Iterator[ApiServer]:
    """A server before a cluster, with everything ended afterwards."""
    found = ApiServer(cluster, folder)
    server = Server(("127.0.0.1", 0), _handler(found))
    found.url = f"http://127.0.0.1:{server.server_port}"
    found.prepare()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield found
    finally:
        found.close()
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(api: ApiServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Tests have nothing to log."""

        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def do_PATCH(self) -> None:
            self._serve()

        def do_DELETE(self) -> None:
            self._serve()

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or "{}")
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                return self._answer(401, {"message": "Unauthorized"})
            parts = urlsplit(self.path)
            try:
                with api.lock:
                    code, found = self._done(parts.path, parse_qs(parts.query), body)
                    if self.command != "GET":
                        api.after(parts.path)
                self._answer(code, found)
            except ConflictError as error:
                self._answer(409, {"message": str(error)})
            except FaultError as error:
                self._answer(403, {"message": str(error)})
            return None

        def _done(self, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
            cluster = api.cluster
            if self.command == "POST":
                return 201, cluster.create(path, body)
            if self.command == "GET" and path.rpartition("/")[2] in COLLECTIONS:
                pairs = query.get("labelSelector", [""])[0].split(",")
                labels = dict(pair.split("=") for pair in pairs if pair)
                return 200, {"items": list(cluster.list(path, labels)), "metadata": {}}
            if path not in cluster.held:
                return 404, {"message": f"{path} not found"}
            if self.command == "PATCH":
                return 200, cluster.patch(path, body)
            if self.command == "DELETE":
                if not cluster.delete(path, body["preconditions"]["uid"]):
                    raise ConflictError("the uid in the precondition does not match")
                return 200, {}
            return 200, cluster.get(path)

        def _answer(self, code: int, document: Any) -> None:
            data = json.dumps(document).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Handler
