"""The run's folder: complete, found again, equal when read, and refused when touched."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import store
from harness.alerting import AlertFacts, Delivery, RuleTiming
from harness.errors import InvalidError, StoreError
from harness.evidence import BaselineRun
from harness.files import project_root
from harness.load.locust import stored_samples
from harness.model import Event, Scenario
from harness.redaction import redactor
from harness.scenario import parse
from tests import stored
from tests.builders import ZERO, event, events, samples, series

#: An interpreter of another version that has the same packages, where somebody names one.
OTHER_PYTHON = os.environ.get("HARNESS_OTHER_PYTHON", "")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One stored run; tests that change it take a copy."""
    folder, conclusion = stored.write(tmp_path_factory.mktemp("runs"), stored.evidence())
    assert conclusion.result["verdict"]["name"] == "PASS", conclusion.result["verdict"]
    return folder.path


@pytest.fixture
def run(template: Path, tmp_path: Path) -> Path:
    found = tmp_path / "runs" / template.name
    shutil.copytree(template, found)
    return found


def harness(
    *arguments: str, python: str = sys.executable, cwd: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(project_root()), "NO_COLOR": "1"}
    return subprocess.run(
        [python, "-m", "harness", *arguments],
        capture_output=True,
        env=environment,
        cwd=cwd,
        check=False,
        timeout=60,
    )


# -- layout


def test_every_stage_leaves_a_file(template: Path) -> None:
    found = {str(p.relative_to(template)) for p in template.rglob("*") if p.is_file()}
    assert found == {
        "scenario.resolved.yaml",
        "plan.json",
        "events.jsonl",
        "samples/load.bin",
        "samples/load.names",
        "samples/load.json",
        "samples/series.json",
        "faults.json",
        "baselines.json",
        "result.json",
        "timeline.json",
        "report.html",
        "summary.md",
        "junit.xml",
        "manifest.json",
    }
    sealed = json.loads((template / "manifest.json").read_text())
    assert set(sealed) >= {
        "result.json",
        "plan.json",
        "events.jsonl",
        "scenario.resolved.yaml",
        "samples/load.bin",
        "samples/load.json",
        "samples/load.names",
    }


def test_the_name_tells_when_and_what(tmp_path: Path) -> None:
    folder = store.create(tmp_path / "new" / "runs", "demo", ZERO)
    folder.close()
    assert folder.run_id.startswith("2023-11-14T221320Z-demo-")
    assert len(folder.run_id.rpartition("-")[2]) == 6
    assert folder.path.stat().st_mode & 0o077 == 0


def test_latest_is_the_newest(tmp_path: Path) -> None:
    made = [store.create(tmp_path, "demo", ZERO) for _ in range(3)]
    for folder in made:
        folder.close()
    link = tmp_path / "latest"
    assert link.is_symlink()
    assert not link.readlink().is_absolute()  # the results may be moved
    assert link.resolve() == made[-1].path.resolve()
    assert len({f.run_id for f in made}) == 3
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_file_in_the_place_of_the_results_is_refused(below: str, tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(InvalidError, match="cannot be used") as caught:
        store.create(tmp_path / "runs" / below, "demo", ZERO)
    assert "--out" in caught.value.next_step


def test_a_folder_in_the_place_of_latest_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latest" / "x").mkdir(parents=True)
    with pytest.raises(InvalidError, match="cannot be used"):
        store.create(tmp_path, "demo", ZERO)


def test_events_are_on_disk_at_once(tmp_path: Path) -> None:
    folder = store.create(tmp_path, "demo", ZERO)
    folder.event(event("first", at=1.0, text="with\na newline", more={"a": [1]}))
    folder.event(event("second", at=2.0))
    lines = (folder.path / "events.jsonl").read_text().splitlines()
    assert [Event(**json.loads(line)).kind for line in lines] == ["first", "second"]
    folder.close()


def test_an_event_that_cannot_be_written_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = store.create(tmp_path, "demo", ZERO)

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match=r"events.jsonl: No space left") as caught:
            folder.event(event("x"))
    assert "incomplete" in caught.value.next_step
    folder.close()


# -- finding


