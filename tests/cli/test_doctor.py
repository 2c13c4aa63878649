"""What `harness doctor` says of servers that are there, missing, or not needed by everybody."""

from __future__ import annotations

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
