"""Several runs of one scenario are held against the accepted ones together."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import baselines, store
from harness.cli import repeats
from harness.conclusion import conclude
from harness.errors import ExitCode
from harness.evidence import BaselineRun
from harness.model import Gate, Scenario
from tests.builders import ZERO, good_evidence, objective, scenario
from tests.cli.test_compare import STEADY_ONLY, evidence_of
from tests.stored import PLAN, write

TEXT = "orders.p99 <= baseline +10% during steady"
OBJECTIVES = (TEXT, "orders.errors < 1% during steady")
SCENARIO: Scenario = replace(STEADY_ONLY, objectives=tuple(objective(text) for text in OBJECTIVES))


def accept(root: Path, count: int) -> None:
    """Accepted runs of 30 ms that scatter by 3 %."""
    rng = np.random.default_rng(4)
    for number in range(count):
        observed = 0.03 * float(np.exp(rng.normal(0, 0.03)))
        check = {"objective": TEXT, "phase": "steady", "observed": observed}
        result: dict[str, Any] = {
            "run_id": f"a{number:02}",
            "scenario": {"name": SCENARIO.name},
            "environment": PLAN["environment"],
            "candidate": {},
            "verdict": {"exit_code": 0, "name": "PASS"},
            "checks": [check],
        }
        baselines.accept(root, result)


def stored(out: Path, count: int, slower: float) -> list[Path]:
    paths = []
    for number in range(count):
        found = replace(evidence_of(number, slower=slower), scenario=SCENARIO, repeats=count)
        folder = store.create(out, SCENARIO.name, ZERO + number)
        write(out, found, folder, PLAN | {"repeats": count})
        paths.append(folder.path)
    return paths


@pytest.mark.parametrize(
    ("known", "slower", "codes"),
    [
        pytest.param(20, 1.3, (ExitCode.FAIL,), id="a third slower than twenty accepted runs"),
        pytest.param(20, 1.0, (ExitCode.PASS,), id="like twenty accepted runs"),
        pytest.param(5, 1.3, (), id="five accepted runs are shown, and decide nothing"),
        pytest.param(0, 1.3, (), id="without any accepted run"),
    ],
)
def test_the_repeats_are_judged_together(
    known: int,
    slower: float,
    codes: tuple[ExitCode, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(repeats, "ACCEPTED", tmp_path / "baselines")
    accept(tmp_path / "baselines", known)
    out = tmp_path / "runs"
    paths = stored(out, 4, slower)
    assert repeats.judge(SCENARIO, paths, out, "text") == codes
    (told,) = (out / repeats.FOLDER).iterdir()
    document = json.loads(told.read_text())
    assert document["old"] == [f"a{number:02}" for number in range(known)]
    assert [m["stat"] for m in document["metrics"]] == ["p99"]


def test_a_scenario_without_a_baseline_objective_has_nothing_to_judge(tmp_path: Path) -> None:
    assert repeats.judge(STEADY_ONLY, [], tmp_path, "text") == ()
    warned = replace(SCENARIO, objectives=(objective(TEXT, Gate.WARN),))
    assert repeats.judge(warned, [], tmp_path, "text") == ()


def test_one_of_several_repeats_fails_no_run_by_itself() -> None:
    """Each would be another chance of a false alarm; what is observed is shown all the same."""
    key = ("orders.p99", "steady")
    known = tuple(
        BaselineRun(run_id=f"a{n}", values={key: 0.01 * (1 + 0.01 * (n % 3))}) for n in range(99)
    )
    single = good_evidence(scenario=scenario(OBJECTIVES), baselines=known)
    facts = store.facts_of({"run_id": "r", **PLAN})
    for count, gate in ((1, "fail"), (5, "warn")):
        result = conclude(replace(single, repeats=count), facts).result
        (check,) = [c for c in result["checks"] if "baseline" in c["objective"]]
        assert (check["outcome"], check["gate"]) == ("fail", gate)
        assert ("5 runs in all" in check["because"]) == (count == 5)


@pytest.mark.parametrize("known", [0, 20], ids=["by an assumed spread", "by the accepted runs"])
def test_validate_says_what_repeats_would_find(
    known: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeats, "ACCEPTED", tmp_path)
    accept(tmp_path, known)
    (line,) = repeats.outlook(SCENARIO)
    assert ("20 accepted runs in env-1 scatter by 3%" in line) == (known == 20)
    chances = [int(share) for share in re.findall(r"in (\d+)%", line)]
    assert chances == sorted(chances)
    assert len(chances) == 3
    assert not list(repeats.outlook(STEADY_ONLY))
