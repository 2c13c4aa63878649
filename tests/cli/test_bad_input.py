"""Bad input to the real command: one paragraph with value, place and next step; exit 2.

Never a traceback, nothing left running, nothing left behind.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.files import project_root, run_lock
from harness.undo import UndoLog, dump
from tests import stored
from tests.test_files import end, holder
from tests.test_undo import entry

GOOD = """\
version: 1
name: good
stack: {driver: local}
load: {profile: loadtests/shop.py, arrivals: 100/s, timeout: 1s}
faults: [{kind: timeout, target: gateway->llm-gateway, hold: 3s}]
phases: {warmup: 1s, steady: 11s, recovery: 6s, after: 1s}
metrics: none
objectives: [recommendations.errors < 5% during steady]
"""


@dataclass(frozen=True)
class Place:
    """A project folder of a test, and the command in it."""

    folder: Path

    def write(self, name: str, content: str | bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    def harness(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("HARNESS_")},
            "PYTHONPATH": str(project_root()),
            "NO_COLOR": "1",
            "TMPDIR": str(self.folder / "tmp"),  # where a defect of ours would leave its trace
        }
        return subprocess.run(
            [sys.executable, "-m", "harness", *arguments],
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=environment,
            check=False,
            timeout=60,
        )

    def processes(self) -> list[str]:
        """Processes that were started from here and are still there."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                state = (process / "environ").read_bytes()
                command = (process / "cmdline").read_text().replace("\0", " ")
            except OSError:
                continue  # it has just ended
            if str(self.folder / "tmp").encode() in state:
                found.append(command)
        return found


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, _ = stored.write(tmp_path_factory.mktemp("runs"), stored.evidence())
    return folder.path


@pytest.fixture
def place(tmp_path: Path, own_state: Path, template: Path) -> Place:
    found = Place(tmp_path)
    (tmp_path / "tmp").mkdir()
    found.write("good.yaml", GOOD)
    found.write("loadtests/shop.py", (project_root() / "loadtests" / "shop.py").read_text())
    shutil.copytree(template, tmp_path / "results" / "runs" / template.name)
    return found


