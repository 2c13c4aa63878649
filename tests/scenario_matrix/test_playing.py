"""One cell played: what the command's end means, and what its platform gets."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from harness.files import project_root
from harness.stacks import ports
from scripts.scenario_matrix import digests as digesting
from scripts.scenario_matrix import platforms
from scripts.scenario_matrix.__main__ import CELLS, Session, _arguments, cells_of
from scripts.scenario_matrix.cells import NOT_RUN
from scripts.scenario_matrix.planning import due
from scripts.scenario_matrix.platforms import (
    HARNESS,
    CannotRun,
    Places,
    brought_up,
    call,
    port_settings,
)
from scripts.scenario_matrix.playing import Interrupted, argv, outcome, parts_of
from tests.scenario_matrix.examples import cell

MINE = Places(project="mine")
REFUSED = "a note\nharness: INVALID: stack.project means nothing\n    6 | stack:"


def ended(code: int, said: str = "harness: a last word\n") -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess([], code, "", said)


def stored(runs: Path, codes: list[str]) -> None:
    (runs / "latest").mkdir(parents=True)
    reasons = [{"code": code} for code in codes]
    (runs / "latest" / "result.json").write_text(json.dumps({"verdict": {"reasons": reasons}}))


ENDS: list[tuple[str, int, list[str] | None, tuple[str, int | None, tuple[str, ...]]]] = [
    ("a pass", 0, [], ("PASS", 0, ())),
    ("a fail", 1, ["check_failed"], ("FAIL", 1, ("check_failed",))),
    ("reasons are named once", 4, ["few", "few"], ("INCONCLUSIVE", 4, ("few",))),
    ("an error without a result", 3, None, ("ERROR", 3, ("harness: a last word",))),
    ("something is left", 6, [], ("DIRTY", 6, ())),
]


@pytest.mark.parametrize(
    ("code", "codes", "found"), [r[1:] for r in ENDS], ids=[r[0] for r in ENDS]
)
def test_the_end_of_a_run_is(
    tmp_path: Path, code: int, codes: list[str] | None, found: tuple[Any, ...]
) -> None:
    if codes is not None:
        stored(tmp_path, codes)
    assert outcome(ended(code), tmp_path)[:3] == found


def test_a_refusal_is_no_verdict_but_not_run_with_its_words(tmp_path: Path) -> None:
    assert outcome(ended(2, REFUSED), tmp_path)[:3] == (
        NOT_RUN,
        None,
        ("harness: INVALID: stack.project means nothing",),
    )


@pytest.mark.parametrize("code", [5, -9, -2, 77], ids=["aborted", "killed", "Ctrl-C", "unknown"])
def test_a_run_that_did_not_end_by_itself_is_not_kept(tmp_path: Path, code: int) -> None:
    stored(tmp_path, [])
    with pytest.raises(Interrupted):
        outcome(ended(code, ""), tmp_path)


def test_the_command_names_the_stack_that_is_up_the_profile_and_a_deadline() -> None:
    asked = argv(cell(profile="ci"), "{driver: local}", Path("runs"), 90.4)
    assert asked[3:] == [
        *("run", "scenarios/ecommerce/llm-pause.yaml", "--out", "runs"),
        *("--set", "stack={driver: local}", "--deadline", "90s", "--profile", "ci"),
    ]


def test_every_port_of_the_compose_file_is_chosen_anew() -> None:
    text = (project_root() / "docker-compose.yml").read_text()
    chosen = port_settings(text)
    assert chosen["ORDERS_WORKER_PORTS"] == "0"
    assert all(ports.is_free(int(p)) for n, p in chosen.items() if n.endswith("_PORT"))
    assert len(set(chosen.values())) == len(chosen)
    assert set(re.findall(r"127\.0\.0\.1:\$\{(\w+):", text)) == chosen.keys()


def test_without_a_cluster_nothing_is_run_on_one(tmp_path: Path) -> None:
    with (
        pytest.raises(CannotRun, match="no cluster was named: --context"),
        brought_up(project_root(), cell(driver="kubernetes"), Places(project="p"), tmp_path),
    ):
        raise AssertionError("nothing is up")


@pytest.mark.parametrize(
    ("parts", "overlay"), [("", "stack/kubernetes/base"), ("control", "stack/kubernetes/control")]
)
def test_a_cluster_gets_the_parts_with_the_defect_and_loses_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: str, overlay: str
) -> None:
    said: list[list[str]] = []

    def called(root: Path, argv: list[str], *_: object) -> subprocess.CompletedProcess[str]:
        said.append(argv[len(HARNESS) :])
        return subprocess.CompletedProcess(argv, 0, "", "")

    monkeypatch.setattr(platforms, "call", called)
    mine = cell(driver="kubernetes", defect="one-replica", parts=parts)
    with brought_up(tmp_path, mine, Places(project="p", context="c"), tmp_path) as found:
        assert found.stack == "{driver: kubernetes, context: c, namespace: shop-matrix}"
    place = ["--stack", "kubernetes", "--context", "c", "--namespace", "shop-matrix"]
    assert said == [
        ["stack", "up", *place, "--overlay", overlay, "--defect", "one-replica"],
        ["stack", "down", *place],
    ]


ENGINES = [
    ("there is no docker", "", "no container engine answers"),
    ("the engine does not answer", "#!/bin/sh\necho no daemon >&2\nexit 1\n", "no daemon"),
    ("somebody has the project", '#!/bin/sh\n[ "$1" = ps ] && echo 0123\nexit 0\n', "is not ours"),
    (
        "it does not come up",
        '#!/bin/sh\ncase "$*" in *build*) echo no such image >&2; exit 1;; esac\n',
        "did not come up: no such image",
    ),
]


@pytest.mark.parametrize(("docker", "words"), [r[1:] for r in ENGINES], ids=[r[0] for r in ENGINES])
def test_compose_is_not_run_when(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, docker: str, words: str
) -> None:
    if docker:
        program = tmp_path / "docker"
        program.write_text(docker)
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin" if docker else str(tmp_path))
    with (
        pytest.raises(CannotRun, match=words),
        brought_up(tmp_path_with_compose(tmp_path), cell(driver="compose"), MINE, tmp_path),
    ):
        raise AssertionError("nothing is up")


def tmp_path_with_compose(folder: Path) -> Path:
    (folder / "docker-compose.yml").write_text("services: {}\n")
    return folder


PATIENT = "import signal\nsignal.signal(signal.SIGINT, lambda *_: open('healed', 'w').close() or exit(5))\nprint(open('up', 'w').close())\nsignal.pause()"  # noqa: E501


def test_who_interrupts_waits_until_the_command_has_healed(tmp_path: Path) -> None:
    """A Ctrl-C while a run goes on: the run is told, and ends before this process goes on."""
    # Whoever starts the tests in the background has them ignore Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupt() -> None:
        while not (tmp_path / "up").exists():
            threading.Event().wait(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    helper = threading.Thread(target=interrupt)
    helper.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            call(tmp_path, [sys.executable, "-c", PATIENT], os.environ, 60)
    finally:
        helper.join()
        signal.signal(signal.SIGINT, before)
    assert (tmp_path / "healed").exists()


PARTS: list[tuple[str, str, dict[str, str], str]] = [
    ("the scenario's own", "{driver: local, profile: orders}", {}, "orders"),
    ("the table's, before it", "{driver: local, profile: orders}", {"parts": "full"}, "full"),
    ("the default", "{driver: local}", {}, ""),
    ("not that of another driver", "{driver: compose, project: p, profile: o}", {}, ""),
    (
        "not where compose brings it all up",
        "{driver: local, profile: o}",
        {"driver": "compose"},
        "",
    ),
]


@pytest.mark.parametrize(
    ("stack", "of", "parts"), [r[1:] for r in PARTS], ids=[r[0] for r in PARTS]
)
def test_the_part_of_the_local_stack_is(
    tmp_path: Path, stack: str, of: dict[str, str], parts: str
) -> None:
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "s.yaml").write_text(
        f"version: 1\nname: s\nstack: {stack}\nfaults: []\n"
        "load: {http: [GET /], arrivals: 1/s, timeout: 1s}\n"
        "phases: {warmup: 1s, steady: 10s, recovery: 1s, after: 1s}\n"
        "objectives: [http.errors < 1% during steady]\n"
    )
    assert parts_of(tmp_path, cell(scenario="s", **of)) == parts


def test_digests_change_with_what_the_cell_depends_on_and_with_nothing_else(tmp_path: Path) -> None:
    files = {
        "scenarios/s.yaml": "version: 1\nname: s\nstack: {driver: local}\n"
        "load: {profile: loadtests/l.py, arrivals: 1/s, timeout: 1s}\n"
        "experiment: experiments/e.json\n"
        "phases: {warmup: 1s, steady: 10s, recovery: 1s, after: 1s}\n"
        "objectives: [a.errors < 1% during steady]\n",
        "loadtests/l.py": "",
        "experiments/e.json": "{}",
        "stack/services/gateway.py": "",
        "harness/run.py": "",
        "docker-compose.yml": "",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    local, compose = (cell(scenario="s", driver=d) for d in ("local", "compose"))

    def now() -> list[dict[str, str]]:
        digesting._digest.cache_clear()
        digesting.sources.cache_clear()
        return [dict(digesting.digests(tmp_path, c)) for c in (local, compose)]

    changes = [
        ("loadtests/l.py", ["scenario"], ["scenario"]),
        ("experiments/e.json", ["scenario"], ["scenario"]),
        ("stack/services/gateway.py", ["stack"], ["stack"]),
        ("docker-compose.yml", [], ["stack"]),
        ("harness/run.py", ["harness"], ["harness"]),
        ("README.md", [], []),
        ("stack/__pycache__/gateway.pyc", [], []),
    ]
    for name, of_local, of_compose in changes:
        before = now()
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("changed")
        found = [[k for k in b if b[k] != a[k]] for b, a in zip(before, now(), strict=True)]
        assert found == [of_local, of_compose], name


def test_a_budget_too_small_starts_nothing_and_a_cell_that_cannot_run_is_never_green(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["matrix", "--budget", "0.1"])
    cells = [cell(), cell("leak", not_run="two nodes")]
    session = Session(project_root(), cells, _arguments())
    digests = {c.id: digesting.digests(project_root(), c) for c in cells}
    session.run(due(cells, {}, digests))
    said = capsys.readouterr().err
    assert "not in this budget: it takes about" in said
    assert "not run: two nodes" in said
    assert (session.met, session.unmet, session.not_run) == (0, 0, 1)


def test_the_command_lists_what_is_stale() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.scenario_matrix", "--list", "--only", "quickstart/"],
        cwd=project_root(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    wanted = {c.id for c in cells_of(project_root()) if c.scenario == "quickstart"}
    assert {line.split()[0] for line in done.stdout.splitlines()} == wanted
    assert platforms.HARNESS[1:] == ("-m", "harness")
    assert CELLS.startswith("docs/")
