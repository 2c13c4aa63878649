"""A dry run says what would be touched, the same each time, and touches nothing."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from harness.descriptor import Edge, Service, StackDescriptor, dump
from harness.faults.kinds import KINDS, UNDONE_BY
from harness.files import project_root
from harness.stacks.registry import stack_id_local
from harness.verbs import VERBS

GOLDEN = Path(__file__).parent / "golden"
SCHEMA = project_root() / "harness" / "schemas" / "preview.schema.json"

INLINE = """\
version: 1
name: inline
stack: {driver: local}
load: {http: [GET /a, "GET /b?x=1"], arrivals: 50/s, timeout: 1500ms}
faults:
  - {kind: latency, target: gateway->recommender, hold: 20s, latency_ms: 100}
  - {kind: kill, target: recommender}
phases: {warmup: 5s, steady: 30s, recovery: 60s, after: 10s}
metrics: none
objectives:
  - http.p99 < 300ms during steady
  - {check: http.errors < 2% during fault, gate: warn}
abort: [http.errors > 50% for 15s]
blast_radius: {max_targets: 2, max_share: 100%}
environment: [REGION]
secrets: [LOGIN]
"""
EXPERIMENT = """\
version: 1
name: experiment
stack: {driver: local}
load: {profile: loadtests/shop.py, arrivals: 200/s, timeout: 2s}
experiment: e.json
with: {target: gateway->nowhere}
slis: {lag: {query: "sum(lag{queue=\\"q\\"})"}}
objectives:
  - a.p99 < 300ms during steady
  - lag < 100 at end
  - alert Slow fires within 60s
