"""`harness compare` on stored runs: groups, folders, the accepted runs, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import baselines, store
from harness.cli import comparing
from harness.cli.comparing import Terms
from harness.errors import ExitCode, InvalidError
from harness.evidence import Evidence
from harness.model import PhasePlan
from tests.builders import ZERO, events, good_evidence, healthy_records, samples, scenario
from tests.builders import event as event_of
from tests.stored import PLAN, write

OBJECTIVES = ("orders.p99 < 250ms during steady", "orders.errors < 1% during steady")
STEADY_ONLY = scenario(
    OBJECTIVES,
    faults=(),
    only_affects=(),
    slis={},
    phases=PhasePlan(warmup_s=5, steady_s=10, recovery_s=1, after_s=1),
    client_side_only=True,
)


def evidence_of(
    number: int,
    *,
    slower: float = 1.0,
    aborted: bool = False,
    broken: bool = False,
    dirty: bool = False,
) -> Evidence:
    """A run of load alone, 10 s of steady, whose latencies scatter by some per cent."""
    rng = np.random.default_rng(number)
    records = healthy_records()
    records = records[records["intended"] < ZERO + 15].copy()
    took = (records["completed"] - records["intended"]) * slower * np.exp(rng.normal(0, 0.03))
    records["completed"] = records["intended"] + took
    ends = [
        replace(e, at=ZERO + 15) if e.kind == "load_stopping" else e
        for e in events(without=("recovery_ended", *(("restored",) if dirty else ())))
    ]
    if aborted:
        ends.append(event_of("aborted", ZERO + 15.5, by="SIGTERM"))
    if broken:
        ends.append(event_of("error", ZERO + 15.5, message="a server went away"))
    return good_evidence(
        scenario=STEADY_ONLY,
        samples=samples(records),
        series={},
        alerts={},
        faults=(),
        activities=(),
        events=tuple(ends),
    )


def store_one(
    out: Path, number: int, *, slower: float = 1.0, aborted: bool = False, **plan: Any
) -> str:
    """A stored run; its id."""
    folder = store.create(out, "demo", ZERO + number)
    evidence = evidence_of(number, slower=slower, aborted=aborted)
    write(out, evidence, folder, PLAN | plan)
    return folder.run_id


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Ten old runs, six like them and six a third slower, in folders of their own."""
    root = tmp_path_factory.mktemp("compare")
    for number in range(10):
        store_one(root / "old", number)
    for number in range(10, 16):
        store_one(root / "like", number)
        store_one(root / "slower", number + 10, slower=1.35)
    yield root


def compared(place: Path, new: str, old: str, capsys: Any, **terms: Any) -> tuple[int, Any]:
    asked = Terms(out=place / "old", output="json", **terms)
    code = comparing.compare_runs((new,), (old,), place / "baselines", asked)
    return code, json.loads(capsys.readouterr().out)


ONE_RUN: dict[str, tuple[int, float, ExitCode, str]] = {
    "like twenty accepted ones": (20, 1.0, ExitCode.PASS, "pass"),
    "a third slower than twenty": (20, 1.35, ExitCode.INCONCLUSIVE, "inconclusive"),
    "a third slower than 120": (120, 1.35, ExitCode.FAIL, "fail"),
    "a third slower than five": (5, 1.35, ExitCode.INCONCLUSIVE, "inconclusive"),
}


