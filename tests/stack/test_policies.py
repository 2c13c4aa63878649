"""The policy of the control plane, here and in an Open Policy Agent: the same table for both."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from policy_cases import CASES, WELL, document
from service_process import ask, free_port
from services.bodies import BodyError
from services.policies import Question, Verdict, evaluate

from harness.files import project_root
from harness.stacks.provision import locate
from tests.real import eventually

in_words = pytest.mark.parametrize(
    ("changes", "reasons"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)


@in_words
def test_the_policy_in_python(changes: dict[str, Any], reasons: tuple[str, ...]) -> None:
    assert evaluate(document(changes)) == Verdict(not reasons, reasons)


@pytest.fixture(scope="module")
def opa() -> Iterator[int]:
    """The port of an agent with our policy."""
    server = locate("opa")
    if server is None:
        pytest.skip("no opa is here: `harness doctor --fix --profile control` fetches it")
    port = free_port()
    policy = project_root() / "stack" / "opa" / "control.rego"
    address = f"127.0.0.1:{port}"
    argv = [str(server.path), "run", "--server", "--addr", address, "--log-level", "error"]
    with subprocess.Popen([*argv, "--skip-version-check", str(policy)]) as process:
        try:
            eventually(lambda: process.poll() is not None or is_well(port), "the agent answers")
            yield port
        finally:
            process.kill()


def is_well(port: int) -> bool:
    try:
        return ask(port, "/health").status == 200
    except OSError:
        return False


@pytest.mark.stack
@in_words
def test_the_policy_in_an_open_policy_agent(
    opa: int, changes: dict[str, Any], reasons: tuple[str, ...]
) -> None:
    answer = ask(opa, "/v1/data/control/verdict", {"input": document(changes)})
    assert json.loads(answer.body) == {"result": {"allow": not reasons, "reasons": [*reasons]}}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"action": "explode"}, "must be one of scale, restart, delete"),
        ({"action": None}, "`action` must be a text"),
        ({"role": "root"}, "must be one of viewer, operator, admin"),
        ({"workload": ""}, "`workload` must be a text"),
        ({"replicas": -1}, "must be from 0"),
        ({"replicas": None}, "`replicas` says how many"),
        ({"requester": None}, "`requester` must be a text"),
        ({"hour": 24}, "must be from 0 to 23"),
        ({"hour": None}, "`hour` must be a whole number"),
        ({"emergency": "yes"}, "must be true or false"),
    ],
    ids=[
        "an unknown action",
        "no action",
        "an unknown role",
        "no workload",
        "fewer than none",
        "a scale to no number",
        "nobody asks",
        "the hour after the last",
        "no hour",
        "perhaps an emergency",
    ],
)
def test_what_is_no_question_is_refused_with_the_reason(change: dict[str, Any], words: str) -> None:
    body = {name: value for name, value in {**WELL, **change}.items() if value is not None}
    with pytest.raises(BodyError, match=words):
        Question.of(body)


def test_a_client_cannot_bring_its_own_facts() -> None:
    question = Question.of({**WELL, "facts": {"frozen": False}})
    assert not hasattr(question, "facts")


def test_only_a_scale_says_how_many() -> None:
    body = {name: value for name, value in WELL.items() if name != "replicas"}
    assert Question.of({**body, "action": "restart"}).replicas == 0


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {},
        {"allow": True},
        {"allow": "true", "reasons": []},
        {"allow": True, "reasons": ["frozen"]},
        {"allow": False, "reasons": []},
        {"allow": False, "reasons": "frozen"},
    ],
    ids=[
        "nothing",
        "a list",
        "an empty one",
        "no reasons",
        "a word for true",
        "allowed, and why not",
        "denied without a reason",
        "a reason that is no list",
    ],
)
def test_what_is_no_verdict_is_never_taken_for_one(answer: object) -> None:
    with pytest.raises(TypeError):
        Verdict.of(answer)


def test_a_verdict_is_read() -> None:
    assert Verdict.of({"allow": True, "reasons": []}) == Verdict(True)
    assert Verdict.of({"allow": False, "reasons": ["b", "a"]}) == Verdict(False, ("a", "b"))