def refused(place: Place, arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    before = {p for p in place.folder.rglob("*") if "state" not in p.parts}
    done = place.harness(*arguments)
    said = done.stdout + done.stderr
    assert done.returncode == 2, (done.returncode, said)
    assert "Traceback" not in said
    assert "defect of the harness" not in said
    assert done.stderr.startswith("harness: INVALID: ")
    for word in words:
        assert word in done.stderr, (word, done.stderr)
    assert {p for p in place.folder.rglob("*") if "state" not in p.parts} == before
    assert place.processes() == []


# Each row: what is changed in the good scenario, and what the message must name.
TEXTS: dict[str, tuple[Callable[[str], str], tuple[str, ...]]] = {
    "an unknown key": (
        lambda t: t + "objektives: []\n",
        ("bad.yaml:9", "objektives", "objectives"),
    ),
    "an unknown key inside": (lambda t: t.replace("timeout: 1s", "timout: 1s"), ("timout",)),
    "a missing key": (lambda t: t.replace(", timeout: 1s", ""), ("timeout",)),
    "a missing version": (lambda t: t.replace("version: 1\n", ""), ("version",)),
    "another version": (lambda t: t.replace("version: 1", "version: 99"), ("version", "99")),
    "a wrong unit": (lambda t: t.replace("11s", "11 parsecs"), ("bad.yaml:6", "11 parsecs")),
    "no unit": (lambda t: t.replace("steady: 11s", "steady: 11"), ("bad.yaml:6", "11")),
    "a negative rate": (lambda t: t.replace("100/s", "-100/s"), ("bad.yaml:4", "-100/s")),
    "no rate": (lambda t: t.replace("100/s", "0/s"), ("bad.yaml:4", "0/s")),
    "a negative time": (lambda t: t.replace("hold: 3s", "hold: -3s"), ("-3s",)),
    "a missing profile": (
        lambda t: t.replace("shop.py", "shpo.py"),
        ("bad.yaml:4", "loadtests/shpo.py"),
    ),
    "an unknown fault": (lambda t: t.replace("kind: timeout", "kind: timeuot"), ("timeuot",)),
    "an unknown driver": (lambda t: t.replace("driver: local", "driver: lokal"), ("lokal",)),
    "an unknown phase": (lambda t: t.replace("during steady", "during stedy"), ("stedy",)),
    "an objective of no sense": (
        lambda t: t.replace("recommendations.errors < 5%", "errors are few"),
        ("bad.yaml:8",),
    ),
    "a missing variable": (lambda t: t.replace("100/s", "${NO_SUCH_RATE}"), ("NO_SUCH_RATE",)),
    "no YAML": (lambda _: "a: [1\n", ("bad.yaml",)),
    "nothing": (lambda _: "", ("bad.yaml",)),
    "a list": (lambda _: "- 1\n", ("bad.yaml",)),
    "a tab": (lambda t: t + "\tx: 1\n", ("bad.yaml:9",)),
    "both faults and experiment": (lambda t: t + "experiment: e.json\n", ("experiment",)),
}


@pytest.mark.parametrize("row", TEXTS.values(), ids=TEXTS.keys())
def test_a_bad_scenario(row: tuple[Callable[[str], str], tuple[str, ...]], place: Place) -> None:
    change, words = row
    text = change(GOOD)
    assert text != GOOD
    place.write("bad.yaml", text)
    refused(place, ("run", "bad.yaml"), words)


# Each row: the arguments, and what the message must name. All are said before anything starts.
ARGUMENTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "a missing scenario": (("run", "nowhere.yaml"), ("nowhere.yaml", "No such file")),
    "a folder as scenario": (("run", "loadtests"), ("loadtests", "directory")),
    "a binary scenario": (("run", "binary.yaml"), ("binary.yaml", "UTF-8")),
    "no scenario at all": (("run",), ("--help",)),
    "an unknown profile": (("run", "good.yaml", "--profile", "cii"), ("cii",)),
    "a --set without a value": (("run", "good.yaml", "--set", "load"), ("load",)),
    "a --set of an unknown key": (("run", "good.yaml", "--set", "a.b=1"), ("a",)),
    "a --set of a bad value": (("run", "good.yaml", "--set", "load.arrivals=fast"), ("fast",)),
    "an unknown --stack": (("run", "good.yaml", "--stack", "mars"), ("mars",)),
    "--repeat 0": (("run", "good.yaml", "--repeat", "0"), ("--repeat", "0")),
    "--repeat of text": (("run", "good.yaml", "--repeat", "two"), ("--repeat", "two")),
    "an unknown option": (("run", "--frob"), ("--frob", "--help")),
    "an unknown verb": (("frobnicate",), ("frobnicate", "--help")),
    "an unknown output": (("judge", "latest", "-o", "xml"), ("xml", "json")),
    "an unknown run to judge": (("judge", "nothing"), ("nothing", "results/runs", "latest")),
    "an unknown run to report": (("report", "nothing"), ("nothing", "results/runs")),
    "an unknown run to compare": (("compare", "nothing"), ("nothing", "results/runs")),
    "an unknown run to accept": (("baseline", "accept", "nothing"), ("nothing",)),
    "a run of an odd name": (("judge", "a**b"), ("a**b", "latest")),
    "a run of no name": (("judge", "x" * 5000), ("names no run",)),
    "an unknown format": (("report", "demo", "--format", "pdf"), ("pdf", "html")),
    "a margin without a unit": (("compare", "demo", "--margin", "10"), ("--margin",)),
    "a margin of time": (("compare", "demo", "--margin", "10s"), ("--margin", "percentage")),
    "nothing to compare with": (("compare", "demo"), ("No other accepted run", "baseline accept")),
    "three runs and nothing old among them": (("compare", "a", "b", "c"), ("--against",)),
    "pairs of files against stored runs": (
        ("compare", "--interleave", "good.yaml", "good.yaml", "--against", "demo"),
        ("--against", "--interleave"),
    ),
    "one file to interleave": (
        ("compare", "--interleave", "good.yaml"),
        ("--interleave", "old new"),
    ),
    "a folder that holds no pairs": (("compare", "--resume", "."), ("no plan", "--interleave")),
    "a search without an upper end": (
        ("load", "find-knee", "good.yaml"),
        ("how high the search may go", "--highest", "max_rate"),
    ),
    "a search from above to below": (
        ("load", "find-knee", "good.yaml", "--lowest", "50/s", "--highest", "20/s"),
        ("--lowest", "from 50/s to 20/s"),
    ),
    "a search up to no rate": (
        ("load", "find-knee", "good.yaml", "--highest", "fast"),
        ("--highest", "fast"),
    ),
    "a search in steps of no time": (
        ("load", "find-knee", "good.yaml", "--highest", "20/s", "--hold", "long"),
        ("--hold", "long"),
    ),
    "a search as wide as it likes": (
        ("load", "find-knee", "good.yaml", "--highest", "20/s", "--precision", "1"),
        ("--precision", "percentage"),
    ),
    "a search in a missing scenario": (
        ("load", "find-knee", "nowhere.yaml", "--highest", "20/s"),
        ("nowhere.yaml", "No such file"),
    ),
    "a search under a missing experiment": (
        ("load", "find-knee", "good.yaml", "--highest", "20/s", "--under", "nothing.json"),
        ("nothing.json",),
    ),
    "an overload without an upper end": (
        ("load", "overload", "good.yaml"),
        ("how high the search may go", "--highest", "max_rate"),
    ),
    "an overload beyond what is allowed": (
        ("load", "overload", "good.yaml", "--knee", "60/s", "--highest", "100/s"),
        ("2 times", "60/s", "--highest 100/s", "--times"),
    ),
    "an overload of no knee": (
        ("load", "overload", "good.yaml", "--knee", "much"),
        ("--knee", "much"),
    ),
    "an overload that stays below the knee": (
        ("load", "overload", "good.yaml", "--knee", "50/s", "--times", "0.9"),
        ("50% to 90% of the knee", "10 times at most"),
    ),
    "an overload in steps of everything": (
        ("load", "overload", "good.yaml", "--knee", "50/s", "--step", "200%"),
        ("--step", "200%", "percentage"),
    ),
    "an overload that begins nowhere": (
        ("load", "overload", "good.yaml", "--knee", "50/s", "--from", "0%"),
        ("--from", "0%"),
    ),
    "an overload that is watched for nothing": (
        ("load", "overload", "good.yaml", "--knee", "50/s", "--watch", "ages"),
        ("--watch", "ages"),
    ),
    "an unknown schema": (("schema", "everything"), ("everything",)),
    "a --port without a number": (("stack", "up", "--port", "gateway"), ("service=port",)),
    "a --port out of range": (("stack", "up", "--port", "gateway=70000"), ("gateway=70000",)),
    "a --port of nobody": (("stack", "up", "--port", "gatewy=8080"), ("gatewy",)),
    "an unknown defect": (("stack", "up", "--defect", "no-falback"), ("no-falback", "no-fallback")),
    "an unknown defect of the demo on compose": (
        ("demo", "--stack", "compose", "--defect", "acks-2"),
        ("acks-2", "acks-1"),
    ),
    "--volumes of nobody": (("stack", "down", "--volumes"), ("--volumes", "-p NAME")),
    "a stack that is not up": (("stack", "status"), ("not up", "harness stack up")),
    "explain nonsense": (("explain", "nonsense"), ("nonsense", "PASS")),
    "recover of nobody": (("recover", "--stack", "nobody"), ("nobody", "none")),
    "results that are a file": (("run", "good.yaml", "--out", "file"), ("file", "--out")),
    "baselines that are a file": (
        ("baseline", "accept", "demo", "--baselines", "file"),
        ("file", "--baselines"),
    ),
}