@pytest.mark.parametrize("row", ONE_RUN.values(), ids=ONE_RUN)
def test_one_run_is_held_against_the_accepted_ones(
    row: tuple[int, float, ExitCode, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known, slower, code, outcome = row
    run = store_one(tmp_path / "runs", 1, slower=slower)
    result = store.read_result(tmp_path / "runs" / run)
    (check,) = [c for c in result["checks"] if "p99" in c["objective"]]
    for number in range(known):
        scatter = 1 + 0.01 * (number % 5 - 2)
        kept = check | {"observed": check["observed"] / slower * scatter}
        other = result | {"run_id": f"a{number:03}", "checks": [kept]}
        baselines.accept(tmp_path / "baselines", other)
    terms = Terms(out=tmp_path / "runs", output="json")
    assert comparing.compare_runs((run,), (), tmp_path / "baselines", terms) == code
    (row_of_p99,) = json.loads(capsys.readouterr().out)
    assert (row_of_p99["objective"], row_of_p99["outcome"]) == (check["objective"], outcome)
    comparing.compare_runs((run,), (), tmp_path / "baselines", replace(terms, output="text"))
    said = capsys.readouterr().out
    assert row_of_p99["because"] in said
    assert ("--repeat 5" in said) == (code is ExitCode.INCONCLUSIVE and known >= 10)


def p99(document: Any) -> Any:
    """The row of what was made slower."""
    return next(m for m in document["metrics"] if (m["subject"], m["stat"]) == ("orders", "p99"))


@pytest.mark.parametrize(
    ("new", "code", "finding"),
    [
        pytest.param("slower", ExitCode.FAIL, "regression", id="a third slower is a regression"),
        pytest.param("like", ExitCode.PASS, "no change shown", id="runs like the old ones pass"),
    ],
)
def test_a_folder_against_a_folder(
    new: str, code: int, finding: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, document = compared(place, str(place / new), str(place / "old"), capsys)
    assert found == code == document["exit_code"]
    row = p99(document)
    assert row["finding"] == finding
    assert row["low"] < row["change"] < row["high"]
    assert (row["new_runs"], row["old_runs"]) == (6, 10)


def test_two_names_alone_are_old_and_new(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    terms = Terms(out=place / "old", output="json")
    both = (str(place / "old"), str(place / "slower"))
    assert comparing.compare_runs(both, (), place / "baselines", terms) == ExitCode.FAIL
    assert p99(json.loads(capsys.readouterr().out))["change"] > 0.2


def test_a_group_against_the_accepted_runs(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in sorted((place / "old").glob(f"*/{store.PLAN}")):
        if not path.parent.is_symlink():
            baselines.accept(tmp_path, store.read_result(path.parent))
    terms = Terms(out=place / "old", output="json")
    code = comparing.compare_runs((str(place / "slower"),), (), tmp_path, terms)
    document = json.loads(capsys.readouterr().out)
    assert code == ExitCode.FAIL
    assert p99(document)["old_runs"] == 10


def test_the_text_says_what_a_person_asks(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    terms = Terms(out=place / "old")
    old, new = (str(place / "old"),), (str(place / "slower"),)
    comparing.compare_runs(new, old, place / "baselines", terms)
    text = capsys.readouterr().out
    assert text.startswith("FAIL: 6 new runs against 10 old ones")
    assert "regression       orders.p99 during steady: " in text
    assert "(95 %: +" in text
    assert "metrics that no objective names" in text
    comparing.compare_runs(new, old, place / "baselines", replace(terms, everything=True))
    assert "browse.p50 during steady" in capsys.readouterr().out


def test_one_metric_alone(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, document = compared(
        place, str(place / "slower"), str(place / "old"), capsys, metrics=("orders.errors",)
    )
    assert code == ExitCode.PASS
    assert [m["stat"] for m in document["metrics"]] == ["errors"]


def test_too_few_are_inconclusive_and_say_how_many_it_takes(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = next(p.parent for p in sorted((place / "slower").glob(f"*/{store.PLAN}")))
    terms = Terms(out=place / "old")
    code = comparing.compare_runs((str(one),), (str(place / "old"),), place / "b", terms)
    text = capsys.readouterr().out
    assert code == ExitCode.INCONCLUSIVE
    assert "cannot be told from chance" in text
    assert "new runs would show 20 %" in text


def test_a_broken_run_is_left_out_by_name(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(40, 46):
        store_one(tmp_path, number)
    lost = store_one(tmp_path, 46, aborted=True)
    code, document = compared(place, str(tmp_path), str(place / "old"), capsys)
    assert document["left_out"] == [{"run": lost, "because": "ABORTED"}]
    assert code == ExitCode.PASS


def test_another_environment_is_not_comparable(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = {**PLAN["environment"], "key": "env-2", "cpus": 64}
    store_one(tmp_path, 50, environment=other)
    code, document = compared(place, str(tmp_path), str(place / "old"), capsys)
    assert code == ExitCode.INCONCLUSIVE
    assert "cpus" in document["not_comparable"][0]


REFUSED: dict[str, tuple[tuple[str, ...], tuple[str, ...], dict[str, Any], str]] = {
    "a folder without a run": (("empty",), ("old",), {}, "holds no run"),
    "three runs and no word which are old": (("a", "b", "c"), (), {}, "--against"),
    "a folder with itself": (("old",), ("old",), {}, "with itself"),
    "a metric that nobody measured": (("like",), ("old",), {"metrics": ("x.p99",)}, "orders.p99"),
    "a margin of time": (("like",), ("old",), {"margin": "10s"}, "--margin"),
    "points of time": (("like",), ("old",), {"points": "1s"}, "--points"),
    "no accepted run": (("like",), ("baseline",), {}, "baseline accept"),
}


@pytest.mark.parametrize("row", REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_compared_is_refused(
    row: tuple[tuple[str, ...], tuple[str, ...], dict[str, Any], str], place: Path
) -> None:
    runs, against, terms, words = row
    (place / "empty").mkdir(exist_ok=True)

    def inside(name: str) -> str:
        return name if name == "baseline" else str(place / name)

    asked = Terms(out=place / "old", **terms)
    with pytest.raises(InvalidError) as error:
        comparing.compare_runs(
            tuple(map(inside, runs)), tuple(map(inside, against)), place / "baselines", asked
        )
    assert words in f"{error.value.message} {error.value.next_step}"
