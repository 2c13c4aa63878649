"""`harness load` from its options to its files, against simulated services."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.cli import capacity, overload, running
from harness.errors import ExitCode
from harness.model import Scenario
from tests.simulated_services import Service, offered, queue, retrying, shedder

SCENARIO = """\
version: 1
name: shop
stack: {driver: local}
load: {http: [GET /], arrivals: 10/s, timeout: 2s}
faults: []
metrics: none
objectives: [http.errors < 1% during steady]
"""


class Target:
    """A stack that is always up."""

    id = "simulated"

    def up(self) -> None:
        pass

    def down(self) -> None:
        pass


@pytest.fixture
def against(
    own_state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Service], list[Scenario]]:
    """Puts a simulated service where runs would be; gives the scenarios that were run."""
    (tmp_path / "loadtests").mkdir()
    (tmp_path / "shop.yaml").write_text(SCENARIO)
    monkeypatch.chdir(tmp_path)

    def put(service: Service, code: ExitCode = ExitCode.PASS) -> list[Scenario]:
        played: list[Scenario] = []

        def execute(scenario: Scenario, *_: object) -> tuple[Any, Any]:
            played.append(scenario)
            evidence = offered(scenario, service, journey="http")
            return evidence, SimpleNamespace(result={"verdict": {"exit_code": int(code)}})

        monkeypatch.setattr(running, "execute", execute)
        for module in (capacity, overload):
            monkeypatch.setattr(module, "target_of", lambda *_: Target())
        monkeypatch.setattr(capacity, "rest", lambda _: None)
        return played

    return put


def search(**changes: Any) -> capacity.Asked:
    options: dict[str, Any] = {
        "file": Path("shop.yaml"),
        "profile": None,
        "overrides": (),
        "under": None,
        "lowest": "20/s",
        "highest": "400/s",
        "warmup": "3s",
        "hold": "12s",
        "cooldown": "1s",
        "precision": "10%",
        "most_steps": 40,
        "out": Path("out"),
        "output": "text",
    }
    return capacity.Asked(**options | changes)


def asked(knee: str | None = "100/s", **changes: Any) -> overload.Asked:
    return overload.Asked(
        search=search(**changes), knee=knee, times=2.0, lowest="50%", step="50%", watch="10s"
    )


def stored(name: str) -> dict[str, Any]:
    (path,) = Path("out").glob(f"*-shop-*/{name}")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


OVERLOADS: dict[str, tuple[Service, ExitCode, str]] = {
    "one that sheds": (shedder(110.0), ExitCode.PASS, "PASS: the goodput holds"),
    "a queue": (queue(110.0), ExitCode.FAIL, "goodput collapses beyond the knee"),
    "a storm of retries": (retrying(110.0), ExitCode.FAIL, "does not come back by itself"),
    "one that was never full": (shedder(900.0), ExitCode.INCONCLUSIVE, "not_overloaded"),
}


@pytest.mark.parametrize(("service", "code", "said"), OVERLOADS.values(), ids=OVERLOADS)
def test_an_overload_is_told_and_stored(
    service: Service,
    code: ExitCode,
    said: str,
    against: Callable[[Service], list[Scenario]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    played = against(service)
    assert overload.overload(asked()) == code
    text = capsys.readouterr().out
    assert said in text
    document = stored("overload.json")
    assert (document["verdict"]["name"], document["knee"]["searched"]) == (code.name, False)
    assert len(played) == 1  # one run for the whole staircase
    assert [step["rate_per_s"] for step in document["steps"]] == [50, 100, 150, 200, 150, 100, 50]
    assert text.count("/s  good") == len(document["steps"])


def test_json_is_what_is_stored(
    against: Callable[[Service], list[Scenario]], capsys: pytest.CaptureFixture[str]
) -> None:
    against(queue(110.0))
    overload.overload(asked(output="json"))
    assert json.loads(capsys.readouterr().out) == stored("overload.json")


def test_without_a_knee_it_is_searched_and_no_rate_is_beyond_the_highest(
    against: Callable[[Service], list[Scenario]],
) -> None:
    played = against(shedder(80.0))
    assert overload.overload(asked(knee=None)) == ExitCode.PASS
    document = stored("overload.json")
    assert document["knee"]["searched"] is True
    assert document["knee"]["low_per_s"] <= 81
    assert document["knee"]["high_per_s"] >= 79
    peaks = [scenario.load.peak_per_s or 0.0 for scenario in played]
    assert max(peaks[:-1]) <= 200  # twice of which may be offered
    assert peaks[-1] == pytest.approx(2 * document["knee"]["rate_per_s"], rel=1e-3)


NO_KNEES: dict[str, tuple[Service, ExitCode, str]] = {
    "it bears all that may be offered": (shedder(5000.0), ExitCode.INCONCLUSIVE, "at or above"),
    "it bears nothing": (shedder(2.0), ExitCode.FAIL, "never held"),
}


@pytest.mark.parametrize(("service", "code", "said"), NO_KNEES.values(), ids=NO_KNEES)
def test_without_a_knee_there_is_nothing_to_go_beyond(
    service: Service,
    code: ExitCode,
    said: str,
    against: Callable[[Service], list[Scenario]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    played = against(service)
    assert overload.overload(asked(knee=None)) == code
    assert said in capsys.readouterr().out
    assert stored("knee.json")["ending"] in ("above", "below")
    assert all((scenario.load.peak_per_s or 0.0) <= 200 for scenario in played)


@pytest.mark.parametrize("code", [ExitCode.DIRTY, ExitCode.ERROR, ExitCode.ABORTED], ids=str)
def test_a_staircase_that_is_not_whole_ends_with_its_own_code(
    code: ExitCode, against: Callable[..., list[Scenario]], capsys: pytest.CaptureFixture[str]
) -> None:
    against(shedder(110.0), code)
    assert overload.overload(asked()) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert code.name in said.err
    assert not list(Path("out").glob("*/overload.json"))


def test_a_knee_close_to_the_highest_rate_can_be_told(
    against: Callable[[Service], list[Scenario]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Its interval may reach beyond what was offered, where nothing is known."""
    against(shedder(390.0))
    assert capacity.find_knee(search()) in (ExitCode.PASS, ExitCode.INCONCLUSIVE)
    assert "knee: " in capsys.readouterr().out


@pytest.mark.parametrize(("hold", "compared"), [("12s", True), ("15s", False)])
def test_a_search_under_an_experiment_is_laid_beside_the_normal_one(
    hold: str, compared: bool, against: Callable[[Service], list[Scenario]]
) -> None:
    against(shedder(120.0))
    assert capacity.find_knee(search()) == ExitCode.PASS
    plan = capacity.Search.of(search(hold=hold)).plan
    normal = capacity.normal_knee(Path("out"), "shop", plan)
    assert (normal is not None) == compared
    if normal is not None:
        assert normal["low_per_s"] <= 122
        assert normal["high_per_s"] >= 118
    assert capacity.normal_knee(Path("out"), "another", plan) is None


def test_a_damaged_result_of_a_search_is_passed_over_with_a_warning(
    against: Callable[[Service], list[Scenario]], capsys: pytest.CaptureFixture[str]
) -> None:
    against(shedder(120.0))
    folder = Path("out/2026-shop-knee-abc")
    folder.mkdir(parents=True)
    (folder / "knee.json").write_text("{")
    assert capacity.normal_knee(Path("out"), "shop", capacity.Search.of(search()).plan) is None
    assert "no result of a search" in capsys.readouterr().err
