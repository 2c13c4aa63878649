"""Predictions as real processes: replicas, the gateway that balances over them, and its defects."""

import json
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from llm_double import BROKEN, TOO_MANY, llm_that_sends
from service_process import Answer, ask, command, free_port, is_well, service

pytestmark = pytest.mark.stack

EVEN = [0.5] * 8
SCORED = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
DEAD = 9  # the discard port: nothing listens there


def predict(port: int, features: object = EVEN) -> Answer:
    return ask(port, "/predict", {"features": features})


def metric(port: int, line: str) -> float:
    """The value of the one sample whose name and labels match."""
    found = re.search(rf"^{line} (\S+)$", ask(port, "/metrics").body, re.MULTILINE)
    assert found is not None, line
    return float(found[1])


def calls(port: int, outcome: str) -> float:
    labels = rf'outcome="{outcome}",service="gateway",upstream="inference"'
    return metric(port, rf"upstream_calls_total\{{{labels}\}}")


def retries(port: int) -> float:
    return metric(port, r'prediction_retries_total\{service="gateway"\}')


def replicas_in(port: int) -> float:
    return metric(port, r'inference_replicas_in\{service="gateway"\}')


def until(holds: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.02)


@contextmanager
def gateway(folder: Path, *replicas: int, **extra: str) -> Iterator[int]:
    nowhere = f"http://127.0.0.1:{DEAD}"
    urls = ",".join(f"http://127.0.0.1:{port}" for port in replicas)
    settings = {"LLM_URL": nowhere, "RECOMMENDER_URL": nowhere, "INFERENCE_URLS": urls, **extra}
    with service("gateway", folder, **settings) as port:
        yield port


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(service("inference", tmp_path_factory.mktemp("replica")))
            for _ in range(2)
        )
        yield first, second


@pytest.fixture(scope="module")
def balanced(replicas: tuple[int, int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    patient = {"INFERENCE_TIMEOUT_MS": "5000"}
    with gateway(tmp_path_factory.mktemp("balanced"), *replicas, **patient) as port:
        yield port


def test_both_replicas_and_the_gateway_say_the_same(
    replicas: tuple[int, int], balanced: int
) -> None:
    answers = [json.loads(predict(port).body) for port in (*replicas, balanced, balanced)]
    assert answers == [{"score": pytest.approx(0.5018700563278687), "model": "trees-1"}] * 4


def test_other_features_and_another_model_give_another_score(
    replicas: tuple[int, int], tmp_path: Path
) -> None:
    here = json.loads(predict(replicas[0], [0.1] * 8).body)
    with service("inference", tmp_path, MODEL_SEED="2") as port:
        other = json.loads(predict(port, [0.1] * 8).body)
    scores = {here["score"], other["score"], 0.5018700563278687}
    assert len(scores) == 3
    assert all(0 <= score <= 1 for score in scores)
    assert (here["model"], other["model"]) == ("trees-1", "trees-2")


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        "text",
        {"features": 3},
        {"features": []},
        {"features": [0.5] * 7},
        {"features": [0.5] * 9},
        {"features": [0.5] * 7 + ["0.5"]},
        {"features": [0.5] * 7 + [True]},
        {"features": [0.5] * 7 + [None]},
        {"features": [0.5] * 7 + [1.01]},
        {"features": [0.5] * 7 + [-0.01]},
        {"features": [0.5] * 7 + [float("nan")]},
    ],
    ids=[
        "nothing",
        "a list",
        "a text",
        "a number as features",
        "no feature",
        "one too few",
        "one too many",
        "a text among them",
        "a boolean among them",
        "null among them",
        "above the range",
        "below the range",
        "no number",
    ],
)
def test_what_are_no_features_is_refused_and_not_asked_of_another(
    balanced: int, body: object
) -> None:
    before = retries(balanced)
    answer = ask(balanced, "/predict", body)
    assert answer.status == 400
    assert "features" in answer.body
    assert (retries(balanced), replicas_in(balanced)) == (before, 2)