def test_a_run_is_found_by_whatever_names_it(
    run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    out = run.parent
    (out / "latest").symlink_to(run.name)
    for name in (str(run), run.name, run.name[-6:], "demo", "latest"):
        assert store.find(out, name) == run.resolve()
    monkeypatch.chdir(out)
    assert store.find(Path("elsewhere"), run.name) == run.resolve()


def test_what_names_several_or_none_is_refused(run: Path) -> None:
    out = run.parent
    shutil.copytree(run, out / "2024-01-01T000000Z-demo-aaaaaa")
    (out / "2024-01-01T000000Z-demo-bbbbbb").mkdir()  # one that never got so far
    with pytest.raises(InvalidError, match="names several runs") as caught:
        store.find(out, "demo")
    assert "aaaaaa" in str(caught.value)
    assert "bbbbbb" not in str(caught.value)
    assert "`latest`" in caught.value.next_step
    for name in ("nowhere", "latest", "bbbbbb"):
        with pytest.raises(InvalidError, match="names no run"):
            store.find(out, name)


@pytest.mark.parametrize("name", ["**", "a**b", "[", "*", "../..", "x" * 5000, "\x00", "?", "/"])
def test_odd_names_are_no_run(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="names no run"):
        store.find(tmp_path / "runs", name)


# -- tampering


def damage(path: Path, how: str) -> None:
    data = path.read_bytes()
    match how:
        case "missing":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
        case "half":
            path.write_bytes(data[: len(data) // 2])
        case "one byte short":
            path.write_bytes(data[:-1])
        case "one byte more":
            path.write_bytes(data + b"\n")
        case "one bit":
            middle = len(data) // 2
            path.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])


DAMAGES = ("missing", "empty", "half", "one byte short", "one byte more", "one bit")
SEALED = (
    "result.json",
    "plan.json",
    "scenario.resolved.yaml",
    "events.jsonl",
    "faults.json",
    "baselines.json",
    "samples/series.json",
    "samples/load.bin",
    "samples/load.names",
    "samples/load.json",
)


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("name", SEALED)
def test_a_touched_file_is_named_and_not_used(name: str, how: str, run: Path) -> None:
    damage(run / name, how)
    for use in (store.verify, store.read_result):
        with pytest.raises(InvalidError) as caught:
            use(run)
        assert str(run / name) in str(caught.value)
        assert caught.value.next_step


@pytest.mark.parametrize("how", ["missing", "empty", "half"])
def test_without_its_seal_a_run_is_no_evidence(how: str, run: Path) -> None:
    damage(run / "manifest.json", how)
    with pytest.raises(InvalidError, match="incomplete or damaged"):
        store.read_result(run)


def test_a_seal_that_leaves_something_out_is_none(run: Path) -> None:
    """Otherwise an emptied manifest would let an edited result pass."""
    manifest = run / "manifest.json"
    whole = json.loads(manifest.read_text())
    for text in ("{}", "[]", "null", "7", *(json.dumps(dict(list(whole.items())[1:])),)):
        manifest.write_text(text)
        with pytest.raises(InvalidError, match="incomplete or damaged"):
            store.verify(run)
    for name in whole:
        manifest.write_text(json.dumps({k: v for k, v in whole.items() if k != name}))
        with pytest.raises(InvalidError, match=r"manifest.json does not name"):
            store.verify(run)


def test_a_sample_file_that_was_added_is_no_evidence(run: Path) -> None:
    (run / "samples" / "load.extra").write_text("")
    with pytest.raises(InvalidError, match=r"load.extra"):
        store.verify(run)


def test_sealing_what_is_not_there_is_an_error(run: Path) -> None:
    (run / "faults.json").unlink()
    with pytest.raises(StoreError, match=r"faults.json"):
        store.seal(run)


# -- reading back

ARRIVED = Delivery(channel="slack", alert="Slow", status="firing", low=1.25, high=1.5, problem="p")
FACTS = AlertFacts(
    timing=RuleTiming(for_s=2.0, interval_s=1.0, window_s=10.0),
    pending=(ZERO + 1, ZERO + 2),
    deliveries=(ARRIVED,),
)


def test_the_evidence_is_what_it_was(tmp_path: Path) -> None:
    points = ((ZERO, math.nan), (ZERO + 1, math.inf), (ZERO + 2, -math.inf), (ZERO + 3, 0.1))
    odd = series("lag", points=points, warnings=("w",), problem="p", problem_code="gap")
    baseline = BaselineRun(run_id="b", values={("o", "steady"): 0.25, ("o", "after"): 1e-9})
    written = stored.evidence(
        series={"lag": odd},
        events=events(event("aborted", by="SIGINT")),
        unreadable=("an entry",),
        alerting={"Slow": FACTS, "Unasked": AlertFacts(unreceived="nobody was asked")},
        baselines=(baseline,),
    )
    folder, _ = stored.write(tmp_path, written)
    found, facts = store.load_evidence(
        folder.path,
        read_scenario(folder.path),
        stored_samples(folder.path / "samples", intact=store.load_was_intact(folder.path)),
    )
    assert facts.run_id == folder.run_id
    assert repr(found.series) == repr(written.series)  # NaN is not equal to itself
    for name in ("alerts", "alerting", "events", "faults", "unreadable", "activities", "baselines"):
        assert getattr(found, name) == getattr(written, name), name
    assert found.samples is not None
    assert written.samples is not None
    assert found.samples.records.tobytes() == written.samples.records.tobytes()
    assert found.samples.series == written.samples.series
    assert found.scenario.objectives == written.scenario.objectives
    (fault,), (asked,) = found.scenario.faults, written.scenario.faults
    assert (fault.kind, fault.target, fault.hold_s) == (asked.kind, asked.target, asked.hold_s)
    assert fault.parameters.items() >= asked.parameters.items()  # defaults are filled in


def read_scenario(path: Path) -> Scenario:
    text = (path / "scenario.resolved.yaml").read_text()
    return parse(text, path="scenarios/demo.yaml", environment={}, exists=lambda _: True)


def test_a_run_whose_load_never_began_is_stored_too(tmp_path: Path) -> None:
    folder, conclusion = stored.write(tmp_path, stored.evidence(samples=None, events=()))
    assert conclusion.result["verdict"]["exit_code"] != 0
    assert not store.load_was_intact(folder.path)
    assert stored_samples(folder.path / "samples", intact=False) is None
    store.verify(folder.path)


def test_a_generator_that_died_stays_dead(tmp_path: Path) -> None:
    folder, conclusion = stored.write(tmp_path, stored.evidence(samples=samples(intact=False)))
    assert not store.load_was_intact(folder.path)
    done = harness("judge", str(folder.path), "-o", "json")
    assert done.stdout == (folder.path / "result.json").read_bytes()
    assert done.returncode == conclusion.result["verdict"]["exit_code"] != 0


TORN: dict[str, Callable[[Path], None]] = {
    "a torn last event": lambda p: (
        damage(p / "events.jsonl", "one byte short")
        or (p / "events.jsonl").write_bytes((p / "events.jsonl").read_bytes()[:-5])
    ),
    "an event of another shape": lambda p: (p / "events.jsonl").write_text('{"a": 1}\n'),
    "no series": lambda p: (p / "samples" / "series.json").unlink(),
    "no faults": lambda p: (p / "faults.json").write_text("{}"),
    "a plan without an id": lambda p: (p / "plan.json").write_text("{}"),
    "baselines that are none": lambda p: (p / "baselines.json").write_text('[{"run_id": 1}]'),
}


@pytest.mark.parametrize("tear", TORN.values(), ids=TORN.keys())
def test_evidence_that_is_not_whole_is_an_error_even_unsealed(
    tear: Callable[[Path], None], run: Path
) -> None:
    tear(run)
    with pytest.raises(InvalidError, match="incomplete or damaged"):
        store.load_evidence(run, read_scenario(run), None)


# -- judging again


def test_judging_again_gives_the_same_bytes(run: Path) -> None:
    result = (run / "result.json").read_bytes()
    for _ in range(2):
        done = harness("judge", str(run), "-o", "json")
        assert done.returncode == 0, done.stderr
        assert done.stdout == result
        assert b"the stored result is identical" in done.stderr
    assert (run / "result.json").read_bytes() == result


@pytest.mark.skipif(not OTHER_PYTHON, reason="HARNESS_OTHER_PYTHON names no second Python")
def test_another_python_gives_the_same_bytes(run: Path) -> None:
    done = harness("judge", str(run), "-o", "json", python=OTHER_PYTHON)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (run / "result.json").read_bytes()


def test_a_bad_run_keeps_its_exit_code(tmp_path: Path) -> None:
    folder, conclusion = stored.write(tmp_path, stored.evidence(faults=()))
    code = conclusion.result["verdict"]["exit_code"]
    assert code not in (0, 2)
    assert harness("judge", str(folder.path)).returncode == code


def test_reports_are_rendered_again_without_a_change(run: Path) -> None:
    before = {p.name: p.read_bytes() for p in run.iterdir() if p.is_file()}
    for form, name in (("html", "report.html"), ("markdown", "summary.md"), ("junit", "junit.xml")):
        done = harness("report", str(run), "--format", form)
        assert done.returncode == 0, done.stderr
        if form != "html":
            assert done.stdout.strip() == before[name].strip()
    assert {p.name: p.read_bytes() for p in run.iterdir() if p.is_file()} == before


def test_a_run_can_be_moved(run: Path, tmp_path: Path) -> None:
    moved = tmp_path / "somewhere else"
    run.rename(moved)
    done = harness("judge", str(moved), "-o", "json")
    assert done.stdout == (moved / "result.json").read_bytes()


def test_a_secret_gets_into_no_file_and_breaks_none(tmp_path: Path) -> None:
    """Not even one that is a number, where text in brackets would not be JSON any more."""
    kept = redactor(["987654", "hunter2hunter2"])
    folder = store.create(tmp_path, "demo", ZERO, kept)
    folder.event(Event(at=1.0, kind="x", data={"why": "no login with hunter2hunter2"}))
    folder.write("a.json", json.dumps({"pin": 987654, "login": "hunter2hunter2"}).encode())
    folder.write("a.txt", b"hunter2hunter2 and 987654")
    folder.write("b.json", b'{"untouched":   1}')
    folder.close()
    assert "hunter2" not in (folder.path / store.EVENTS).read_text()
    assert json.loads((folder.path / "a.json").read_text()) == {
        "pin": "[redacted]",
        "login": "[redacted]",
    }
    assert (folder.path / "a.txt").read_text() == "[redacted] and [redacted]"
    assert (folder.path / "b.json").read_bytes() == b'{"untouched":   1}'
