"""The same experiment under plain ``chaos run``, the same locustfile under plain ``locust -f``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from .conftest import ROOT, Command


def test_the_experiment_runs_under_plain_chaos_run(harness: Command, tmp_path: Path) -> None:
    journal = tmp_path / "journal.json"
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "chaostoolkit", "--no-version-check", "--no-log-file"),
            *("run", "--journal-path", str(journal), "--var", "hold=2s"),
            str(ROOT / "experiments" / "llm-timeout.json"),
        ],
        cwd=tmp_path,
        env=harness.environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    activities = json.loads(journal.read_text())["run"]
    assert [a["status"] for a in activities] == ["succeeded"] * 3
    assert "met no answer" in activities[0]["output"]["proof"]
    assert "got 200" in activities[2]["output"][0]["proof"]


def test_killing_plain_chaos_run_leaves_the_healing_to_its_guardian(
    harness: Command, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "chaostoolkit", "--no-version-check", "--no-log-file"),
            *("run", "--var", "hold=60s", str(ROOT / "experiments" / "llm-timeout.json")),
        ],
        cwd=tmp_path,
        env=harness.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    harness.await_open_fault()
    process.kill()
    process.wait()
    harness.await_all_healed()


def test_the_locustfile_runs_under_plain_locust(
    harness: Command, stack: dict[str, str], tmp_path: Path
) -> None:
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "locust", "--headless", "--only-summary"),
            *("-f", str(ROOT / "loadtests" / "shop.py"), "-H", stack["gateway"]),
            *("-u", "5", "-r", "5", "-t", "4s", "--json-file", str(tmp_path / "out")),
        ],
        cwd=tmp_path,
        env=harness.environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    entries = json.loads((tmp_path / "out.json").read_text())
    assert {e["name"] for e in entries} == {"recommendations", "assistant"}
    assert sum(e["num_requests"] for e in entries) > 5
    assert sum(e["num_failures"] for e in entries) == 0


def test_a_stored_run_is_judged_again_to_the_same_bytes(harness: Command, tmp_path: Path) -> None:
    from .test_no_false_pass import QUICK, written

    ran = harness.run(written(tmp_path, QUICK))
    stored = (harness.folder / "latest" / "result.json").read_text()
    again = harness("judge", "latest", "--out", str(harness.folder), "-o", "json")
    assert again.out == stored
    assert again.code == ran.code
    assert "the stored result is identical" in again.err
