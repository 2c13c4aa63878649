"""The set-up: which Python, what is built again and when, the commands, and what is committed.

Nothing here uses the network: interpreters, pip and uv are small shell programs that answer as the
real ones do and note how they were called.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ["bash", "cp", "dirname", "grep", "mkdir", "mv", "rm", "sed", "tail"]

# $0 -c … answers the probe; -m venv makes a folder with a copy of itself; -m pip only notes the
# call. Digests and locks are left to a real Python.
PYTHON = """#!/bin/sh
case "$*" in
  *hashlib*|*fcntl*) exec "{real}" "$@" ;;
  *ensurepip*) {answer} ;;
  *"-m venv"*)
    for folder; do :; done
    mkdir -p "$folder/bin" && cp "$0" "$folder/bin/python"
    printf '#!%s\\n' "$folder/bin/python" >"$folder/bin/pip"
    cp "{calls}.harness" "$folder/bin/harness" ;;
  *"-m pip"*)
    echo "pip $*" >>"{calls}"
    [ -z "${{PIP_FAILS:-}}" ] || {{ echo "ERROR: $PIP_FAILS" >&2; exit 1; }} ;;
esac
"""
HARNESS = """#!/bin/sh
echo "harness $*" >>"{calls}"
exit "${{DOCTOR_EXIT:-0}}"
"""
UV = """#!/bin/sh
[ "$1" = --version ] && exit "${{UV_BROKEN:-0}}"
echo "uv $*" >>"{calls}"
exit "${{UV_EXIT:-0}}"
"""


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


class Checkout:
    """A small checkout with a PATH of its own: `first` and `second` folder, then plain tools."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.root = base / "checkout"
        self.calls = base / "calls"
        for folder in ("first", "second", "tools", "home", "checkout/stack"):
            (base / folder).mkdir(parents=True)
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found, f"these tests need {tool}"
            (base / "tools" / tool).symlink_to(found)
        for name in ("requirements.lock", "stack/requirements.lock", "pyproject.toml"):
            (self.root / name).write_text(f"# {name}\n")
        program(Path(f"{self.calls}.harness"), HARNESS.format(calls=self.calls))
        program(self.root / "scripts/bootstrap", (ROOT / "scripts/bootstrap").read_text())

    def python(self, place: str, says: str) -> Path:
        """Put an interpreter there: 3.13.0 and so on, or a whole first line of the answer."""
        path = self.base / place
        if re.fullmatch(r"[\d.]+", says):
            says = f"cpython {says.replace('.', ' ')} final gil complete"
        answer = f"printf '%s\\n' '{says}' '{path.parent}' '{path}'"
        if says == "broken":
            answer = "echo 'the command exists in other versions' >&2; exit 127"
        if says == "silent":
            answer = "exit 0"
        return program(path, PYTHON.format(answer=answer, real=sys.executable, calls=self.calls))

    def uv(self) -> None:
        program(self.base / "first/uv", UV.format(calls=self.calls))

    def environment(self, **more: str) -> dict[str, str]:
        folders = ("first", "second", "tools")
        path = os.pathsep.join(str(self.base / folder) for folder in folders)
        return {"PATH": path, "HOME": str(self.base / "home"), **more}

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["scripts/bootstrap", *arguments],
            cwd=self.root,
            env=self.environment(**environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def steps(self) -> list[str]:
        """What was installed or started since the last look, in words."""
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        self.calls.unlink(missing_ok=True)
        words = []
        for line in lines:
            tool = line.split()[0]
            if tool == "harness":
                words.append(line)
                continue
            what = "project" if line.endswith("-e .") else line.split()[-1]
            assert ("--require-hashes" in line) == (what != "project"), line
            words.append(f"{tool} {what}")
        return words


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


# --- which Python ---------------------------------------------------------------------------------

PYENV = "home/.pyenv/versions"
CHOICES = [
    ("the only one", {"first/python3": "3.11.0"}, "", "first/python3"),
    (
        "the newest of several names",
        {"first/python3": "3.11.9", "first/python3.13": "3.13.1", "first/python3.12": "3.12.9"},
        "",
        "first/python3.13",
    ),
    (
        "versions are numbers, not text",
        {"first/python3": "3.9.25", "first/python3.11": "3.11.2", "first/python": "3.11.10"},
        "",
        "first/python",
    ),
    (
        "a newer one than this script knows, under its plain name",
        {"first/python3.13": "3.13.0", "first/python3": "3.17.0"},
        "",
        "first/python3",
    ),
    (
        "a newer one in pyenv's folder than on PATH",
        {"first/python3": "3.11.7", f"{PYENV}/3.13.0/bin/python": "3.13.0"},
        "",
        f"{PYENV}/3.13.0/bin/python",
    ),
    (
        "a newer one on PATH than in pyenv's folder",
        {"first/python3": "3.12.4", f"{PYENV}/3.12.3/bin/python": "3.12.3"},
        "",
        "first/python3",
    ),
    (
        "equally new: the one on PATH",
        {"first/python3": "3.12.4", f"{PYENV}/3.12.4/bin/python": "3.12.4"},
        "",
        "first/python3",
    ),
    (
        "the one asked for, though it is older",
        {"first/python3.13": "3.13.0", "elsewhere/python": "3.11.7"},
        "{base}/elsewhere/python",
        "elsewhere/python",
    ),
    (
        "the one asked for by its name on PATH",
        {"first/python3.13": "3.13.0", "first/python3.11": "3.11.7"},
        "python3.11",
        "first/python3.11",
    ),
    (
        "the one asked for by a relative path",
        {"first/python3.13": "3.13.0", "elsewhere/python": "3.11.7"},
        "../elsewhere/python",
        "elsewhere/python",
    ),
    (
        "sad: a shim that fails hides a real one behind it on PATH",
        {"first/python3.13": "broken", "second/python3.13": "3.13.0", "first/python3": "3.11.7"},
        "",
        "second/python3.13",
    ),
    (
        "sad: a shim that says nothing, successfully",
        {"first/python3.13": "silent", "first/python3": "3.11.7"},
        "",
        "first/python3",
    ),
    (
        "sad: a program of that name that is something else",
        {"first/python3.13": "hello there", "first/python3": "3.11.7"},
        "",
        "first/python3",
    ),
    (
        "sad: PyPy is newer",
        {"first/python3": "pypy 3 12 0 final gil complete", "second/python3": "3.11.7"},
        "",
        "second/python3",
    ),
    (
        "sad: a pre-release is newer",
        {"first/python3.15": "cpython 3 15 0 beta gil complete", "first/python3.13": "3.13.0"},
        "",
        "first/python3.13",
    ),
    (
        "sad: a free-threaded build is newer",
        {
            f"{PYENV}/3.13.1t/bin/python": "cpython 3 13 1 final nogil complete",
            f"{PYENV}/3.13.0/bin/python": "3.13.0",
        },
        "",
        f"{PYENV}/3.13.0/bin/python",
    ),
    (
        "sad: the newer one came without venv",
        {"first/python3.13": "cpython 3 13 1 final gil bare", "first/python3.12": "3.12.1"},
        "",
        "first/python3.12",
    ),
    (
        "sad: pyenv has a folder whose program is broken",
        {f"{PYENV}/3.13.0/bin/python": "broken", f"{PYENV}/3.12.1/bin/python": "3.12.1"},
        "",
        f"{PYENV}/3.12.1/bin/python",
    ),
]


@pytest.mark.parametrize(
    ("programs", "asked", "expected"),
    [row[1:] for row in CHOICES],
    ids=[row[0] for row in CHOICES],
)
def test_the_newest_python_that_really_runs_is_taken(
    checkout: Checkout, programs: dict[str, str], asked: str, expected: str
) -> None:
    for place, says in programs.items():
        checkout.python(place, says)
    run = checkout.run("--print-python", HARNESS_PYTHON=asked.format(base=checkout.base))
    assert (run.returncode, run.stderr) == (0, "")
    assert Path(os.path.normpath(run.stdout.strip())) == checkout.base / expected


def test_pyenv_may_be_in_another_place(checkout: Checkout) -> None:
    expected = checkout.python("other/versions/3.13.0/bin/python", "3.13.0")
    run = checkout.run("--print-python", PYENV_ROOT=str(checkout.base / "other"))
    assert run.stdout.strip() == str(expected)


REFUSALS = [
    ("none at all", {}, "", 3, ["at least 3.11", "HARNESS_PYTHON=", "make setup"]),
    ("only too old", {"first/python3": "3.10.14"}, "", 3, ["is Python 3.10.14, too old"]),
    ("only a failing shim", {"first/python3": "broken"}, "", 3, ["first/python3 does not run"]),
    ("only a silent shim", {"first/python3": "silent"}, "", 3, ["first/python3 does not run"]),
    ("only nonsense", {"first/python": "a b c d"}, "", 3, ["first/python does not run"]),
    (
        "only PyPy",
        {"first/python3": "pypy 3 11 5 final gil complete"},
        "",
        3,
        ["is pypy, not CPython"],
    ),
    (
        "only without venv",
        {"first/python3": "cpython 3 11 2 final gil bare"},
        "",
        3,
        ["lacks the modules venv and ensurepip", "python3-venv"],
    ),
    (
        "the one asked for does not exist, though a good one does",
        {"first/python3": "3.13.0"},
        "/nowhere/python",
        2,
        ["HARNESS_PYTHON=/nowhere/python", "does not run", "unset it"],
    ),
    (
        "the one asked for is too old, though a good one exists",
        {"first/python3": "3.13.0", "first/python3.9": "3.9.18"},
        "python3.9",
        2,
        ["HARNESS_PYTHON=python3.9", "is Python 3.9.18, too old"],
    ),
    (
        "the one asked for is a folder",
        {"first/python3": "3.13.0"},
        "{base}/first",
        2,
        ["does not run"],
    ),
]


@pytest.mark.parametrize(
    ("programs", "asked", "code", "texts"),
    [row[1:] for row in REFUSALS],
    ids=[row[0] for row in REFUSALS],
)
@pytest.mark.parametrize("arguments", [["--print-python"], ["--skip-servers"]])
def test_no_usable_python_is_one_message_with_what_to_do(
    checkout: Checkout,
    arguments: list[str],
    programs: dict[str, str],
    asked: str,
    code: int,
    texts: list[str],
) -> None:
    for place, says in programs.items():
        checkout.python(place, says)
    run = checkout.run(*arguments, HARNESS_PYTHON=asked.format(base=checkout.base))
    assert (run.returncode, run.stdout) == (code, "")
    assert run.stderr.count("set-up: ") == 1 + ("set-up: took" in run.stderr)
    assert [text for text in texts if text not in run.stderr] == []
    assert not (checkout.root / ".venv").exists()


def test_an_unknown_option_is_refused_before_anything_is_done(checkout: Checkout) -> None:
    checkout.python("first/python3", "3.13.0")
    run = checkout.run("--skip-server")
    assert run.returncode == 2
    assert "no option --skip-server\n" in run.stderr
    assert "--skip-servers" in run.stderr
    assert not (checkout.root / ".venv").exists()


# --- what is built again, and when ----------------------------------------------------------------

HARNESS_STEPS = ["pip requirements.lock", "pip project"]
STACK_STEPS = ["pip stack/requirements.lock"]
ALL_STEPS = HARNESS_STEPS + STACK_STEPS


def append(name: str) -> Callable[[Checkout], None]:
    def change(checkout: Checkout) -> None:
        path = checkout.root / name
        path.write_text(path.read_text() + "# changed\n")

    return change


def remove(name: str) -> Callable[[Checkout], None]:
    return lambda checkout: (checkout.root / name).unlink()


def write(name: str, text: str) -> Callable[[Checkout], None]:
    def change(checkout: Checkout) -> None:
        program(checkout.root / name, text)

    return change


def newer_python(checkout: Checkout) -> None:
    checkout.python("first/python3.13", "3.13.0")


def lock_and_newer_python(checkout: Checkout) -> None:
    append("requirements.lock")(checkout)
    newer_python(checkout)


def moved(checkout: Checkout) -> None:
    target = checkout.base / "moved"
    checkout.root = checkout.root.rename(target)


def moved_to_the_end_of_its_path(checkout: Checkout) -> None:
    """From /a/b/a/b to /a/b: the old path holds the new one."""
    short = checkout.root
    long = checkout.base / short.relative_to("/")
    long.parent.mkdir(parents=True)
    checkout.root = short.rename(long)
    checkout.run("--skip-servers")
    checkout.steps()
    checkout.root = long.rename(short)


CHANGES = [
    ("nothing", lambda checkout: None, []),
    ("a newer Python appeared", newer_python, []),
    ("sources changed", write("harness/new.py", ""), []),
    ("the project's settings changed", append("pyproject.toml"), ["pip project"]),
    ("the harness's lock changed", append("requirements.lock"), HARNESS_STEPS),
    ("the stack's lock changed", append("stack/requirements.lock"), STACK_STEPS),
    ("the lock changed and a newer Python appeared", lock_and_newer_python, HARNESS_STEPS),
    ("sad: interrupted before its stamp", remove(".venv/.stamp"), HARNESS_STEPS),
    ("sad: the stack's was interrupted", remove("stack/.venv/.stamp"), STACK_STEPS),
    ("sad: an empty stamp", write("stack/.venv/.stamp", ""), STACK_STEPS),
    ("sad: a stamp of nonsense", write("stack/.venv/.stamp", "lock 12\n"), STACK_STEPS),
    ("sad: the interpreter is gone", remove(".venv/bin/python"), HARNESS_STEPS),
    (
        "sad: the interpreter no longer runs",
        write("stack/.venv/bin/python", "#!/bin/sh\nexit 1\n"),
        STACK_STEPS,
    ),
    ("sad: pip is gone", remove("stack/.venv/bin/pip"), STACK_STEPS),
    ("sad: the checkout was moved", moved, ALL_STEPS),
    ("sad: it was moved to the end of its path", moved_to_the_end_of_its_path, ALL_STEPS),
]


@pytest.mark.parametrize(
    ("change", "expected"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES]
)
def test_only_what_changed_is_built_again(
    checkout: Checkout, change: Callable[[Checkout], None], expected: list[str]
) -> None:
    checkout.python("first/python3.12", "3.12.1")
    first = checkout.run("--skip-servers")
    assert (first.returncode, checkout.steps()) == (0, ALL_STEPS), first.stderr

    change(checkout)
    second = checkout.run("--skip-servers")
    assert (second.returncode, checkout.steps()) == (0, expected), second.stderr
    for folder in (".venv", "stack/.venv"):
        assert "python 3.12.1 " in (checkout.root / folder / ".stamp").read_text()

    third = checkout.run("--skip-servers")
    assert (third.returncode, checkout.steps()) == (0, []), third.stderr
    assert re.fullmatch(
        r"set-up: \.venv and stack/\.venv are ready\nset-up: took \d+\.\d\d s\n", third.stderr
    )


def test_only_the_python_asked_for_replaces_the_one_there(checkout: Checkout) -> None:
    checkout.python("first/python3.13", "3.13.0")
    older = checkout.python("elsewhere/python", "3.11.7")
    checkout.run("--skip-servers")
    checkout.steps()
    asked = checkout.run("--skip-servers", HARNESS_PYTHON=str(older))
    assert checkout.steps() == ALL_STEPS
    assert "creating .venv with Python 3.11.7: it is to have another Python" in asked.stderr
    for again in ({"HARNESS_PYTHON": str(older)}, {}):
        checkout.run("--skip-servers", **again)
        assert checkout.steps() == []


def test_when_the_python_of_the_set_up_is_gone_the_newest_takes_over(checkout: Checkout) -> None:
    only = checkout.python("first/python3.12", "3.12.1")
    checkout.run("--skip-servers")
    checkout.steps()
    only.unlink()
    (checkout.root / ".venv/bin/python").unlink()
    checkout.python("first/python3.11", "3.11.2")
    run = checkout.run("--skip-servers")
    assert checkout.steps() == ALL_STEPS
    assert "creating .venv with Python 3.11.2: its Python no longer runs" in run.stderr


def test_packages_out_of_reach_are_one_message_and_the_next_run_starts_over(
    checkout: Checkout,
) -> None:
    checkout.python("first/python3", "3.13.0")
    run = checkout.run("--skip-servers", PIP_FAILS="No matching distribution found for rich")
    assert run.returncode == 3
    assert "could not install requirements.lock into .venv: ERROR: No matching" in run.stderr
    assert "run again: make setup" in run.stderr
    assert not (checkout.root / ".venv/.stamp").exists()
    checkout.steps()
    assert checkout.run("--skip-servers").returncode == 0
    assert checkout.steps() == ALL_STEPS


INSTALLERS = [
    ("uv where it works", {}, ["uv"] * 3, 0),
    ("sad: uv is a shim that fails", {"UV_BROKEN": "127"}, ["pip"] * 3, 0),
    ("sad: uv fails at the work", {"UV_EXIT": "2"}, ["uv", "pip", "pip", "pip"], 0),
    ("sad: uv and pip fail", {"UV_EXIT": "2", "PIP_FAILS": "no route"}, ["uv", "pip"], 3),
]


@pytest.mark.parametrize(
    ("environment", "tools", "code"),
    [row[1:] for row in INSTALLERS],
    ids=[row[0] for row in INSTALLERS],
)
def test_uv_is_used_where_it_works(
    checkout: Checkout, environment: dict[str, str], tools: list[str], code: int
) -> None:
    checkout.python("first/python3", "3.13.0")
    checkout.uv()
    run = checkout.run("--skip-servers", **environment)
    assert run.returncode == code, run.stderr
    assert [step.split()[0] for step in checkout.steps()] == tools


def test_the_servers_are_left_to_doctor_each_time(checkout: Checkout) -> None:
    checkout.python("first/python3", "3.13.0")
    doctor = "harness doctor --fix --quiet"
    assert checkout.run().returncode == 0
    assert checkout.steps() == [*ALL_STEPS, doctor]
    assert checkout.run().returncode == 0
    assert checkout.steps() == [doctor]
    failed = checkout.run(DOCTOR_EXIT="3")
    assert failed.returncode == 3
    assert "servers of the embedded stack are not complete" in failed.stderr
    assert "ready" not in failed.stderr


def test_two_set_ups_at_once_do_the_work_once(checkout: Checkout) -> None:
    checkout.python("first/python3", "3.13.0")
    processes = [
        subprocess.Popen(
            ["scripts/bootstrap", "--skip-servers"],
            cwd=checkout.root,
            env=checkout.environment(),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(3)
    ]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]
    assert checkout.steps() == ALL_STEPS


# --- make and continuous integration --------------------------------------------------------------


def plain_environment() -> dict[str, str]:
    """Without what an outer `make test` hands down."""
    mine = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "PYTEST_ARGS", "DEMO_ARGS", "CI")
    return {name: value for name, value in os.environ.items() if name not in mine}


