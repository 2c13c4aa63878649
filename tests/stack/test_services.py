"""The reference services as processes: what users see when all is well, and when it is not."""

import json
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from llm_double import BROKEN, CHUNKED, OK, TOO_MANY, Llm, chunk, llm_that_sends, token
from service_process import Answer, ask, command, free_port, service

pytestmark = pytest.mark.stack

WHOLE_ANSWER = ["I", " suggest", " the "]


def metric(port: int, line: str) -> float:
    """The value of the one sample whose name and labels match."""
    found = re.search(rf"^{line} (\S+)$", ask(port, "/metrics").body, re.MULTILINE)
    assert found is not None, line
    return float(found[1])


@contextmanager
def gateway(folder: Path, llm_port: int, recommender_port: int = 9, **extra: str) -> Iterator[int]:
    patient = {"LLM_TIMEOUT_MS": "2000", "RECOMMENDER_TIMEOUT_MS": "5000"}
    urls = {
        "LLM_URL": f"http://127.0.0.1:{llm_port}",
        "RECOMMENDER_URL": f"http://127.0.0.1:{recommender_port}",
    }
    with service("gateway", folder, **{**patient, **urls, **extra}) as port:
        yield port


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """All three, well."""
    folder = tmp_path_factory.mktemp("platform")
    with ExitStack() as stack:
        pace = {"TTFT_MS": "1", "TOKEN_MS": "0"}
        llm = stack.enter_context(service("llm_gateway", folder, **pace))
        recommender = stack.enter_context(service("recommender", folder))
        front = stack.enter_context(gateway(folder, llm, recommender, LLM_TIMEOUT_MS="2000"))
        yield {"llm": llm, "recommender": recommender, "gateway": front}


def test_recommendations_are_the_same_each_time_and_differ_by_user(
    platform: dict[str, int],
) -> None:
    first, again, other = (
        ask(platform["gateway"], f"/recommendations/{user}") for user in ("u1", "u1", "u2")
    )
    assert first.status == 200
    assert first.body == again.body
    assert json.loads(first.body)["items"] != json.loads(other.body)["items"]
    assert json.loads(first.body)["degraded"] is False
    assert not first.degraded


def test_the_assistant_streams_a_whole_answer(platform: dict[str, int]) -> None:
    answer = ask(platform["gateway"], "/assistant", {"prompt": "a present"})
    assert (answer.status, answer.degraded) == (200, "")
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.tokens[:3] == WHOLE_ANSWER
    assert answer.is_finished


@pytest.mark.parametrize("body", [{}, {"prompt": ""}, {"prompt": 3}, [], "text"])
def test_the_assistant_refuses_what_is_no_question(platform: dict[str, int], body: object) -> None:
    assert ask(platform["gateway"], "/assistant", body).status == 400


def test_the_llm_gateway_speaks_openai(platform: dict[str, int]) -> None:
    messages = [{"role": "user", "content": "hello there"}]
    whole = ask(platform["llm"], "/v1/chat/completions", {"messages": messages})
    answer = json.loads(whole.body)
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"]["prompt_tokens"] == 2
    streamed = ask(platform["llm"], "/v1/chat/completions", {"messages": messages, "stream": True})
    lines = [line[6:] for line in streamed.body.splitlines() if line.startswith("data: {")]
    deltas = [json.loads(line)["choices"][0]["delta"].get("content", "") for line in lines]
    assert "".join(deltas) == answer["choices"][0]["message"]["content"]
    assert streamed.is_finished


@pytest.mark.parametrize(
    "body", [{}, {"messages": []}, {"messages": [{"content": 3}]}, {"messages": "x"}, []]
)
def test_the_llm_gateway_refuses_in_openais_form(platform: dict[str, int], body: object) -> None:
    answer = ask(platform["llm"], "/v1/chat/completions", body)
    assert answer.status == 400
    assert json.loads(answer.body)["error"]["type"] == "invalid_request_error"


def test_metrics_are_labelled_by_template_and_leave_out_probes(platform: dict[str, int]) -> None:
    for path in ("/recommendations/secret-user", "/no/such/path", "/healthz", "/readyz"):
        ask(platform["gateway"], path)
    text = ask(platform["gateway"], "/metrics").body
    assert 'route="/recommendations/{user}"' in text
    assert 'code="404",method="GET",route="unmatched"' in text
    for absent in ("secret-user", "/no/such/path", 'route="/healthz"', 'route="/readyz"'):
        assert absent not in text
    assert "process_resident_memory_bytes" in text
    assert "llm_time_to_first_token_seconds_bucket" in text


DEAD = 9  # the discard port: nothing listens there


