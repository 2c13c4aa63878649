"""A secret in every place where a user can put one is written, printed and passed nowhere."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

import psutil
import pytest

from harness.files import project_root

from .conftest import Command, Ended, await_gone, descendants

#: Where each secret is put; every one has characters that other forms write differently.
PLACES = (
    "HEADER_TOKEN", "QUERY_TOKEN", "WITH_TOKEN", "LISTED", "EXPERIMENT", "WEBHOOK_URL",
    "literal", "password", "prometheus", "parameter", "overridden",
)  # fmt: skip
CANARIES = {place: f"canary/{place}+9f3a&x" for place in PLACES}
MARK = b"canary/"

LOCUSTFILE = """
import base64, os, sys
from urllib.parse import quote
from locust import FastHttpUser, constant, task
from harness.load import OpenLoop

secret, listed = os.environ["HEADER_TOKEN"], os.environ["LISTED"]
sent = 0

class Shopper(OpenLoop, FastHttpUser):
    wait_time = constant(1)

    @task(9)
    def ok(self):
        headers = {"Authorization": f"Bearer {secret}"}
        self.client.get("/recommendations/1", name="ok", headers=headers)

    @task
    def unnamed(self):
        self.client.get("/recommendations/2?token=PARAMETER")

    @task
    def broken(self):
        global sent
        sent += 1
        basic = base64.b64encode(f"me:{secret}".encode()).decode()
        print("tried", secret, quote(listed, safe=""), basic, file=sys.stderr, flush=True)
        self.client.get("http://me:PARAMETER@127.0.0.1:9/nobody", name="broken")
        if os.environ.get("HARNESS_TEST_DIE") and sent > 20:
            print("cannot log in with", secret, file=sys.stderr, flush=True)
            os._exit(7)
        raise RuntimeError(f"cannot log in with {secret} and {listed}")
"""

TOOLS = """
def login(api_token, plain, hook, secrets=None):
    raise RuntimeError(f"no login with {api_token}, {plain}, {hook} and {secrets}")
"""


def fault(func: str, **arguments: str) -> dict[str, object]:
    provider = {
        "type": "python",
        "module": "harness.faults.latency",
        "func": func,
        "arguments": {"target": "gateway->recommender", **arguments},
    }
    return {"type": "action", "name": f"{func} it", "provider": provider}


EXPERIMENT = {
    "title": "t",
    "description": "d",
    "configuration": {
        "api_token": "unset",
        "plain": "unset",
        "hook": {"type": "env", "key": "WEBHOOK_URL"},
    },
    "secrets": {
        "shop": {
            "token": {"type": "env", "key": "EXPERIMENT"},
            "literal": CANARIES["literal"],
        }
    },
    "method": [
        {
            "type": "action",
            "name": "log in",
            "provider": {
                "type": "python",
                "module": "canary_tools",
                "func": "login",
                "secrets": ["shop"],
                "arguments": {"api_token": "${api_token}", "plain": "${plain}", "hook": "${hook}"},
            },
        },
        fault("inject", latency_ms="200"),
        {
            "type": "action",
            "name": "hold",
            "provider": {
                "type": "python",
                "module": "harness.faults",
                "func": "hold",
                "arguments": {"for_s": "2s"},
            },
        },
        fault("heal"),
    ],
    "rollbacks": [fault("heal")],
}

SCENARIO = """
version: 1
name: canary
stack: {driver: local}
load: {profile: loadtests/canary.py, arrivals: 60/s, timeout: 2s}
experiment: experiments/canary.json
with: {api_token: "${WITH_TOKEN}", plain: "${LISTED}"}
phases: {warmup: 1s, steady: 11s, recovery: 5s, after: 1s}
slis: {one: {query: 'count(label_replace(up, "a", "${QUERY_TOKEN}", "", ""))'}}
secrets: [HEADER_TOKEN, LISTED]
objectives:
  - ok.errors < 5% during steady
  - one < 100 at end