def make(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments],
        cwd=cwd,
        env=plain_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def offered() -> set[str]:
    return set(re.findall(r"^  make ([\w-]+) +\S", make().stdout, re.MULTILINE))


def test_make_alone_lists_the_commands() -> None:
    assert make().stdout == make("help").stdout
    commands = {"help", "demo", "test", "check", "bench", "lock", "setup", "clean"}
    assert offered() == commands | {"compose-demo", "scenario-matrix", "image"}


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_every_make_command_in_the_pages_exists(page: str) -> None:
    text = (ROOT / page).read_text()
    code = re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL)
    named = {word for part in code for word in re.findall(r"\bmake ([a-z]+(?:-[a-z]+)*)", part)}
    assert named - offered() == set()


RECIPES = [
    (
        ["test", "PYTEST_ARGS=-k recovery"],
        [
            "scripts/bootstrap",
            "ruff check .",
            "ruff format --check .",
            "mypy",
            "pytest -k recovery",
        ],
    ),
    (["demo", "DEMO_ARGS=--defect leak"], ["scripts/bootstrap", "harness demo --defect leak"]),
    (["check"], ["scripts/bootstrap --skip-servers", "ruff check", "ruff format --check", "mypy"]),
    (["bench"], ["scripts/bootstrap", "benchmarks/[!_]*.py"]),
    (
        ["scenario-matrix", "MATRIX_ARGS=--list"],
        ["scripts/bootstrap", "-m scripts.scenario_matrix --list"],
    ),
    (["setup"], ["scripts/bootstrap"]),
    (["clean"], ["rm -rf .venv stack/.venv .cache"]),
]