def test_dead_dependencies_cost_quality_not_availability(tmp_path: Path) -> None:
    with gateway(tmp_path, DEAD) as port:
        shop = ask(port, "/recommendations/u1")
        assert (shop.status, shop.degraded) == (200, "recommender-unreachable")
        assert json.loads(shop.body)["degraded"] is True
        talk = ask(port, "/assistant", {"prompt": "a present"})
        assert (talk.status, talk.degraded) == (200, "llm-unreachable")
        assert talk.is_finished
        assert len(talk.tokens) > 3
        reason = 'fallback_total{reason="llm-unreachable",service="gateway"}'
        assert metric(port, re.escape(reason)) == 1
        ready = ask(port, "/readyz")
        assert ready.status == 200
        assert json.loads(ready.body)["dependencies"] == {
            "recommender": False,
            "llm-gateway": False,
        }
        assert ask(port, "/healthz").status == 200


@pytest.mark.parametrize(
    ("answer", "hang", "reason"),
    [
        (b"", True, "llm-timeout"),
        (OK, True, "llm-timeout"),
        (b"", False, "llm-unreachable"),
        (TOO_MANY, False, "llm-rejected"),
        (BROKEN, False, "llm-error"),
        (OK, False, "llm-truncated"),
        (OK + b"data: not json\n\n", False, "llm-error"),
        (OK + b'data: {"choices": []}\n\n', False, "llm-error"),
        (OK + b"data: []\n\n", False, "llm-error"),
        (OK + b'data: {"choices": [{"delta": null}]}\n\n', False, "llm-error"),
    ],
    ids=[
        "accepts and is silent",
        "headers, then silence",
        "closes at once",
        "429",
        "500",
        "ends before the first token",
        "no JSON",
        "no choices",
        "a list",
        "no delta",
    ],
)
def test_a_failing_llm_is_replaced_before_anything_is_sent(
    tmp_path: Path, answer: bytes, hang: bool, reason: str
) -> None:
    with llm_that_sends(answer, hang) as llm, gateway(tmp_path, llm.port) as port:
        talk = ask(port, "/assistant", {"prompt": "a present"})
    assert (talk.status, talk.degraded) == (200, reason)
    assert "event:" not in talk.body
    assert talk.is_finished


BROKEN_OFF = [
    (OK + token("Half"), True, "llm-timeout"),
    (OK + token("Half"), False, "llm-truncated"),
    (CHUNKED + chunk(token("Half")), False, "llm-truncated"),
]
BREAKS = ["stalls", "ends without DONE", "connection cut"]


@pytest.mark.parametrize(("answer", "hang", "reason"), BROKEN_OFF, ids=BREAKS)
def test_a_stream_that_breaks_off_is_finished_from_the_cache_and_says_so(
    tmp_path: Path, answer: bytes, hang: bool, reason: str
) -> None:
    with llm_that_sends(answer, hang) as llm, gateway(tmp_path, llm.port) as port:
        talk = ask(port, "/assistant", {"prompt": "a present"})
        assert metric(port, r'llm_truncated_streams_total\{service="gateway"\}') == 1
    assert talk.tokens[0] == "Half"
    assert f'event: degraded\ndata: {{"reason": "{reason}"}}\n\n' in talk.body
    assert talk.is_finished


@pytest.mark.parametrize(("answer", "hang", "reason"), BROKEN_OFF, ids=BREAKS)
def test_without_fallback_a_stream_that_breaks_off_ends_in_an_error(
    tmp_path: Path, answer: bytes, hang: bool, reason: str
) -> None:
    with (
        llm_that_sends(answer, hang) as llm,
        gateway(tmp_path, llm.port, DEFECTS="no-fallback") as port,
    ):
        talk = ask(port, "/assistant", {"prompt": "a present"})
    assert talk.body.endswith(f'event: error\ndata: {{"reason": "{reason}"}}\n\n')
    assert not talk.is_finished


def test_the_breaker_opens_after_five_failures_and_closes_by_itself(tmp_path: Path) -> None:
    quick = {"LLM_TIMEOUT_MS": "250"}
    with llm_that_sends(b"", hang=True) as llm, gateway(tmp_path, llm.port, **quick) as port:
        reasons = [answer.degraded for answer in ask_until(port, "llm-breaker-open")]
        assert reasons[:5] == ["llm-timeout"] * 5
        assert llm.calls == len(reasons) - 1  # the last one did not reach the LLM
        llm.answer, llm.hang = OK + token("Well") + b"data: [DONE]\n\n", False
        assert ask_until(port, "")[-1].tokens == ["Well"]


def ask_until(port: int, mark: str) -> list[Answer]:
    """Ask until an answer carries the mark, and return all answers."""
    answers = [ask(port, "/assistant", {"prompt": "x"})]
    deadline_s = time.monotonic() + 120
    while answers[-1].degraded != mark:
        assert time.monotonic() < deadline_s
        answers.append(ask(port, "/assistant", {"prompt": "x"}))
    return answers


def test_defect_no_fallback_shows_users_503_and_504(tmp_path: Path) -> None:
    with (
        llm_that_sends(b"", hang=True) as llm,
        gateway(tmp_path, llm.port, DEFECTS="no-fallback") as port,
    ):
        assert ask(port, "/recommendations/u1").status == 503
        assert ask(port, "/assistant", {"prompt": "x"}).status == 504
        assert ask(port, "/readyz").status == 503
        assert ask(port, "/healthz").status == 200