"""


@dataclass
class Canary:
    """A project full of secrets, the command on it, and everything that could be read."""

    command: Command
    project: Path
    scenario: Path
    seen: set[bytes] = field(default_factory=set)

    def run(self, *arguments: str) -> Ended:
        """The command to its end, while the arguments of its children are watched."""
        process = self.command.start(*arguments)
        ended = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(process, ended))
        watcher.start()
        try:
            return self.command.end(process)
        finally:
            ended.set()
            watcher.join()
            assert await_gone(descendants(process)) == []

    def _watch(self, process: subprocess.Popen[str], ended: threading.Event) -> None:
        while not ended.wait(0.05):
            for child in descendants(process):
                try:
                    self.seen.add(" ".join(child.cmdline()).encode())
                except psutil.Error:
                    continue  # it has just ended

    def leaks(self, ended: Ended, *folders: Path) -> list[str]:
        """Where a secret can be read, in any form."""
        texts = {"stdout": ended.out.encode(), "stderr": ended.err.encode()}
        texts |= {f"arguments {n}": text for n, text in enumerate(sorted(self.seen))}
        for folder in folders:
            for path in (Path(root, name) for root, _, names in os.walk(folder) for name in names):
                # The descriptor is the place where this test has put two of the secrets.
                if path.is_file() and not path.is_symlink() and path.name != "stack.json":
                    with contextlib.suppress(FileNotFoundError):  # the stack goes on working
                        texts[str(path)] = path.read_bytes()
        return [name for name, text in texts.items() if shows(text)]


def shows(text: bytes) -> bool:
    """Whether a canary is in the bytes: as it is, URL-encoded, escaped, or in base64."""
    plain = unquote_to_bytes(text).replace(b"\\/", b"/")
    if MARK in plain:
        return True
    for token in re.findall(rb"[A-Za-z0-9+/_-]{12,}", text):
        standard = token.replace(b"-", b"+").replace(b"_", b"/")
        for start in range(4):
            piece = standard[start:]
            if MARK in base64.b64decode(piece[: len(piece) // 4 * 4]):
                return True
    return False


FORMS = {
    "as it is": "x canary/a+9f3a&x y",
    "in a URL": quote("canary/a+9f3a&x", safe=""),
    "in base64 of a login": base64.b64encode(b"me:canary/a+9f3a&x").decode(),
    "in base64 for URLs": base64.urlsafe_b64encode(b"a login: canary/a+9f3a&x").decode(),
}


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS.keys())
def test_this_test_would_see_a_leak(text: str) -> None:
    assert shows(f"before {text} after".encode())
    assert not shows(b"before [redacted] after")


@pytest.fixture
def canary(alone: Command, tmp_path: Path) -> Iterator[Canary]:
    project = tmp_path / "project"
    for folder in ("loadtests", "experiments", "tmp"):
        (project / folder).mkdir(parents=True)
    parameter = quote(CANARIES["parameter"], safe="")
    (project / "loadtests" / "canary.py").write_text(LOCUSTFILE.replace("PARAMETER", parameter))
    (project / "experiments" / "canary.json").write_text(json.dumps(EXPERIMENT))
    (project / "canary_tools.py").write_text(TOOLS)
    (project / "canary.yaml").write_text(SCENARIO)
    alone.environment |= {name: value for name, value in CANARIES.items() if name.isupper()}
    alone.environment |= {
        "WEBHOOK_URL": f"https://hooks.example/{CANARIES['WEBHOOK_URL']}",
        "PYTHONPATH": f"{project}:{project_root()}",
        "TMPDIR": str(project / "tmp"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "runs" / "step-summary.md"),
    }
    up = alone("stack", "up")
    assert up.code == 0, up.err
    state = Path(alone.environment["XDG_STATE_HOME"])
    (descriptor,) = state.glob("harness/stacks/*/stack.json")
    document = json.loads(descriptor.read_text())
    for part, place in (("base_url", "password"), ("prometheus", "prometheus")):
        login = f"me:{quote(CANARIES[place], safe='')}"
        document[part] = document[part].replace("http://", f"http://{login}@")
    descriptor.write_text(json.dumps(document))
    yield Canary(alone, project, project / "canary.yaml")


def test_no_secret_is_written_printed_or_passed_as_an_argument(
    canary: Canary, tmp_path: Path
) -> None:
    state = Path(canary.command.environment["XDG_STATE_HOME"])
    runs, temporary = canary.command.folder, canary.project / "tmp"
    asked = ("run", str(canary.scenario), "--out", str(runs))

    ended = canary.run(*asked)
    said = f"{ended.out}\n{ended.err}"
    assert ended.verdict["termination"] == "completed", said
    assert canary.leaks(ended, runs, state, temporary) == []
    # What would leak did happen: the calls failed, their texts were kept, the secrets cut out.
    assert "tried [redacted] [redacted]" in (runs / "latest" / "load.log").read_text()
    journal = json.loads((runs / "latest" / "chaos-journal.json").read_text())
    assert "no login with [redacted]" in json.dumps(journal)
    assert journal["experiment"]["secrets"]["shop"]["literal"] == "[redacted]"
    assert any(b"-m harness.load.child" in line for line in canary.seen)
    assert any(b"-m chaostoolkit" in line for line in canary.seen)
    assert list(state.glob("harness/scratch/*")) == []
    again = canary.command("judge", "latest", "--out", str(runs))
    assert "the stored result is identical" in again.err
    planned = canary.run(*asked, "--dry-run", "-o", "json")
    files = {n for each in json.loads(planned.out)["runs"][0]["writes"] for n in each["names"]}
    written = {p.name for p in (runs / "latest").iterdir() if p.is_file()}
    assert written <= files, "the dry run did not name these"
    assert canary.leaks(planned) == []

    canary.command.environment["HARNESS_TEST_DIE"] = "1"
    ended = canary.run(*asked)
    assert ended.code == 4, ended.err
    assert "cannot log in with [redacted]" in ended.out
    assert canary.leaks(ended, runs, state, temporary) == []

    overridden = CANARIES["overridden"]
    for change in (
        "slis.one.query=count(vector(1)",  # refused by Prometheus, and quoted in its words
        "load.arrivals=${LISTED}",  # refused by the parser, with the value in the message
        f"with.api_token={overridden}",
    ):
        wrong = "slis.one.query=sum(" if "api_token" in change else change
        done = canary.run(*asked, "--set", change, "--set", wrong)
        own = " ".join(["-m harness run", change])
        canary.seen = {line for line in canary.seen if own.encode() not in line}
        assert done.code == 2, done.err
        assert canary.leaks(done, runs, state, temporary) == []