@pytest.mark.parametrize(("arguments", "expected"), RECIPES, ids=[row[0][0] for row in RECIPES])
def test_each_command_does_its_steps_in_order(arguments: list[str], expected: list[str]) -> None:
    lines = make("-n", *arguments).stdout
    places = [lines.find(text) for text in expected]
    assert -1 not in places, lines
    assert places == sorted(places)
    assert lines.count("scripts/bootstrap") <= 1


def test_the_locks_hold_hashes_and_no_addresses_when_written_anew() -> None:
    lines = [line for line in make("-n", "lock").stdout.splitlines() if "pip compile" in line]
    sources = ["pyproject.toml", "pyproject.toml", "stack/requirements.in"]
    assert [line.split()[-1] for line in lines] == sources
    assert "-c requirements.lock -o requirements.image.lock" in lines[1]
    for line in lines:
        assert "--universal --generate-hashes --python-version 3.11" in line
        assert "emit-index" not in line


@pytest.fixture
def workshop(tmp_path: Path) -> Path:
    """A folder with the Makefile, a set-up that does nothing, and this Python."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    program(tmp_path / "scripts/bootstrap", "#!/bin/sh\n")
    program(tmp_path / ".venv/bin/python", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    return tmp_path


@pytest.mark.parametrize("code", range(7))
def test_make_demo_fails_with_the_verdict_and_names_its_exit_code(
    workshop: Path, code: int
) -> None:
    program(workshop / ".venv/bin/harness", f"#!/bin/sh\nexit {code}\n")
    run = make("demo", cwd=workshop)
    assert (run.returncode == 0) == (code == 0)
    assert (f"Error {code}" in run.stderr) == (code != 0)


def test_make_demo_stops_when_the_set_up_fails(workshop: Path) -> None:
    program(workshop / "scripts/bootstrap", "#!/bin/sh\nexit 3\n")
    program(workshop / ".venv/bin/harness", "#!/bin/sh\necho demo was started\n")
    run = make("demo", cwd=workshop)
    assert run.returncode != 0
    assert "demo was started" not in run.stdout


@pytest.mark.parametrize(
    ("number", "whole_group"),
    [(signal.SIGINT, True), (signal.SIGTERM, False)],
    ids=["Ctrl-C at the terminal", "SIGTERM to make"],
)
def test_make_demo_waits_while_the_harness_heals(
    workshop: Path, number: signal.Signals, whole_group: bool
) -> None:
    program(
        workshop / ".venv/bin/harness",
        "#!/bin/sh\ntrap 'sleep 0.5; : >healed; exit 5' INT TERM\n: >started\n"
        "for i in $(seq 100); do sleep 0.1; done\n",
    )
    # Tests that run in the background would hand on that Ctrl-C is ignored.
    heard = "import os, signal; signal.signal(signal.SIGINT, signal.SIG_DFL); "
    process = subprocess.Popen(
        [sys.executable, "-c", heard + "os.execvp('make', ['make', 'demo'])"],
        cwd=workshop,
        env=plain_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not (workshop / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    (os.killpg if whole_group else os.kill)(process.pid, number)
    assert process.wait(timeout=120) != 0
    assert (workshop / "healed").exists()


BENCHMARKS = [
    ("all of them", {"a": 0, "b": 0}, [], 0, ["a", "b"]),
    ("one by its name", {"a": 0, "b": 0}, ["BENCH=b"], 0, ["b"]),
    ("what begins with an underscore is no benchmark", {"a": 0, "_c": 1}, [], 0, ["a"]),
    ("sad: the first fails, the second still runs", {"a": 1, "b": 0}, [], 2, ["a", "b"]),
    ("sad: the last fails", {"a": 0, "b": 4}, [], 2, ["a", "b"]),
    ("sad: there is none of that name", {"a": 0}, ["BENCH=z"], 2, []),
    ("sad: there are none", {}, [], 2, []),
]


@pytest.mark.parametrize(
    ("files", "arguments", "code", "ran"),
    [row[1:] for row in BENCHMARKS],
    ids=[row[0] for row in BENCHMARKS],
)
def test_benchmarks_run_one_after_the_other(
    workshop: Path, files: dict[str, int], arguments: list[str], code: int, ran: list[str]
) -> None:
    for name, status in files.items():
        program(
            workshop / f"benchmarks/{name}.py", f"print('ran {name}')\nraise SystemExit({status})"
        )
    run = make("bench", *arguments, cwd=workshop)
    assert run.returncode == code
    assert re.findall(r"^ran (\w+)", run.stdout, re.MULTILINE) == ran


ANSWERS = "#!/bin/sh\nexit 0\n"
SILENT = "#!/bin/sh\nexit 1\n"
RIG = "#!/bin/sh\nprintf 'export MADE_BY=%s\\n' \"$0\"\n"
BROKEN_RIG = "#!/bin/sh\necho no kernel module for it >&2\nexit 1\n"
ENGINE_MISSING, CLUSTER_MISSING = "NOT THERE: a container engine", "NOT THERE: a Kubernetes cluster"

CONTINUOUS = [
    ("an engine and a cluster answer", 0, ANSWERS, BROKEN_RIG, ANSWERS, BROKEN_RIG, []),
    ("they answer, the tests fail", 2, ANSWERS, BROKEN_RIG, ANSWERS, BROKEN_RIG, []),
    ("nothing and no rig", 0, SILENT, "", SILENT, "", [ENGINE_MISSING, CLUSTER_MISSING]),
    ("rigs that come up", 0, SILENT, RIG, SILENT, RIG, ["attempt 1"]),
    ("sad: an engine's rig that does not", 0, SILENT, BROKEN_RIG, ANSWERS, "", [ENGINE_MISSING]),
    ("sad: nor do the tests", 2, SILENT, BROKEN_RIG, ANSWERS, "", [ENGINE_MISSING]),
    ("sad: a cluster's rig that does not", 0, ANSWERS, "", SILENT, BROKEN_RIG, [CLUSTER_MISSING]),
]


@pytest.mark.parametrize(
    ("code", "docker", "docker_rig", "kubectl", "kube_rig", "said"),
    [row[1:] for row in CONTINUOUS],
    ids=[r[0] for r in CONTINUOUS],
)
def test_continuous_integration_runs_make_test_from_the_root(
    tmp_path: Path,
    code: int,
    docker: str,
    docker_rig: str,
    kubectl: str,
    kube_rig: str,
    said: list[str],
) -> None:
    program(
        tmp_path / "make",
        "#!/bin/sh\n"
        'echo "$PWD: make $*, CI=$CI, stdin=$(cat)"\n'
        'echo "cluster for tests: ${HARNESS_TEST_CLUSTER-}"\n'
        f"exit {code}\n",
    )
    # The engine that a rig brings up has to build: it answers nothing else here.
    answers = '#!/bin/sh\n[ "$1" = build ] && exit 0\n' + docker.partition("\n")[2]
    program(tmp_path / "docker", answers)
    program(tmp_path / "kubectl", kubectl)
    rigs = {"docker-rig": docker_rig, "kube-rig": kube_rig}
    for folder, rig in rigs.items():
        (tmp_path / folder).mkdir()
        for name in ("up", "images", "load-image", "down") if rig else ():
            program(tmp_path / folder / name, rig)
    run = subprocess.run(
        [ROOT / ".ci/run"],
        cwd=tmp_path,
        env={
            **plain_environment(),
            "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
            "HARNESS_DOCKER_RIG": str(tmp_path / "docker-rig"),
            "HARNESS_KUBE_RIG": str(tmp_path / "kube-rig"),
        },
        input="never to be read",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    again = kubectl == SILENT and kube_rig == RIG
    first = f"{ROOT}: make test, CI=true, stdin=\ncluster for tests: \n"
    second = (
        f"{ROOT}: make test TEST_WORKERS=0 PYTEST_ARGS=tests/kubernetes, CI=true, stdin=\n"
        "cluster for tests: 1\n"
    )
    assert run.stdout == first + (second if again else "")
    assert run.returncode == code
    for words in (*said, "ci: make test\n"):
        assert words in run.stderr
    missing = [line for line in run.stderr.splitlines() if "NOT THERE" in line]
    assert len(missing) == len([words for words in said if "NOT THERE" in words])
    assert run.stderr.splitlines()[-len(missing) :] == missing or not missing
    broken = BROKEN_RIG in (docker_rig, kube_rig) and SILENT in (docker, kubectl)
    assert ("no kernel module" in run.stderr) is broken
    assert ("attempt 2" in run.stderr) is broken


def test_the_workflow_runs_the_same_and_trusts_nothing_that_moves() -> None:
    text = (ROOT / ".github/workflows/test.yml").read_text()
    assert re.findall(r"run: (.*)", text) == ["make test", "make demo"]
    assert 'python: ["3.11", "3.12", "3.13"]' in text
    assert re.search(r"^permissions:\n  contents: read\n\n", text, re.MULTILINE)
    actions = re.findall(r"uses: (.*)", text)
    assert actions
    for action in actions:
        assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v[\d.]+", action)


@pytest.mark.parametrize("name", ["scripts/bootstrap", ".ci/run"])
def test_scripts_can_be_started_and_are_valid(name: str) -> None:
    assert os.access(ROOT / name, os.X_OK)
    assert (ROOT / name).read_text().startswith("#!/usr/bin/env bash\n")
    assert subprocess.run(["bash", "-n", ROOT / name], check=False).returncode == 0


# --- what is committed ----------------------------------------------------------------------------

SHA = "--hash=sha256:" + 64 * "a"


def lock_problems(text: str) -> Iterator[str]:
    """Whatever could be installed from this lock without being checked against a hash."""
    joined = re.sub(r"\\\n\s*", " ", text)
    for line in joined.splitlines():
        entry = line.split(" #")[0].strip()
        if not entry or entry.startswith("#"):
            continue
        name = entry.split()[0]
        head, *hashes = re.split(r"\s+(?=--hash=)", entry)
        if entry.startswith("-"):
            yield f"{name}: an option"
        elif "://" in entry or " @ " in entry:
            yield f"{name}: an address"
        elif not re.fullmatch(r"[A-Za-z0-9._-]+(\[[^]]+\])?==[^\s;*]+( ?; .+)?", head):
            yield f"{name}: not one exact version"
        elif not hashes:
            yield f"{name}: no hash"
        elif not all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", one) for one in hashes):
            yield f"{name}: not a whole sha256"


LOCKS = [
    ("one entry", f"rich==14.0 {SHA}", []),
    ("two hashes over lines", f"rich==14.0 \\\n    {SHA} \\\n    {SHA}\n", []),
    ("a marker", f"colorama==0.4 ; sys_platform == 'win32' \\\n    {SHA}\n", []),
    ("an extra", f"uvicorn[standard]==0.4 {SHA}", []),
    ("a comment", "# nothing\n", []),
    ("sad: no hash", "rich==14.0\n", ["rich==14.0: no hash"]),
    (
        "sad: one of two without",
        f"a==1 {SHA}\nb==2 ; python_full_version < '3.12'",
        ["b==2: no hash"],
    ),
    ("sad: half a hash", f"rich==14.0 {SHA[:-8]}", ["rich==14.0: not a whole sha256"]),
    ("sad: a weak hash", "rich==14.0 --hash=md5:aaaa", ["rich==14.0: not a whole sha256"]),
    ("sad: a range", f"rich>=14.0 {SHA}", ["rich>=14.0: not one exact version"]),
    ("sad: any patch", f"rich==14.* {SHA}", ["rich==14.*: not one exact version"]),
    ("sad: an address", f"rich @ https://example.com/r.whl {SHA}", ["rich: an address"]),
    ("sad: an index", "--index-url https://example.com/simple", ["--index-url: an option"]),
    ("sad: the project itself", "-e .", ["-e: an option"]),
]


@pytest.mark.parametrize(
    ("text", "expected"), [row[1:] for row in LOCKS], ids=[row[0] for row in LOCKS]
)
def test_an_unchecked_entry_of_a_lock_is_found(text: str, expected: list[str]) -> None:
    assert list(lock_problems(text)) == expected


LOCK_FILES = ["requirements.lock", "requirements.image.lock", "stack/requirements.lock"]


@pytest.mark.parametrize("name", LOCK_FILES)
def test_every_entry_of_the_locks_has_a_hash_and_none_an_address(name: str) -> None:
    text = (ROOT / name).read_text()
    assert text.count("==") > 10
    assert list(lock_problems(text)) == []


def test_the_locks_hold_what_is_asked_for() -> None:
    def names(lines: list[str]) -> set[str]:
        found = (re.match(r"[A-Za-z0-9._-]+", line) for line in lines)
        return {re.sub(r"[-_.]+", "-", match[0]).lower() for match in found if match}

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"].values()
    asked = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    asked += [line for extra in extras for line in extra]
    assert names(asked) - names((ROOT / "requirements.lock").read_text().splitlines()) == set()
    stack = (ROOT / "stack/requirements.in").read_text().splitlines()
    assert (
        names(stack) - names((ROOT / "stack/requirements.lock").read_text().splitlines()) == set()
    )


# Put together here, so that this file does not hold what it looks for.
HOSTS = [
    ".".join(parts)
    for parts in [
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("yarnpkg", "com"),
        ("proxy", "golang", "org"),
        ("sum", "golang", "org"),
        ("repo1", "maven", "org"),
        ("repo", "maven", "apache", "org"),
        ("crates", "io"),
        ("rubygems", "org"),
        ("deb", "debian", "org"),
        ("archive", "ubuntu", "com"),
        ("conda", "anaconda", "org"),
    ]
]
SOMEONES_FOLDER = re.compile(r"(?<![\w.~-])/(?:" + r"root|work|home/[a-z]\w*|Users/\w+)/[\w.]")


def leaks(text: str) -> list[str]:
    """Registry hosts and folders of somebody's machine that a text names."""
    found = [host for host in HOSTS if re.search(rf"\b{re.escape(host)}\b", text)]
    return found + [match[0] for match in SOMEONES_FOLDER.finditer(text)]