def test_requests_are_spread_evenly_over_the_replicas(
    replicas: tuple[int, int], balanced: int
) -> None:
    made = r'predictions_total\{model="trees-1"\}'
    before = [metric(port, made) for port in replicas]
    for _ in range(20):
        assert predict(balanced).status == 200
    grown = [metric(port, made) - b for port, b in zip(replicas, before, strict=True)]
    assert grown == [10, 10]


def test_a_prediction_costs_cpu_seconds(replicas: tuple[int, int]) -> None:
    spent = r'prediction_cpu_seconds_total\{model="trees-1"\}'
    before = metric(replicas[0], spent)
    predict(replicas[0])
    assert 0 < metric(replicas[0], spent) - before < 1


def test_drift_is_seen_when_features_move(tmp_path: Path) -> None:
    """Feature 0 as in training, 1 all from the top bin, 2 always the highest value."""
    with service("inference", tmp_path) as port:

        def index(feature: int) -> float:
            labels = rf'feature="{feature}",model="trees-1"'
            return metric(port, rf"feature_drift_index\{{{labels}\}}")

        def ask_with(numbers: range) -> None:
            for i in numbers:
                predict(port, [(i * 37 % 100) / 100, 0.9 + i % 10 / 100, 1.0, *EVEN[3:]])

        ask_with(range(99))
        assert [index(feature) for feature in range(3)] == [0, 0, 0]  # too few to tell
        ask_with(range(99, 200))
        assert [index(feature) > 0.25 for feature in range(3)] == [False, True, True]


def test_a_dead_replica_costs_nobody_an_answer_and_is_left_out(
    replicas: tuple[int, int], tmp_path: Path
) -> None:
    patient = {"INFERENCE_TIMEOUT_MS": "5000"}
    with gateway(tmp_path, DEAD, replicas[0], **patient) as port:
        began_s = time.monotonic()
        assert [predict(port).status for _ in range(40)] == [200] * 40
        lasted_s = time.monotonic() - began_s
        assert replicas_in(port) == 1
        # Three until it is out, then no more than one a second.
        assert calls(port, "unreachable") == retries(port)
        assert 3 <= retries(port) <= 4 + lasted_s


@contextmanager
def restartable(folder: Path) -> Iterator[tuple[int, Callable[[], subprocess.Popen[bytes]]]]:
    """A port, and a function that starts a replica on it."""
    port = free_port()
    with ExitStack() as stack:

        def start() -> subprocess.Popen[bytes]:
            process = stack.enter_context(
                command("inference", folder / "restartable.log", PORT=str(port))
            )
            stack.callback(process.kill)
            until(lambda: is_well(port), "the replica is well")
            return process

        yield port, start


def test_a_replica_that_is_killed_and_comes_back_gets_its_share_again(
    replicas: tuple[int, int], tmp_path: Path
) -> None:
    patient = {"INFERENCE_TIMEOUT_MS": "5000"}
    with (
        restartable(tmp_path) as (mortal, start),
        gateway(tmp_path, replicas[0], mortal, **patient) as port,
    ):
        first = start()
        assert [predict(port).status for _ in range(4)] == [200] * 4
        first.send_signal(signal.SIGKILL)
        first.wait()
        assert [predict(port).status for _ in range(20)] == [200] * 20
        assert replicas_in(port) == 1
        start()
        until(lambda: predict(port).status == 200 and replicas_in(port) == 2, "it is back")


def test_a_replica_that_hangs_costs_one_limit_and_then_nothing(
    replicas: tuple[int, int], tmp_path: Path
) -> None:
    with (
        llm_that_sends(b"", hang=True) as silent,
        gateway(tmp_path, silent.port, replicas[0], INFERENCE_TIMEOUT_MS="1500") as port,
    ):
        assert [predict(port).status for _ in range(20)] == [200] * 20
        assert replicas_in(port) == 1
        assert calls(port, "timeout") == silent.calls


