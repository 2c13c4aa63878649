"""The command says what it can, at once, and without loading what it does not need."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import ExitCode
from harness.files import project_root
from harness.reasons import REASONS

HEAVY = {
    "chaoslib",
    "gevent",
    "kubernetes",
    "locust",
    "numpy",
    "pandas",
    "pydantic",
    "requests",
    "rich",
    "scipy",
}
VERBS = (
    "run", "demo", "validate", "schema", "judge", "report", "compare", "baseline",
    "baseline accept", "stack", "stack up", "stack attach", "stack down", "stack status", "doctor",
    "faults",
    "faults kinds", "load", "load find-knee", "load overload", "load worker", "recover",
    "explain", "import", "import openslo", "slo", "slo rules", "export",
)  # fmt: skip
CPU_LIMIT_S = 0.25


def harness(*arguments: str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *before, "-m", "harness", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=project_root(),
        timeout=60,
    )


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_every_verb_explains_itself(verb: str) -> None:
    done = harness(*verb.split(), "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout
    assert done.stderr == ""


def test_the_help_names_every_verb_and_the_exit_codes() -> None:
    text = " ".join(harness("--help").stdout.split())
    for verb in VERBS:
        assert verb.split()[0] in text
    assert "harness explain" in text
    assert "harness demo" in text


def test_the_help_loads_nothing_heavy() -> None:
    done = harness("--help", before=("-X", "importtime"))
    assert done.returncode == 0
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert len(loaded) > 20
    assert {name.split(".")[0] for name in loaded} & HEAVY == set()


def test_a_plain_recover_loads_only_what_heals(own_state: Path) -> None:
    """It promises 5 s, on a machine that may be in trouble."""
    done = harness("recover", before=("-X", "importtime"))
    assert (done.returncode, done.stdout) == (0, "clean\n")
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "harness.verbs" in loaded
    assert {name.split(".")[0] for name in loaded} & (HEAVY | {"typer"}) == set()


def test_the_help_is_quick() -> None:
    """CPU time, which other work on the machine does not change much; the best of five."""
    best = min(cpu_of_help() for _ in range(5))
    assert best < CPU_LIMIT_S, f"{best * 1000:.0f} ms"


def cpu_of_help() -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert harness("--help").returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def test_the_version_is_said() -> None:
    done = harness("--version")
    assert done.returncode == 0
    assert done.stdout[0].isdigit()


def test_no_arguments_are_a_call_for_help() -> None:
    done = harness()
    assert done.returncode in (0, 2)
    assert "Usage:" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("code", ExitCode)
def test_every_exit_code_is_explained_by_number_and_name(code: ExitCode) -> None:
    by_number, by_name = harness("explain", str(int(code))), harness("explain", code.name.lower())
    assert by_number.returncode == by_name.returncode == 0
    assert by_number.stdout == by_name.stdout
    assert code.name in by_number.stdout


def test_all_codes_and_reasons_are_explained_at_once() -> None:
    text = harness("explain").stdout
    assert all(code.name in text for code in ExitCode)
    assert all(f"{reason}: " in text for reason in REASONS)


def test_one_reason_is_explained() -> None:
    done = harness("explain", "fault_not_applied")
    assert done.returncode == 0
    assert REASONS["fault_not_applied"] in done.stdout
