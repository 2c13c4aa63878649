"""Chaos Toolkit as a child: started on our terms, read back, never believed, always gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.chaos import JOURNAL, ChaosToolkit, compiled
from harness.descriptor import StackDescriptor
from harness.errors import InvalidError
from harness.files import project_root
from harness.model import Activity, FaultSpec
from tests.builders import scenario
from tests.real import eventually

STACK = StackDescriptor(id="stack", driver="local", base_url="http://x")

#: Importable by the experiment: what it was called with, and things that go wrong.
TOOLS = """
import os, json, pathlib, time

def note(path, **what):
    pathlib.Path(path).write_text(json.dumps({**what, "environment": dict(os.environ),
                                              "folder": os.getcwd()}))

def count(path):
    seen = pathlib.Path(path)
    times = len(seen.read_text()) + 1 if seen.exists() else 1
    seen.write_text("x" * times)
    return times

def fail(**_):
    raise RuntimeError("it broke")

def hang(path):
    pathlib.Path(path).write_text(str(os.getpid()))
    time.sleep(600)
"""


def action(func: str, name: str = "act", module: str = "tools", **arguments: Any) -> dict[str, Any]:
    provider = {"type": "python", "module": module, "func": func, "arguments": arguments}
    return {"type": "action", "name": name, "provider": provider}


class Bench:
    """One folder with an experiment, and what is around it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run = folder / "run"
        self.run.mkdir()
        (folder / "tools.py").write_text(TOOLS)
        self.noted = folder / "noted.json"
        self.toolkits: list[ChaosToolkit] = []

    def toolkit(
        self, *method: dict[str, Any], arguments: dict[str, Any] | None = None, **parts: Any
    ) -> ChaosToolkit:
        document = {"title": "t", "description": "d", "method": list(method), "rollbacks": []}
        (self.folder / "e.json").write_text(json.dumps(document | parts))
        asked = scenario(experiment="e.json", faults=(), arguments=arguments or {})
        found = ChaosToolkit(asked, self.folder, self.run, "run-1")
        self.toolkits.append(found)
        return found

    def play(self, toolkit: ChaosToolkit) -> tuple[Activity, ...]:
        toolkit.start(STACK, 7)
        eventually(lambda: not toolkit.running(), "the experiment ends")
        return toolkit.activities()

    @property
    def note(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.noted.read_text())
        return found


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    paths = [str(tmp_path), str(project_root()), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(p for p in paths if p))
    found = Bench(tmp_path)
    yield found
    for toolkit in found.toolkits:
        toolkit.kill()


def test_what_the_run_hands_over_arrives(bench: Bench) -> None:
    toolkit = bench.toolkit(
        action("note", path=str(bench.noted), hold="${hold}", other="${other}"),
        configuration={"hold": {"type": "env", "key": "NO_SUCH", "default": "1s"}, "other": "o"},
        arguments={"hold": "5s"},
    )
    assert bench.play(toolkit) == (Activity(section="run", name="act", status="succeeded"),)
    assert bench.note["hold"] == "5s"  # --var wins over the experiment's own default
    assert bench.note["other"] == "o"
    environment = bench.note["environment"]
    assert environment["HARNESS_STACK"] == "stack"
    assert environment["HARNESS_RUN_ID"] == "run-1"
    assert environment["HARNESS_EPOCH"] == "7"
    assert bench.note["folder"] == str(bench.run)


def test_an_action_that_raises_failed_although_the_run_completed(bench: Bench) -> None:
    """Chaos Toolkit itself ends with "completed" and exit code 0 here."""
    found = bench.play(bench.toolkit(action("fail", name="break it")))
    assert found == (
        Activity(section="run", name="break it", status="failed", error="RuntimeError: it broke"),
    ) or (found[0].status == "failed" and found[0].error.endswith("it broke"))


