"""Accepted runs on disk: only a pass gets in, and nothing damaged is compared with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness import baselines
from harness.accepted_run import Acceptance
from harness.cli import accepted
from harness.errors import InvalidError, StoreError


def result(**changes: Any) -> dict[str, Any]:
    """As much of a result as accepting reads."""
    good: dict[str, Any] = {
        "run_id": "2026-01-01T000000Z-demo-abc123",
        "scenario": {"name": "demo"},
        "environment": {"key": "env-1", "driver": "local"},
        "candidate": {"commit": "c0ffee"},
        "verdict": {"exit_code": 0, "name": "PASS"},
        "checks": [
            {"objective": "orders.p99 < 250ms during steady", "phase": "steady", "observed": 0.1},
            {"objective": "orders.errors < 1% during fault", "phase": "fault", "observed": None},
            {
                "objective": "orders.p99 <= baseline +15% during steady",
                "phase": "steady",
                "observed": 0.2,
            },
        ],
    }
    return good | changes


def test_an_accepted_run_is_found_again(tmp_path: Path) -> None:
    path = baselines.accept(tmp_path, result())
    assert path == tmp_path / "demo" / "env-1" / "2026-01-01T000000Z-demo-abc123.json"
    (run,) = baselines.accepted(tmp_path, "demo", "env-1")
    assert run.run_id == "2026-01-01T000000Z-demo-abc123"
    assert run.values[("orders.p99 < 250ms during steady", "steady")] == 0.1
    assert len(run.values) == 2  # what was not observed is no value
    assert baselines.environments(tmp_path, "demo") == ("env-1",)


def test_the_file_is_made_to_be_reviewed(tmp_path: Path) -> None:
    text = baselines.accept(tmp_path, result()).read_text()
    assert text.endswith("}\n")
    assert len(text.splitlines()) > 10
    document = json.loads(text)
    assert document["version"] == baselines.VERSION
    assert document["candidate"] == {"commit": "c0ffee"}


def test_a_baseline_objective_keeps_what_it_compares() -> None:
    """Another margin compares the same value, so the accepted runs stay of use."""
    keys = {baselines.key_of(f"orders.p99 <= baseline +{m}% during steady") for m in (5, 15)}
    assert len(keys) == 1
    assert baselines.key_of("only_affects: browse") == "only_affects: browse"
    text = "orders.p99 < 250ms during steady"
    assert baselines.key_of(text) == text


@pytest.mark.parametrize("code", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("reason", ["", " \n"])
def test_only_a_pass_is_accepted_without_a_reason(code: int, reason: str, tmp_path: Path) -> None:
    verdict = {"exit_code": code, "name": "NO PASS"}
    with pytest.raises(InvalidError, match="is NO PASS; only a PASS") as caught:
        baselines.accept(tmp_path, result(verdict=verdict), Acceptance(reason=reason))
    assert ("--reason" in (caught.value.next_step or "")) is (code in (1, 4))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("code", "name"), [(1, "FAIL"), (4, "INCONCLUSIVE")])
def test_with_a_reason_it_is_accepted_and_the_reason_kept(
    code: int, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict = {"exit_code": code, "name": name}
    who = Acceptance(by="Ada", at="2026-11-21T08:00:00Z", reason="the old cache, on purpose")
    baselines.accept(tmp_path, result(verdict=verdict), who)
    (run,) = baselines.runs(tmp_path, "demo", "env-1")
    assert (run.accepted, run.verdict) == (who, name)
    told = f"{name}  accepted by Ada 2026-11-21T08:00:00Z: the old cache, on purpose"
    accepted.list_runs(tmp_path, None, "text")
    assert told in capsys.readouterr().out
    accepted.show(tmp_path, "demo", "text")
    assert told in capsys.readouterr().out


@pytest.mark.parametrize("code", [2, 3, 5, 6])
def test_a_run_that_was_not_whole_is_accepted_for_no_reason(code: int, tmp_path: Path) -> None:
    verdict = {"exit_code": code, "name": "CUT SHORT"}
    with pytest.raises(InvalidError, match="may be accepted"):
        baselines.accept(tmp_path, result(verdict=verdict), Acceptance(reason="because"))
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_accepted_once(tmp_path: Path) -> None:
    path = baselines.accept(tmp_path, result())
    before = path.read_bytes()
    with pytest.raises(InvalidError, match="part of the baseline already"):
        baselines.accept(tmp_path, result(candidate={}))
    assert path.read_bytes() == before


def test_a_file_in_the_place_of_the_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "baselines").write_text("")
    with pytest.raises(InvalidError, match="cannot be made"):
        baselines.accept(tmp_path / "baselines", result())


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StoreError, match="No space left"):
        baselines.accept(tmp_path, result())
    assert baselines.accepted(tmp_path, "demo", "env-1") == ()


def test_runs_are_told_apart_by_scenario_and_environment_and_sorted(tmp_path: Path) -> None:
    baselines.accept(tmp_path, result(run_id="b"))
    baselines.accept(tmp_path, result(run_id="a"))
    baselines.accept(tmp_path, result(run_id="c", environment={"key": "env-2"}))
    baselines.accept(tmp_path, result(run_id="d", scenario={"name": "other"}))
    assert [r.run_id for r in baselines.accepted(tmp_path, "demo", "env-1")] == ["a", "b"]
    assert baselines.environments(tmp_path, "demo") == ("env-1", "env-2")
    assert baselines.accepted(tmp_path, "nowhere", "env-1") == ()
    assert baselines.environments(tmp_path, "nowhere") == ()


DAMAGE: dict[str, str] = {
    "cut short": '{"version": 1, "run_id": "x", "val',
    "empty": "",
    "null": "null",
    "a list": "[]",
    "another version": '{"version": 3, "run_id": "x", "values": []}',
    "no values": '{"version": 1, "run_id": "x"}',
    "no run": '{"version": 1, "values": []}',
    "values that are text": '{"version": 1, "run_id": "x", "values": "abc"}',
    "a value that is null": (
        '{"version": 1, "run_id": "x", "values": [{"objective": "o", "phase": "p", "value": null}]}'
    ),
    "a value that is NaN": (
        '{"version": 1, "run_id": "x", "values": [{"objective": "o", "phase": "p", "value": NaN}]}'
    ),
    "a value without end": (
        '{"version": 1, "run_id": "x", "values": '
        '[{"objective": "o", "phase": "p", "value": -Infinity}]}'
    ),
}


@pytest.mark.parametrize("text", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_baseline_is_refused_and_named(text: str, tmp_path: Path) -> None:
    good = baselines.accept(tmp_path, result())
    bad = good.with_name("bad.json")
    bad.write_text(text)
    with pytest.raises(InvalidError) as caught:
        baselines.accepted(tmp_path, "demo", "env-1")
    assert str(bad) in str(caught.value)
    assert "version control" in caught.value.next_step


def test_a_binary_baseline_is_refused(tmp_path: Path) -> None:
    path = baselines.accept(tmp_path, result())
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidError, match="is damaged"):
        baselines.accepted(tmp_path, "demo", "env-1")


# -- list, show, drop


def test_accepted_runs_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("b", "a"):
        baselines.accept(tmp_path, result(run_id=name))
    baselines.accept(tmp_path, result(run_id="c", scenario={"name": "other"}))
    assert baselines.scenarios(tmp_path) == ("demo", "other")
    accepted.list_runs(tmp_path, None, "text")
    assert capsys.readouterr().out == "demo  env-1  a\ndemo  env-1  b\nother  env-1  c\n"
    accepted.list_runs(tmp_path, "other", "json")
    rows = json.loads(capsys.readouterr().out)
    where = {"scenario": "other", "environment": "env-1", "run_id": "c"}
    nobody = {"verdict": "PASS", "by": "", "at": "", "reason": "", "waived": []}
    assert rows == [where | nobody]


def test_nothing_accepted_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    accepted.list_runs(tmp_path / "nowhere", None, "text")
    assert "No run is accepted" in capsys.readouterr().err
    with pytest.raises(InvalidError, match="No run of 'demo' is accepted"):
        accepted.show(tmp_path, "demo", "text")


def observed(run_id: str, value: float) -> dict[str, Any]:
    text = "orders.p99 < 250ms during steady"
    check = {"objective": text, "phase": "steady", "observed": value}
    return result(run_id=run_id, checks=[check])


def test_the_values_of_accepted_runs_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for n in range(11):
        baselines.accept(tmp_path, observed(f"run-{n:02}", 0.1 * 1.02**n))
    accepted.show(tmp_path, "demo", "text")
    text = capsys.readouterr().out
    assert "demo in env-1: 11 accepted runs\n" in text
    assert "orders.p99 < 250ms during steady [steady]: 0.110408, 0.1 to 0.121899" in text
    assert "it drifts" in text
    accepted.show(tmp_path, "demo", "json")
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["runs"], row["outliers"], row["drifts"]) == (11, [], True)


def test_an_outlier_is_listed_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for n, value in enumerate((0.1, 0.101, 0.099, 0.102, 0.9)):
        baselines.accept(tmp_path, observed(f"run-{n}", value))
    accepted.show(tmp_path, "demo", "text")
    text = capsys.readouterr().out
    assert "5 accepted runs (10 are needed to judge by)" in text
    assert "unlike the others: run-4" in text


def test_a_dropped_run_is_gone_and_only_that(tmp_path: Path) -> None:
    for name in ("a", "b"):
        baselines.accept(tmp_path, result(run_id=name))
    assert accepted.drop(tmp_path, "a") == 0
    assert [r.run_id for r in baselines.accepted(tmp_path, "demo", "env-1")] == ["b"]
    with pytest.raises(InvalidError, match="is called 'a'"):
        accepted.drop(tmp_path, "a")


@pytest.mark.parametrize("name", ["", "*", "../b", "b.json"])
def test_what_is_no_id_drops_nothing(name: str, tmp_path: Path) -> None:
    baselines.accept(tmp_path, result(run_id="b"))
    with pytest.raises(InvalidError):
        accepted.drop(tmp_path, name)
    assert len(baselines.accepted(tmp_path, "demo", "env-1")) == 1