"""
ACTIVITIES = {
    "title": "t",
    "description": "d",
    "configuration": {"target": "gateway->recommender", "hold": "10s"},
    "method": [
        {
            "type": "action",
            "name": "black hole",
            "provider": {
                "type": "python",
                "module": "harness.faults.timeout",
                "func": "inject",
                "arguments": {"target": "${target}"},
            },
        },
        {
            "type": "action",
            "name": "hold",
            "provider": {
                "type": "python",
                "module": "harness.faults",
                "func": "hold",
                "arguments": {"for_s": "${hold}"},
            },
        },
        {
            "type": "probe",
            "name": "look",
            "provider": {"type": "process", "path": "/bin/true"},
        },
    ],
    "rollbacks": [],
}
LOAD_TEST = """\
version: 1
name: load-only
stack: {driver: local}
load: {http: [GET /a], arrivals: 10/s, timeout: 1s}
faults: []
phases: {warmup: 1s, steady: 2s}
metrics: none
objectives: [http.p99 < 300ms during steady]
"""


@dataclass
class Listeners:
    """Ports that count who comes."""

    sockets: list[socket.socket] = field(default_factory=list)
    connections: int = 0

    def open(self) -> int:
        """One more that listens on loopback, and its port."""
        listener = socket.create_server(("127.0.0.1", 0))
        self.sockets.append(listener)
        threading.Thread(target=self._count, args=(listener,), daemon=True).start()
        return int(listener.getsockname()[1])

    def unix(self, path: Path) -> str:
        """One more at a path."""
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen(8)
        self.sockets.append(listener)
        threading.Thread(target=self._count, args=(listener,), daemon=True).start()
        return str(path)

    def _count(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                self.connections += 1
                connection.close()


@pytest.fixture
def listeners() -> Iterator[Listeners]:
    found = Listeners()
    yield found
    for each in found.sockets:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()


@dataclass(frozen=True)
class Place:
    """A project of a test, with a state folder beside it."""

    folder: Path
    state: Path

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def describe(self, listeners: Listeners, host: str = "127.0.0.1") -> None:
        """Leave the descriptor of a stack whose parts only count who comes."""
        ports = [listeners.open() for _ in range(5)]
        stack = StackDescriptor(
            id=stack_id_local(project_root()),
            driver="local",
            base_url=f"http://{host}:{ports[0]}",
            prometheus=f"http://{host}:{ports[1]}",
            alertmanager=f"http://{host}:{ports[2]}",
            toxiproxy=f"http://{host}:{ports[3]}",
            control=listeners.unix(self.folder / "control"),
            services={
                name: Service(name=name, url=f"http://{host}:{ports[0]}", health_path="/")
                for name in ("gateway", "recommender")
            },
            edges={
                "gateway->recommender": Edge(
                    name="gateway->recommender",
                    proxy="gateway-recommender",
                    listen=f"{host}:{ports[4]}",
                    upstream=f"{host}:{ports[0]}",
                    health_path="/",
                )
            },
        )
        path = self.state / "harness" / "stacks" / stack.id / "stack.json"
        path.parent.mkdir(parents=True)
        path.write_text(dump(stack))

    def harness(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HARNESS_", "GITHUB_"))}
        return subprocess.run(
            [sys.executable, "-m", "harness", *arguments],
            capture_output=True,
            text=True,
            cwd=self.folder,
            env={
                **kept,
                "PYTHONPATH": str(project_root()),
                "PYTHONDONTWRITEBYTECODE": "1",
                "XDG_STATE_HOME": str(self.state),
                **environment,
            },
            check=False,
            timeout=60,
        )

    def bytes(self) -> dict[str, str]:
        """Every file here and in the state folder, by what is in it."""
        found = {}
        for path in sorted([*self.folder.rglob("*"), *self.state.rglob("*")]):
            digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
            found[str(path)] = f"{path.lstat().st_mtime_ns} {digest}"
        return found


@pytest.fixture
def place(tmp_path: Path) -> Place:
    found = Place(tmp_path / "project", tmp_path / "state")
    found.write("inline.yaml", INLINE)
    found.write("experiment.yaml", EXPERIMENT)
    found.write("load.yaml", LOAD_TEST)
    found.write("e.json", json.dumps(ACTIVITIES))
    found.write("loadtests/shop.py", "")
    found.write("harness.toml", "[guards]\nmax_targets = 2\nmax_rate = '1000/s'\n")
    return found


def plain(text: str, place: Place) -> str:
    """The text without what differs from machine to machine."""
    text = text.replace(str(place.state), "<state>")
    return text.replace(stack_id_local(project_root()), "<stack>")


FILES = ("inline", "experiment", "load")
LOADS = {
    "a ramp": ("arrivals: 0/s to 20/s over 4s", "0/s to 20/s over 4s, at most 20/s: 40 arrivals"),
    "random gaps": ("arrivals: 10/s poisson", "10/s poisson, at most 10/s: 40 arrivals planned"),
    "a recording": ("arrivals: replay times.txt", "replay times.txt, at most 2/s: 3 arrivals"),
    "a closed loop": ("users: 7", "a closed loop of 7 users, each of whom waits for an answer"),
    "several workers": ("users: 7, workers: 3", "who give up after 1s; shared by 3 workers"),
    "workers of other hosts": (
        "users: 7, workers: 3, master: {bind: '*', port: 5557}",
        "sent by 3 workers of other hosts, who join at *:5557",
    ),
}


def test_the_number_of_workers_can_be_given_beside_the_file(place: Place) -> None:
    place.write("load.yaml", LOAD_TEST)
    done = place.harness("run", "load.yaml", "--workers", "3", "--dry-run")
    assert "shared by 3 workers" in done.stdout, done.stderr


def test_each_load_is_told_as_it_is_planned(place: Place) -> None:
    place.write("harness.toml", "[guards]\nmax_targets = 2\n")  # a closed loop has no rate
    place.write("times.txt", "100.0\n100.5\n103.5\n200.0\n")
    text = LOAD_TEST.replace("steady: 2s", "steady: 3s")
    for name, (load, _) in LOADS.items():
        place.write(f"{name}.yaml", text.replace("arrivals: 10/s", load))
    files = [f"{name}.yaml" for name in LOADS]
    done = place.harness("run", *files, "--dry-run")
    assert done.returncode == 0, done.stderr
    for _, said in LOADS.values():
        assert said in done.stdout
    document = json.loads(place.harness("run", *files, "--dry-run", "-o", "json").stdout)
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).validate(document)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("form", ["text", "json"])
def test_it_says_just_this(name: str, form: str, place: Place) -> None:
    """Written anew with HARNESS_GOLDEN=write; then look at the difference."""
    done = place.harness("run", f"{name}.yaml", "--dry-run", "-o", form)
    assert (done.returncode, done.stderr) == (0, "")
    said = plain(done.stdout, place)
    golden = GOLDEN / f"dry-run-{name}.{'json' if form == 'json' else 'txt'}"
    if os.environ.get("HARNESS_GOLDEN") == "write":
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(said)
    assert said == golden.read_text()


def test_every_field_is_in_the_published_schema(place: Place) -> None:
    done = place.harness("run", *(f"{n}.yaml" for n in FILES), "--dry-run", "-o", "json")
    schema = json.loads(place.harness("schema", "preview").stdout)
    assert schema == json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(json.loads(done.stdout))
    assert [run["scenario"]["name"] for run in json.loads(done.stdout)["runs"]] == [
        "inline",
        "experiment",
        "load-only",
    ]


def test_it_touches_nothing(place: Place, listeners: Listeners) -> None:
    place.describe(listeners)
    before = place.bytes()
    files = [f"{name}.yaml" for name in FILES]
    done = place.harness("run", *files, "--dry-run", GITHUB_STEP_SUMMARY="summary.md")
    assert done.returncode == 0, done.stderr
    assert place.bytes() == before
    assert listeners.connections == 0


def test_the_listeners_of_these_tests_do_count(listeners: Listeners) -> None:
    """Or the test above would prove nothing."""
    from tests.real import eventually

    with socket.create_connection(("127.0.0.1", listeners.open())):
        eventually(lambda: listeners.connections == 1, "the connection is counted")


def described(place: Place, listeners: Listeners, name: str) -> dict[str, Any]:
    place.describe(listeners)
    done = place.harness("run", f"{name}.yaml", "--dry-run", "-o", "json")
    assert done.returncode == 0, done.stderr
    run: dict[str, Any] = json.loads(done.stdout)["runs"][0]
    return run


def test_with_a_described_stack_the_addresses_are_known(place: Place, listeners: Listeners) -> None:
    run = described(place, listeners, "inline")
    assert run["load"]["base_url"].startswith("http://127.0.0.1:")
    assert run["faults"][0]["address"].startswith("proxy gateway-recommender at http://127.0.0.1:")
    assert run["stack"]["services"] == ["gateway", "recommender"]
    assert {"guard": "max_share", "allows": "100%", "asked": "2 of 2 services"} in run["guards"]


def test_a_target_that_the_described_stack_has_not_is_said(
    place: Place, listeners: Listeners
) -> None:
    run = described(place, listeners, "experiment")
    assert any("what gateway->nowhere is" in line for line in run["unknown"])


#: Each row: the arguments of a run that a guard refuses, and all that is said against it.
REFUSED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "by what its files say": (
        ("--set", "blast_radius.max_targets=1", "--set", "load.arrivals=1001/s"),
        ("2 targets (gateway->recommender, recommender) are more than 1", "1001/s are more than"),
    ),
    "by where the parts of its stack are": (
        ("--set", "blast_radius.max_share=50%"),
        (
            "base_url on host '0.0.0.0' is not allowed",
            "prometheus on host '0.0.0.0' is not allowed",
            "alertmanager on host '0.0.0.0' is not allowed",
            "toxiproxy on host '0.0.0.0' is not allowed",
            "2 of 2 services (100.0%) are more than 50%",
        ),
    ),
}


@pytest.mark.parametrize("dry", [(), ("--dry-run",)], ids=["a run", "a dry run"])
@pytest.mark.parametrize("row", REFUSED.values(), ids=REFUSED.keys())
def test_what_a_guard_refuses_is_refused_before_any_call(
    row: tuple[tuple[str, ...], tuple[str, ...]],
    dry: tuple[str, ...],
    place: Place,
    listeners: Listeners,
) -> None:
    """0.0.0.0 reaches the listeners as well as 127.0.0.1 does, and is no loopback."""
    arguments, words = row
    place.describe(listeners, host="0.0.0.0")  # noqa: S104 - nothing binds to it
    before = place.bytes()
    done = place.harness("run", "inline.yaml", *arguments, *dry)
    assert done.returncode == 2
    for word in ("the guards refuse this run", *words):
        assert word in done.stderr
    assert place.bytes() == before
    assert listeners.connections == 0


def test_an_http_activity_to_another_host_is_refused(place: Place, listeners: Listeners) -> None:
    port = listeners.open()
    url = f"http://0.0.0.0:{port}/x"
    ask = {"type": "probe", "name": "ask", "provider": {"type": "http", "url": url}}
    place.write("e.json", json.dumps({**ACTIVITIES, "method": [ask]}))
    done = place.harness("run", "experiment.yaml")
    assert done.returncode == 2
    assert "experiment method[0] on host '0.0.0.0' is not allowed" in done.stderr
    assert listeners.connections == 0


def test_every_kind_of_fault_has_a_verb_that_undoes_it() -> None:
    assert {kind for verbs in UNDONE_BY.values() for kind in verbs} == set(KINDS)
    assert {verb for verbs in UNDONE_BY.values() for verb in verbs.values()} <= set(VERBS)