def test_ending_the_experiment_ends_what_it_started_in_another_session(
    bench: Bench, tmp_path: Path
) -> None:
    """A `process` activity may have put its work where no signal to a group gets."""
    program = tmp_path / "work.sh"
    program.write_text("#!/bin/sh\nsetsid sleep 600 >/dev/null 2>&1 </dev/null &\necho $! > pid\n")
    program.chmod(0o755)
    work = {"type": "process", "path": str(program)}
    toolkit = bench.toolkit({"type": "action", "name": "work", "provider": work}, action("fail"))
    bench.play(toolkit)
    sleeper = psutil.Process(int((bench.run / "pid").read_text()))
    with psutil.Popen(["sleep", "600"], env={**os.environ, "HARNESS_RUN_FOLDER": "/else"}) as other:
        toolkit.kill()
        gone, _ = psutil.wait_procs([sleeper], timeout=60)
        assert gone or sleeper.status() == psutil.STATUS_ZOMBIE
        assert other.poll() is None
        other.kill()


def test_a_module_that_is_not_there_is_no_success(bench: Bench) -> None:
    found = bench.play(bench.toolkit(action("inject", module="no_such_module")))
    assert all(a.status != "succeeded" for a in found)


def test_a_rollback_that_fails_is_seen(bench: Bench) -> None:
    toolkit = bench.toolkit(
        action("note", path=str(bench.noted)),
        action("fail", name="method"),
        rollbacks=[action("fail", name="back")],
    )
    found = bench.play(toolkit)
    assert [(a.section, a.name, a.status) for a in found] == [
        ("run", "act", "succeeded"),
        ("run", "method", "failed"),
        ("rollbacks", "back", "failed"),
    ]


@pytest.mark.parametrize(
    ("tolerance", "unmet"),
    [([1, 2], []), ([1], ["after"]), ([2], ["before"])],
    ids=["met before and after", "met only before", "not met before: nothing is done"],
)
def test_a_hypothesis_that_is_not_met_is_seen(
    tolerance: list[int], unmet: list[str], bench: Bench
) -> None:
    """Chaos Toolkit ends with exit code 0 when it is not met before."""
    looked = str(bench.folder / "looked")
    probe = action("count", name="look", path=looked) | {"type": "probe", "tolerance": tolerance}
    toolkit = bench.toolkit(
        action("note", path=str(bench.noted)),
        **{"steady-state-hypothesis": {"title": "h", "probes": [probe]}},
    )
    found = bench.play(toolkit)
    words = [a.error.partition(" ")[0] for a in found if a.section == "hypothesis"]
    assert words == unmet
    assert {a.status for a in found if a.section == "hypothesis"} <= {"not met"}
    assert bench.noted.exists() == ("before" not in unmet)


def test_rollbacks_are_played_after_a_failure(bench: Bench) -> None:
    toolkit = bench.toolkit(
        action("fail"), rollbacks=[action("note", name="back", path=str(bench.noted))]
    )
    bench.play(toolkit)
    assert bench.noted.exists()


