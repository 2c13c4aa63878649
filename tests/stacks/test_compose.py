"""Attaching to a compose project, and telling Compose to bring one up, without an engine."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import docker_engine
from harness.containers import Container
from harness.errors import FaultError, InvalidError, StackError
from harness.fakes.engine import FakeEngine
from harness.stacks import compose_command, registry
from harness.stacks.compose import ComposeStack

COMPOSE = """#!/bin/sh
echo "$0 $*" >> {log}
{body}
"""


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, own_state: Path) -> FakeEngine:
    found = FakeEngine()
    monkeypatch.setattr(docker_engine, "connect", lambda *_: found)
    return found


@pytest.fixture
def programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Callable[[], list[str]]]:
    """Puts programs of the given bodies on an otherwise empty PATH; their calls are noted."""

    def make(**bodies: str) -> Callable[[], list[str]]:
        folder, log = tmp_path / "bin", tmp_path / "calls"
        folder.mkdir()
        for name, body in bodies.items():
            path = folder / name.replace("_", "-")
            path.write_text(COMPOSE.format(log=log, body=body))
            path.chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))
        compose_command.command.cache_clear()
        calls = f"{folder}{os.sep}"
        return lambda: log.read_text().replace(calls, "").splitlines() if log.exists() else []

    return make


@pytest.fixture(autouse=True)
def forgotten() -> None:
    compose_command.command.cache_clear()


def running(engine: FakeEngine, project: str = "shop") -> None:
    engine.held["1"] = Container(
        id="1",
        name="shop-api-1",
        image="x",
        project=project,
        service="api",
        state="running",
        started_at="t",
    )


def quiet(_: str) -> None:
    """Nobody watches."""


@pytest.mark.parametrize("name", ["", "No", "a b", "../up", "-x", "a/b"])
def test_what_is_no_project_name_is_refused(engine: FakeEngine, name: str) -> None:
    with pytest.raises(InvalidError, match="is no name of a compose project"):
        ComposeStack(name)


def test_a_running_project_is_attached_to_and_forgotten_again(engine: FakeEngine) -> None:
    running(engine)
    stack = ComposeStack("shop")
    found = stack.up(quiet)
    assert registry.load(stack.id) == found
    assert registry.select() == found
    assert (stack.down(), stack.down()) == (True, False)
    assert engine.deeds == []
    with pytest.raises(InvalidError, match="is not running"):
        registry.load(stack.id)


def test_a_project_whose_containers_are_gone_runs_no_more(engine: FakeEngine) -> None:
    running(engine)
    stack = ComposeStack("shop")
    stack.up(quiet)
    engine.remove("1")
    with pytest.raises(InvalidError, match=r"its descriptor .* is stale, and nobody answers"):
        registry.load(stack.id)


def test_another_engine_has_another_stack(engine: FakeEngine) -> None:
    one = ComposeStack("shop").id
    engine.id = "ANOTHER"
    assert ComposeStack("shop").id != one


def test_a_project_is_brought_up_and_only_then_taken_down(
    engine: FakeEngine, programs: Callable[..., Callable[[], list[str]]], tmp_path: Path
) -> None:
    calls = programs(docker="exit 0")
    file = tmp_path / "compose.yml"
    file.touch()
    stack = ComposeStack("shop", file)
    with pytest.raises(InvalidError, match="No container of a compose project 'shop' runs"):
        stack.up(quiet)  # it says that it is up, and the engine has nothing
    running(engine)
    stack.up(quiet)
    stack.down()
    stack.down()
    told = f"docker compose --project-name shop --file {file}"
    assert calls() == [
        "docker compose version --short",
        f"{told} up --detach --wait",
        f"{told} down --remove-orphans --timeout 2",
    ]


def test_defects_are_planted_in_a_project_that_is_brought_up_and_its_data_go_with_it(
    engine: FakeEngine, programs: Callable[..., Callable[[], list[str]]], tmp_path: Path
) -> None:
    said = tmp_path / "said"
    calls = programs(docker=f'echo "$DEFECTS" >> {said}')
    file = tmp_path / "compose.yml"
    file.touch()
    stack = ComposeStack("shop", file)
    with pytest.raises(InvalidError, match="No container of a compose project 'shop' runs"):
        stack.up_with(("acks-1", "no-fallback"), quiet)
    running(engine)
    with pytest.raises(InvalidError, match="runs already, and its defects cannot be changed"):
        stack.up_with(("acks-1",), quiet)
    stack.down(volumes=True)
    assert "acks-1,no-fallback" in said.read_text().splitlines()
    assert calls()[-1].endswith("down --remove-orphans --timeout 2 --volumes")


def test_the_data_of_a_project_that_was_found_running_stay(
    engine: FakeEngine, programs: Callable[..., Callable[[], list[str]]]
) -> None:
    calls = programs(docker="exit 0")
    running(engine)
    stack = ComposeStack("shop")
    stack.up(quiet)
    assert stack.down(volumes=True)
    assert calls() == []


def test_a_project_that_does_not_come_up_is_taken_down(
    engine: FakeEngine, programs: Callable[..., Callable[[], list[str]]], tmp_path: Path
) -> None:
    calls = programs(docker='case "$*" in *" up "*) echo no space >&2; exit 1;; esac')
    file = tmp_path / "compose.yml"
    file.touch()
    with pytest.raises(StackError, match=r"up --detach --wait` failed:\nno space"):
        ComposeStack("shop", file).up(quiet)
    assert [call.split()[5] if len(call.split()) > 5 else "" for call in calls()][1:] == [
        str(file),
        str(file),
    ]
    assert " down " in calls()[-1]


def test_the_older_compose_is_taken_where_the_newer_is_missing(
    programs: Callable[..., Callable[[], list[str]]], tmp_path: Path
) -> None:
    calls = programs(docker="exit 1", docker_compose="exit 0")
    compose_command.up("shop", tmp_path / "f.yml", {"DEFECTS": "acks-1"})
    assert calls()[-1] == (
        f"docker-compose --project-name shop --file {tmp_path / 'f.yml'} up --detach"
    )


def test_without_compose_nothing_is_brought_up(
    engine: FakeEngine, programs: Callable[..., Callable[[], list[str]]], tmp_path: Path
) -> None:
    programs()
    with pytest.raises(InvalidError, match="neither `docker compose` nor `docker-compose`"):
        compose_command.command()
    with pytest.raises(InvalidError, match="There is no compose file"):
        ComposeStack("shop", tmp_path / "none.yml").up(quiet)


def test_an_engine_that_is_not_there_is_told_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(FaultError, match=r"none.sock: .* Start Docker, or set DOCKER"):
        docker_engine.connect()
    monkeypatch.delenv("DOCKER_HOST")
    monkeypatch.setenv("DOCKER_CONTEXT", "nobody-has-this")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with pytest.raises(InvalidError, match="context"):
        docker_engine.connect()