SLASH = "/"
LEAKS = [
    ("a relative path", "see work/main and docs/root/x", 0),
    ("a path of the system", "/usr/bin/env, /tmp/x, /bin/sh, /var/lib/home/x", 0),
    ("a route of a service", "GET /recommendations/7, GET /workloads/1", 0),
    ("the home folder by its sign", "~/.pyenv/versions and ~/work/x", 0),
    ("an ordinary address", "https://prometheus.io/docs and http://127.0.0.1:9090/", 0),
    ("sad: a package index", f"https://{HOSTS[0]}/simple", 1),
    ("sad: its files", f"files.{HOSTS[1]}", 1),
    ("sad: a module proxy", f"GOPROXY=https://{HOSTS[4]},direct", 1),
    ("sad: the superuser's home", f"cd {SLASH}root{SLASH}.cache", 1),
    ("sad: a user's home", f'open("{SLASH}home{SLASH}ann{SLASH}x")', 1),
    ("sad: a user's home on macOS", f"={SLASH}Users{SLASH}ann{SLASH}x", 1),
    ("sad: a work folder", f"file:{SLASH}{SLASH}{SLASH}work{SLASH}main", 1),
]


@pytest.mark.parametrize(
    ("text", "count"), [row[1:] for row in LEAKS], ids=[row[0] for row in LEAKS]
)
def test_a_leak_is_found(text: str, count: int) -> None:
    assert len(leaks(text)) == count


def test_no_committed_file_names_a_registry_or_somebodys_folder() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: nothing tells committed files from others")
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    found = {}
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if name != "LICENSE" and path.is_file():
            found[name] = leaks(path.read_text(encoding="utf-8", errors="ignore"))
    assert found
    assert {name: what for name, what in found.items() if what} == {}