def test_defect_no_timeout_waits_far_beyond_the_limit(tmp_path: Path) -> None:
    settings = {"DEFECTS": "no-timeout", "LLM_TIMEOUT_MS": "20"}
    with llm_that_sends(b"", hang=True) as llm, gateway(tmp_path, llm.port, **settings) as port:
        with pytest.raises(TimeoutError):
            ask(port, "/assistant", {"prompt": "x"}, timeout_s=0.5)
        assert ask(port, "/recommendations/u1").status == 200


def test_defect_retry_storm_calls_eleven_times(tmp_path: Path) -> None:
    settings = {"DEFECTS": "retry-storm"}
    with llm_that_sends(BROKEN) as llm, gateway(tmp_path, llm.port, **settings) as port:
        assert ask(port, "/assistant", {"prompt": "x"}).degraded == "llm-error"
        assert llm.calls == 11


def test_defect_leak_keeps_50_kb_of_each_request(tmp_path: Path) -> None:
    with gateway(tmp_path, DEAD, DEFECTS="leak") as port:
        before = metric(port, "process_resident_memory_bytes")
        for _ in range(100):
            ask(port, "/recommendations/u1")
        grown = metric(port, "process_resident_memory_bytes") - before
    assert grown > 100 * 50_000 * 0.8


def test_defect_stall_freezes_everybody_once(tmp_path: Path) -> None:
    stall = {"DEFECTS": "stall", "STALL_AT_REQUEST": "2", "STALL_S": "3"}
    with gateway(tmp_path, DEAD, **stall) as port:
        assert ask(port, "/recommendations/u1").status == 200
        stalled = threading.Thread(target=ask, args=(port, "/recommendations/u1"))
        started_s = time.monotonic()
        stalled.start()
        stalled.join()
        assert time.monotonic() - started_s >= 3
        started_s = time.monotonic()
        assert ask(port, "/recommendations/u1").status == 200
        assert time.monotonic() - started_s < 3


@pytest.mark.parametrize(
    ("module", "environment", "message"),
    [
        ("gateway", {"DEFECTS": "no-fallbck"}, "DEFECTS names no-fallbck; known are no-fallback"),
        ("recommender", {"DEFECTS": "nope"}, "DEFECTS names nope; known are"),
        ("llm_gateway", {"DEFECTS": "nope"}, "DEFECTS names nope; known are"),
        ("gateway", {}, "RECOMMENDER_URL must be set"),
        ("recommender", {"PORT": ""}, "PORT is 0; it must be a whole number from 1 to 65535"),
        ("recommender", {"PORT": "http"}, "PORT is 'http'; it must be a number"),
        ("llm_gateway", {"TTFT_MS": "-1"}, "TTFT_MS is '-1'; it must be a number, 0 or more"),
        ("llm_gateway", {"TOKEN_MS": "nan"}, "TOKEN_MS is 'nan'"),
    ],
)
def test_a_wrong_setting_stops_a_service_before_it_listens(
    tmp_path: Path, module: str, environment: dict[str, str], message: str
) -> None:
    log = tmp_path / "log"
    with command(module, log, **{"PORT": str(free_port()), **environment}) as process:
        assert process.wait(timeout=120) == 1
    assert f"refusing to start: {message}" in log.read_text()
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize("module", ["recommender", "llm_gateway", "gateway"])
def test_sigterm_ends_a_service_in_good_order(tmp_path: Path, module: str) -> None:
    port = free_port()
    urls = {"LLM_URL": "http://127.0.0.1:9", "RECOMMENDER_URL": "http://127.0.0.1:9"}
    with command(module, tmp_path / "log", PORT=str(port), **urls) as process:
        wait_until_well(port)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


def test_sigterm_does_not_wait_for_a_request_that_hangs(tmp_path: Path) -> None:
    with llm_that_sends(b"", hang=True) as llm:
        port = free_port()
        environment = {
            "PORT": str(port),
            "LLM_URL": f"http://127.0.0.1:{llm.port}",
            "RECOMMENDER_URL": "http://127.0.0.1:9",
            "DEFECTS": "no-timeout",
        }
        with command("gateway", tmp_path / "log", **environment) as process:
            wait_until_well(port)
            asking = threading.Thread(target=ask_and_lose, args=(port,))
            asking.start()
            wait_for_call(llm)
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 0
            asking.join(timeout=60)


def ask_and_lose(port: int) -> None:
    with pytest.raises(Exception):  # noqa: B017 - however the connection ends
        ask(port, "/assistant", {"prompt": "x"})


def wait_for_call(llm: Llm) -> None:
    deadline_s = time.monotonic() + 120
    while not llm.calls:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def wait_until_well(port: int) -> None:
    deadline_s = time.monotonic() + 120
    while True:
        try:
            if ask(port, "/healthz").status == 200:
                return
        except OSError:
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