@pytest.mark.parametrize(
    ("answer", "hang", "status", "mark"),
    [
        (b"", True, 504, "inference-timeout"),
        (b"", False, 503, "inference-unreachable"),
        (BROKEN, False, 503, "inference-error"),
        (TOO_MANY, False, 503, "inference-rejected"),
    ],
    ids=["silent", "closes at once", "500", "429"],
)
def test_without_a_replica_that_answers_users_are_told_so_after_two_calls(
    tmp_path: Path, answer: bytes, hang: bool, status: int, mark: str
) -> None:
    limit_ms = "250" if hang else "5000"
    with (
        llm_that_sends(answer, hang) as first,
        llm_that_sends(answer, hang) as second,
        gateway(tmp_path, first.port, second.port, INFERENCE_TIMEOUT_MS=limit_ms) as port,
    ):
        told = predict(port)
        assert (told.status, json.loads(told.body)) == (status, {"error": mark})
        assert (first.calls, second.calls) == (1, 1)
        for _ in range(2):
            predict(port)
        assert replicas_in(port) == 0
        first.calls = second.calls = 0
        assert json.loads(predict(port).body) == {"error": mark}
        assert (first.calls, second.calls) == (1, 1)  # all are out: then all are asked
        assert ask(port, "/recommendations/u1").status == 200


def test_when_all_were_slow_for_a_moment_nobody_is_refused_afterwards(tmp_path: Path) -> None:
    with (
        llm_that_sends(BROKEN) as first,
        llm_that_sends(BROKEN) as second,
        gateway(tmp_path, first.port, second.port, INFERENCE_TIMEOUT_MS="5000") as port,
    ):
        assert [predict(port).status for _ in range(4)] == [503] * 4
        assert replicas_in(port) == 0
        first.answer = second.answer = SCORED
        assert [predict(port).status for _ in range(4)] == [200] * 4
        until(lambda: predict(port).status == 200 and replicas_in(port) == 2, "both are back")


def test_without_replicas_there_are_no_predictions(tmp_path: Path) -> None:
    with gateway(tmp_path) as port:
        assert predict(port).status == 404


def test_defect_no_retry_fails_every_second_request_for_as_long_as_a_replica_is_dead(
    replicas: tuple[int, int], tmp_path: Path
) -> None:
    with gateway(
        tmp_path, DEAD, replicas[0], DEFECTS="no-retry", INFERENCE_TIMEOUT_MS="5000"
    ) as port:
        told = [predict(port).status for _ in range(40)]
        assert (told.count(200), told.count(503)) == (20, 20)
        assert replicas_in(port) == 2


def test_defect_impatient_gives_up_on_replicas_that_would_have_answered(tmp_path: Path) -> None:
    settings = {"DEFECTS": "impatient", "INFERENCE_TIMEOUT_MS": "60000"}
    with (
        llm_that_sends(b"", hang=True) as first,
        llm_that_sends(b"", hang=True) as second,
        gateway(tmp_path, first.port, second.port, **settings) as port,
    ):
        assert predict(port).status == 504  # within the client's own limit, not after a minute


def test_defect_chatty_makes_three_calls_for_one_prediction(
    replicas: tuple[int, int], tmp_path: Path
) -> None:
    asked = (
        r'http_request_duration_seconds_count\{method="GET",route="/model",service="inference"\}'
    )
    settings = {"DEFECTS": "chatty", "INFERENCE_TIMEOUT_MS": "5000"}
    with gateway(tmp_path, replicas[0], **settings) as port:
        assert predict(port).status == 200
        before = metric(replicas[0], asked)
        assert predict(port).status == 200
        assert metric(replicas[0], asked) - before == 2


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"DEFECTS": "no-retri"}, "DEFECTS names no-retri; known are"),
        ({"MODEL_SEED": "one"}, "MODEL_SEED is 'one'; it must be a number"),
        ({"MODEL_SEED": "-1"}, "MODEL_SEED is '-1'; it must be a number, 0 or more"),
    ],
)
def test_a_wrong_setting_stops_a_replica_before_it_listens(
    tmp_path: Path, environment: dict[str, str], message: str
) -> None:
    log = tmp_path / "log"
    with command("inference", log, **{"PORT": str(free_port()), **environment}) as process:
        assert process.wait(timeout=120) == 1
    assert f"refusing to start: {message}" in log.read_text()
    assert "Traceback" not in log.read_text()
