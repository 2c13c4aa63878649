"""What `harness doctor` says of servers that are there, missing, or not needed by everybody."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from harness.cli import stacks
from harness.errors import ExitCode, StackError
from harness.stacks.fetch import OPTIONAL
from harness.stacks.provision import Server
from harness.stacks.reference.assembly import programs_of


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """A machine with what the stack needs and nothing more; yields what was looked for."""
    names: list[str] = []

    def found(name: str, *_: object) -> Server | None:
        names.append(name)
        if name in OPTIONAL:
            return None
        return Server(name=name, path=tmp_path / name, version="1.0", source="PATH")

    def provided(name: str, *_: object) -> Server:
        if server := found(name):
            return server
        raise StackError(f"The server {name} is missing.")

    monkeypatch.setattr(stacks, "locate", found)
    monkeypatch.setattr(stacks, "provide", provided)
    monkeypatch.setattr(stacks, "python_for_services", lambda: tmp_path / "python")
    return names


@pytest.mark.parametrize("fix", [False, True], ids=["looked for", "fetched in vain"])
def test_what_only_some_need_is_told_and_is_no_problem(
    asked: list[str], capsys: pytest.CaptureFixture[str], fix: bool
) -> None:
    assert stacks.doctor(profile="base", fix=fix, quiet=False) == ExitCode.PASS
    said = capsys.readouterr().out
    for name, needed_by in OPTIONAL.items():
        assert f"– {name} is not there; only {needed_by} would need it: " in said


@pytest.fixture
def without_kubernetes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Nothing of Kubernetes on this machine; yields the folder that is its PATH."""

    def version(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_what_only_kubernetes_needs_is_told_and_is_no_problem(
    asked: list[str], without_kubernetes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stacks.doctor(profile="base", fix=False, quiet=False) == ExitCode.PASS
    said = capsys.readouterr()
    assert said.err == ""
    for line in (
        "– the Python package kubernetes is not there; only the driver kubernetes would need it: "
        "get it with `pip install 'reliability-harness[kubernetes]'`",
        "– kubectl is not there; only deploying to Kubernetes would need it: see https://",
        "– kind is not there; only `harness stack up --stack kubernetes --kind` would need it: ",
    ):
        assert line in said.out


def test_what_kubernetes_needs_is_told_where_it_is(
    asked: list[str],
    without_kubernetes: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    kubectl = without_kubernetes / "kubectl"
    kubectl.touch(mode=0o755)
    monkeypatch.setattr(metadata, "version", lambda name: f"of {name}: 34.1.0")
    assert stacks.doctor(profile="base", fix=False, quiet=False) == ExitCode.PASS
    said = capsys.readouterr().out
    assert "✓ the Python package kubernetes of kubernetes: 34.1.0" in said
    assert f"✓ kubectl: {kubectl}" in said
    assert "– kind is not there" in said


def test_the_set_up_asks_only_for_what_the_stack_needs(
    asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert stacks.doctor(profile="base", fix=True, quiet=True) == ExitCode.PASS
    assert asked == list(programs_of("base"))
    assert capsys.readouterr().out == ""


def test_the_servers_of_a_profile_that_is_asked_for_are_no_matter_of_choice(
    asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert stacks.doctor(profile="orders", fix=False, quiet=False) == ExitCode.ERROR
    said = capsys.readouterr()
    for name in ("java", "kafka", "postgres", "redis-server"):
        wanted = f"✗ {name} is missing. Get it with `harness doctor --fix --profile orders`."
        assert wanted in said.err
        assert f"– {name} is not there" not in said.out