def test_settings_of_the_user_change_nothing(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A settings file may name controls (code), other rollback rules and variables."""
    home = tmp_path / "home"
    (home / ".chaostoolkit").mkdir(parents=True)
    settings = (
        "runtime: {rollbacks: {strategy: never}, hypothesis: {strategy: after-method-only}}\n"
        "controls: {evil: {provider: {type: python, module: evil}}}\n"
    )
    (home / ".chaostoolkit" / "settings.yaml").write_text(settings)
    (bench.run / "settings.yaml").write_text(settings)
    (tmp_path / "evil.py").write_text(
        f"import pathlib\npathlib.Path({str(home / 'evil')!r}).write_text('here')\n"
    )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("CHAOSTOOLKIT_LOG_FILE", str(home / "log"))
    toolkit = bench.toolkit(
        action("fail"), rollbacks=[action("note", name="back", path=str(bench.noted))]
    )
    found = bench.play(toolkit)
    assert [a.section for a in found] == ["run", "rollbacks"]
    assert bench.noted.exists()
    assert not (home / "evil").exists()


def test_kill_leaves_no_process(bench: Bench) -> None:
    pid = bench.folder / "pid"
    spawn = {
        "type": "action",
        "name": "child",
        "background": True,
        "provider": {"type": "process", "path": "sleep", "arguments": ["600"]},
    }
    toolkit = bench.toolkit(spawn, action("hang", path=str(pid)))
    toolkit.start(STACK, 0)
    eventually(lambda: pid.exists() and pid.read_text(), "the action hangs")
    family = psutil.Process().children(recursive=True)
    assert toolkit.running()
    toolkit.kill()
    assert not toolkit.running()
    _, alive = psutil.wait_procs(family, timeout=60)
    assert [p.pid for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []
    toolkit.kill()  # once more is fine


def test_killing_what_never_ran_is_fine(bench: Bench) -> None:
    toolkit = bench.toolkit()
    toolkit.kill()
    assert not toolkit.running()
    assert toolkit.activities() == ()


DIES = """
import os, sys, time
from pathlib import Path
from harness.chaos import ChaosToolkit
from harness.descriptor import StackDescriptor
from tests.builders import scenario
folder = Path(sys.argv[1])
asked = scenario(experiment="e.json", faults=(), arguments={})
toolkit = ChaosToolkit(asked, folder, folder / "run", "run-1")
toolkit.start(StackDescriptor(id="s", driver="local", base_url=""), 0)
time.sleep(600)
"""


def test_it_dies_with_whoever_started_it(bench: Bench) -> None:
    pid = bench.folder / "pid"
    bench.toolkit(action("hang", path=str(pid)))
    owner = subprocess.Popen([sys.executable, "-c", DIES, str(bench.folder)])
    try:
        child = int(eventually(lambda: pid.exists() and pid.read_text(), "the action hangs"))
        process = psutil.Process(child)
    finally:
        owner.kill()
        owner.wait()
    eventually(
        lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, "it died"
    )


# -- the journal

JOURNALS = {
    "truncated": '{"run": [{"activ',
    "empty": "",
    "a list": "[]",
    "null": "null",
    "a run that is a number": '{"run": 7}',
    "an activity that is null": '{"run": [null]}',
    "an activity that is text": '{"run": ["x"]}',
    "an activity without a name": '{"run": [{"status": "succeeded"}]}',
    "an activity of nothing": '{"run": [{"activity": null}]}',
    "binary": b"\xff\xfe\x00\x01",
}


@pytest.mark.parametrize("content", JOURNALS.values(), ids=JOURNALS.keys())
def test_a_journal_that_cannot_be_read_is_a_failure_and_never_nothing(
    content: str | bytes, bench: Bench
) -> None:
    data = content.encode() if isinstance(content, str) else content
    (bench.run / JOURNAL).write_bytes(data)
    (found,) = bench.toolkit().activities()
    assert (found.section, found.status) == ("journal", "failed")


def test_no_journal_is_no_activity(bench: Bench) -> None:
    assert bench.toolkit().activities() == ()


def test_a_status_that_is_missing_is_no_success(bench: Bench) -> None:
    (bench.run / JOURNAL).write_text('{"run": [{"activity": {"name": "a"}}], "rollbacks": null}')
    (found,) = bench.toolkit().activities()
    assert found.status != "succeeded"


# -- targets


def ours(**arguments: Any) -> dict[str, Any]:
    return action("inject", module="harness.faults.timeout", **arguments)


def test_targets_are_resolved_as_the_run_will_see_them(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHERE", "from->environment")
    configuration = {
        "plain": "from->config",
        "env": {"type": "env", "key": "WHERE", "default": "nowhere"},
        "unset": {"type": "env", "key": "NO_SUCH_VARIABLE", "default": "from->default"},
        "given": {"type": "env", "key": "WHERE"},
    }
    toolkit = bench.toolkit(
        ours(target="literal"),
        ours(target="${plain}"),
        ours(target="${env}"),
        ours(target="${unset}"),
        ours(target="${given}"),
        ours(target="a ${plain} b"),
        ours(target="${nobody}"),
        ours(target="literal"),
        action("inject", module="others.faults", target="theirs"),
        action("hold", module="harness.faults", for_s=3),
        configuration=configuration,
        arguments={"given": "from->with"},
    )
    assert toolkit.targets() == (
        "literal",
        "from->config",
        "from->environment",
        "from->default",
        "from->with",
        "a from->config b",
        "${nobody}",  # which no stack has, so that the run is refused
    )


@pytest.mark.parametrize("target", [None, 5, ["a"], {}])
def test_a_target_that_is_no_text_is_refused(target: Any, bench: Bench) -> None:
    """No guard could hold a fault that does not say what it is injected into."""
    with pytest.raises(InvalidError, match="without saying into what"):
        bench.toolkit(ours(target=target)).targets()


BAD: dict[str, tuple[str | bytes | None, str]] = {
    "missing": (None, "does not exist"),
    "empty": ("", "cannot be read"),
    "not JSON": ("title: t", "cannot be read"),
    "cut short": ('{"method": [', "cannot be read"),
    "binary": (b"\xff\xfe\x00", "cannot be read"),
    "a list": ("[]", "has no method"),
    "without a method": ('{"title": "t"}', "has no method"),
    "a method that is text": ('{"method": "x"}', "has no method"),
    "an activity that is text": ('{"method": ["x"]}', r"method\[0\] must be a mapping"),
    "an activity that is null": ('{"method": [{}, null]}', r"method\[1\] must be a mapping"),
    "a provider that is text": ('{"method": [{"provider": "x"}]}', r"method\[0\] must be a"),
    "a configuration that is a list": (
        '{"method": [], "configuration": ["x"]}',
        "configuration must be a mapping",
    ),
}


@pytest.mark.parametrize("row", BAD.values(), ids=BAD.keys())
def test_an_experiment_that_is_none_is_refused(
    row: tuple[str | bytes | None, str], tmp_path: Path
) -> None:
    content, words = row
    if content is not None:
        data = content.encode() if isinstance(content, str) else content
        (tmp_path / "e.json").write_bytes(data)
    asked = scenario(experiment="e.json", faults=(), arguments={})
    with pytest.raises(InvalidError, match=words) as caught:
        ChaosToolkit(asked, tmp_path, tmp_path, "run-1").targets()
    assert str(tmp_path / "e.json") in str(caught.value)


def test_a_folder_in_the_place_of_the_experiment_is_refused(tmp_path: Path) -> None:
    (tmp_path / "e.json").mkdir()
    asked = scenario(experiment="e.json", faults=(), arguments={})
    with pytest.raises(InvalidError, match="cannot be read"):
        ChaosToolkit(asked, tmp_path, tmp_path, "run-1")


# -- inline faults


def test_inline_faults_heal_in_the_method_and_once_more_in_any_case() -> None:
    faults = (
        FaultSpec(kind="timeout", target="a->b", hold_s=3.0),
        FaultSpec(kind="latency", target="a->c", hold_s=4.0, parameters={"latency_ms": 5}),
    )
    document = compiled("two", faults)
    steps = [(a["provider"]["module"], a["provider"]["func"]) for a in document["method"]]
    assert steps == [
        ("harness.faults.timeout", "inject"),
        ("harness.faults", "hold"),
        ("harness.faults.timeout", "heal"),
        ("harness.faults.latency", "inject"),
        ("harness.faults", "hold"),
        ("harness.faults.latency", "heal"),
    ]
    assert document["method"][3]["provider"]["arguments"] == {"target": "a->c", "latency_ms": 5}
    back = [a["provider"]["module"] for a in document["rollbacks"]]
    assert back == ["harness.faults.latency", "harness.faults.timeout"]
    names = [a["name"] for a in (*document["method"], *document["rollbacks"])]
    assert len(set(names)) == len(names)


def test_chaos_toolkit_itself_finds_nothing_wrong_with_them(bench: Bench) -> None:
    faults = (
        FaultSpec(kind="timeout", target="a->b", hold_s=3.0),
        FaultSpec(kind="latency", target="a->c", hold_s=4.0, parameters={"latency_ms": 5}),
    )
    path = bench.folder / "inline.json"
    path.write_text(json.dumps(compiled("two", faults)))
    done = subprocess.run(
        [
            sys.executable,
            *("-m", "chaostoolkit", "--no-version-check", "--no-log-file", "validate"),
            str(path),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=bench.folder,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "experiment syntax and semantic look valid" in said