@pytest.mark.parametrize("row", ARGUMENTS.values(), ids=ARGUMENTS.keys())
def test_a_bad_argument(row: tuple[tuple[str, ...], tuple[str, ...]], place: Place) -> None:
    arguments, words = row
    place.write("binary.yaml", b"\x89PNG\xff\xfe\x00")
    place.write("file", "")
    refused(place, arguments, words)


@pytest.mark.parametrize("verb", [("judge",), ("report",), ("compare",), ("baseline", "accept")])
@pytest.mark.parametrize("how", ["truncated", "edited", "missing"])
def test_a_result_that_was_touched_is_not_used(
    how: str, verb: tuple[str, ...], place: Place, template: Path
) -> None:
    path = place.folder / "results" / "runs" / template.name / "result.json"
    text = path.read_text()
    match how:
        case "truncated":
            path.write_text(text[: len(text) // 2])
        case "edited":
            path.write_text(text.replace('"PASS"', '"PASS "'))
        case "missing":
            path.unlink()
    refused(place, (*verb, template.name), ("result.json", "not used as evidence"))


BAD_EXPERIMENTS: dict[str, tuple[str | bytes, str]] = {
    "cut short": ('{"method": [', "cannot be read"),
    "binary": (b"\xff\xfe", "cannot be read"),
    "without a method": ("{}", "has no method"),
    "of another shape": ('{"method": ["x"]}', "must be a mapping"),
}


@pytest.mark.parametrize("row", BAD_EXPERIMENTS.values(), ids=BAD_EXPERIMENTS.keys())
def test_a_bad_experiment(row: tuple[str | bytes, str], place: Place) -> None:
    content, words = row
    place.write("e.json", content)
    faults = next(line for line in GOOD.splitlines() if line.startswith("faults"))
    place.write("bad.yaml", GOOD.replace(faults, "experiment: e.json"))
    done = place.harness("run", "bad.yaml", "--dry-run")
    assert done.returncode == 2
    assert words in done.stderr
    assert "e.json" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def test_every_problem_of_every_file_is_said_at_once(place: Place) -> None:
    place.write("one.yaml", GOOD.replace("11s", "11 parsecs").replace("100/s", "-1/s"))
    place.write("two.yaml", GOOD.replace("kind: timeout", "kind: tmeout"))
    done = place.harness("validate", "one.yaml", "two.yaml", "three.yaml")
    assert done.returncode == 2
    for word in ("one.yaml:6", "one.yaml:4", "two.yaml:5", "three.yaml", "tmeout"):
        assert word in done.stderr


def test_the_good_one_is_good(place: Place) -> None:
    """Or the rows above would prove nothing."""
    assert place.harness("validate", "good.yaml").returncode == 0
    dry = place.harness("run", "good.yaml", "--dry-run")
    assert dry.returncode == 0
    assert "gateway->llm-gateway" in dry.stdout
    assert place.harness("judge", "demo").returncode == 0


# -- recover, whatever it finds


def test_what_recover_cannot_undo_is_exit_6_and_named(place: Place) -> None:
    log = UndoLog("stack")
    log.write(entry("odd", verb="rm.rf"))
    (log.folder / "torn.json").write_text(dump(entry("torn"))[:50])
    done = place.harness("recover")
    assert done.returncode == 6
    assert "Unknown undo verb 'rm.rf'" in done.stdout
    assert "torn.json" in done.stdout
    assert "NOT clean" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    listed = json.loads(place.harness("faults", "-o", "json").stdout)
    assert {row["id"] for row in listed} == {"odd", "torn.json"}


def test_a_busy_stack_does_not_keep_the_others_from_being_healed(place: Place) -> None:
    UndoLog("a-busy")
    UndoLog("b-free").write(entry("odd", verb="rm.rf"))
    other = holder(run_lock("a-busy"))
    try:
        done = place.harness("recover")
        assert done.returncode == 6
        assert "odd" in done.stdout
        (UndoLog("b-free").folder / "odd.json").unlink()
        done = place.harness("recover")
        assert done.returncode == 3
        assert "held by the other one" in done.stderr
        assert "NOT clean" in done.stdout
    finally:
        end(other)
    assert place.harness("recover").returncode == 0


def test_nothing_to_recover_is_clean(place: Place) -> None:
    assert place.harness("recover").returncode == 0
    assert json.loads(place.harness("faults", "-o", "json").stdout) == []
