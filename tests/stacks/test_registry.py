"""Finding stacks by their descriptors; a small double answers for the supervisor."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from supervisor_double import supervisor_that_says

from harness.descriptor import StackDescriptor, dump
from harness.errors import InvalidError
from harness.stacks import registry

Make = Callable[..., StackDescriptor]


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("HARNESS_STACK", raising=False)
    return tmp_path / "harness" / "stacks"


@pytest.fixture
def make(state: Path, tmp_path: Path) -> Iterator[Make]:
    """Writes the descriptor of a stack; its supervisor answers when ``alive``."""
    with ExitStack() as supervisors:

        def write(name: str, alive: bool = True, driver: str = "local") -> StackDescriptor:
            address = tmp_path / f"{name}.sock"
            if alive:
                answer = b'{"ok": true, "identity": "1:2"}\n'
                supervisors.enter_context(supervisor_that_says(address, answer))
            control = str(address) if driver == "local" else ""
            stack = StackDescriptor(id=name, driver=driver, base_url="http://x", control=control)
            (state / name).mkdir(parents=True)
            (state / name / "stack.json").write_text(dump(stack))
            return stack

        yield write


def test_the_id_of_a_checkout_is_that_of_its_real_path(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    stack_id = registry.stack_id_local(tmp_path / "link")
    assert stack_id == registry.stack_id_local(tmp_path / "real")
    assert stack_id != registry.stack_id_local(tmp_path)
    assert stack_id.startswith("local-")
    assert len(stack_id) == len("local-") + 12


def test_a_running_stack_is_loaded_by_its_id(make: Make) -> None:
    stack = make("one")
    assert registry.load("one") == stack


def test_a_stack_of_another_driver_needs_no_supervisor(make: Make) -> None:
    assert registry.load(make("k8s", alive=False, driver="kubernetes").id).driver == "kubernetes"


def test_running_lists_the_living_and_leaves_out_the_rest(make: Make, state: Path) -> None:
    make("b")
    make("a")
    make("stale", alive=False)
    (state / "broken").mkdir()
    (state / "broken" / "stack.json").write_text("{")
    (state / "empty").mkdir()
    assert [stack.id for stack in registry.running()] == ["a", "b"]


def test_nothing_runs_where_nothing_ever_ran() -> None:
    assert registry.running() == []


def test_the_only_running_stack_is_meant(make: Make) -> None:
    make("stale", alive=False)
    stack = make("one")
    assert registry.select() == stack


def test_a_stack_is_chosen_by_id_or_by_path(make: Make, state: Path) -> None:
    make("one")
    two = make("two")
    assert registry.select("two") == two
    assert registry.select(str(state / "two" / "stack.json")) == two


def test_the_environment_chooses_and_an_argument_overrules_it(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = make("one"), make("two")
    monkeypatch.setenv("HARNESS_STACK", "one")
    assert registry.select() == one
    assert registry.select("two") == two


def test_no_running_stack_is_refused_with_what_to_do() -> None:
    with pytest.raises(InvalidError, match=r"^No stack is running\. Start one with"):
        registry.select()


def test_several_running_stacks_are_refused_with_their_names(make: Make) -> None:
    make("one")
    make("two")
    with pytest.raises(InvalidError, match="Several stacks are running: one, two"):
        registry.select()


def test_an_unknown_id_is_refused_with_the_known_ones(make: Make) -> None:
    make("one")
    with pytest.raises(InvalidError, match="'nope' is not running; known are one"):
        registry.select("nope")


def test_a_stale_descriptor_is_reported_as_not_running(make: Make) -> None:
    make("stale", alive=False)
    with pytest.raises(InvalidError, match=r"is not running: its descriptor .* is stale"):
        registry.load("stale")


def test_a_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match=r"The stack at .*gone\.json is not running"):
        registry.select(str(tmp_path / "gone.json"))


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"{}"], ids=["cut", "binary", "empty"])
def test_a_descriptor_that_cannot_be_read_is_refused(state: Path, content: bytes) -> None:
    (state / "bad").mkdir(parents=True)
    (state / "bad" / "stack.json").write_bytes(content)
    with pytest.raises(InvalidError):
        registry.load("bad")
