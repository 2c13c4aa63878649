"""The receiver of alerts: it takes what the real services take, and refuses what they refuse."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from service_process import ask, service

from harness.received import HttpReceiver

pytestmark = pytest.mark.stack

PAGERDUTY, SLACK, TEAMS = "/v2/enqueue", "/slack/x", "/teams/x"


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with service("receiver", tmp_path_factory.mktemp("receiver")) as port:
        yield port


def event(**changes: Any) -> dict[str, Any]:
    payload = {
        "summary": "Slow",
        "source": "prometheus",
        "severity": "critical",
        "custom_details": {"alertname": "Slow"},
    }
    whole = {
        "routing_key": "0" * 32,
        "event_action": "trigger",
        "dedup_key": "abc",
        "payload": payload | changes.pop("payload", {}),
    }
    return whole | changes


def message(**changes: Any) -> dict[str, Any]:
    fields = [{"title": "alertname", "value": "Slow"}, {"title": "status", "value": "firing"}]
    return {"attachments": [{"title": "Slow", "text": "is slow", "fields": fields} | changes]}


def webhook(**changes: Any) -> dict[str, Any]:
    alerts = [{"status": "firing", "labels": {"alertname": "Slow"}}]
    return {"version": "4", "status": "firing", "alerts": alerts} | changes


CARD = {"@type": "MessageCard", "title": "Slow firing", "summary": "Slow", "text": "is slow"}


def adaptive(*body: dict[str, Any]) -> dict[str, Any]:
    content = {"type": "AdaptiveCard", "body": list(body)}
    kind = "application/vnd.microsoft.card.adaptive"
    return {"type": "message", "attachments": [{"contentType": kind, "content": content}]}


TAKEN: dict[str, tuple[str, Any, int, str]] = {
    "an event that triggers": (PAGERDUTY, event(), 202, "firing"),
    "an event that resolves, without a payload": (
        PAGERDUTY,
        {"routing_key": "0" * 32, "event_action": "resolve", "dedup_key": "a"}
        | {"payload": {"class": "Slow"}},
        202,
        "resolved",
    ),
    "an event named by its class": (
        PAGERDUTY, event(payload={"custom_details": None, "class": "Slow"}), 202, "firing",
    ),
    "a message with an attachment": (SLACK, message(), 200, "firing"),
    "Alertmanager's own webhook, as a bridge takes it": (TEAMS, webhook(), 200, "firing"),
    "the webhook of an end": (TEAMS, webhook(status="resolved"), 200, "resolved"),
    "a connector's card": (TEAMS, CARD, 200, "firing"),
    "an adaptive card": (TEAMS, adaptive({"type": "TextBlock", "text": "Slow firing"}), 200,
                         "firing"),
}  # fmt: skip


def told(port: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(ask(port, "/received").body)["received"]
    return found


@pytest.mark.parametrize("row", TAKEN.values(), ids=TAKEN)
def test_what_is_taken_is_kept(receiver: int, row: tuple[str, Any, int, str]) -> None:
    path, body, status, state = row
    before = time.time()
    assert ask(receiver, path, body).status == status
    last = told(receiver)[-1]
    assert before - 1 <= last["at"] <= time.time() + 1
    assert (last["status"], last["alerts"], last["problem"]) == (state, ["Slow"], "")


def test_pagerduty_answers_with_the_key(receiver: int) -> None:
    answer = json.loads(ask(receiver, PAGERDUTY, event()).body)
    assert answer == {"status": "success", "message": "Event processed", "dedup_key": "abc"}


REFUSED: dict[str, tuple[str, Any, str]] = {
    "no JSON": (PAGERDUTY, "text", "the event is no object"),
    "no routing key": (PAGERDUTY, event(routing_key=""), "'routing_key' must be"),
    "a routing key that is too short": (PAGERDUTY, event(routing_key="abc"), "'routing_key'"),
    "an action of nobody": (PAGERDUTY, event(event_action="page"), "'event_action' must be one"),
    "an end without a key": (
        PAGERDUTY, event(event_action="resolve", dedup_key=None), "'dedup_key' is missing",
    ),
    "a key that is too long": (PAGERDUTY, event(dedup_key="a" * 256), "'dedup_key' must be"),
    "no payload": (PAGERDUTY, event() | {"payload": None}, "'payload' is missing"),
    "no summary": (PAGERDUTY, event(payload={"summary": " "}), "'payload.summary' is missing"),
    "a summary that is too long": (
        PAGERDUTY, event(payload={"summary": "a" * 1025}), "longer than 1024",
    ),
    "no source": (PAGERDUTY, event(payload={"source": None}), "'payload.source' is missing"),
    "a severity of our own": (
        PAGERDUTY, event(payload={"severity": "page"}), "must be one of critical, error",
    ),
    "an event that names no alert": (
        PAGERDUTY, event(payload={"custom_details": {}}), "names no alert",
    ),
    "several things at once": (
        PAGERDUTY, event(routing_key="", payload={"severity": ""}), "payload.severity",
    ),
    "a message that is a list": (SLACK, [], "invalid_payload"),
    "a message without anything": (SLACK, {}, "no_text"),
    "an attachment without a text": (SLACK, {"attachments": [{"color": "red"}]}, "no_text"),
    "attachments that are none": (SLACK, {"attachments": ["text"]}, "invalid_attachments"),
    "a message that says nothing of its state": (
        SLACK, message(fields=[{"title": "alertname", "value": "Slow"}]), "firing or resolved",
    ),
    "a message that names no alert": (
        SLACK, message(fields=[{"title": "status", "value": "firing"}]), "names no alert",
    ),
    "a webhook without alerts": (TEAMS, webhook(alerts=[]), "names no alerts"),
    "a webhook with alerts without labels": (TEAMS, webhook(alerts=[{}]), "no object"),
    "a webhook of an unknown version": (TEAMS, webhook(version="5"), "Text is required"),
    "a card without a text": (TEAMS, {"@type": "MessageCard", "title": "x"}, "Text is required"),
    "a message without a card": (TEAMS, {"type": "message", "attachments": []}, "adaptive card"),
    "a card without a body": (TEAMS, adaptive(), "adaptive card with a body"),
    "a card that says nothing of its state": (
        TEAMS, adaptive({"text": "Slow"}), "firing or resolved",
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", REFUSED.values(), ids=REFUSED)
def test_what_is_refused_is_kept_with_the_problem(receiver: int, row: tuple[str, Any, str]) -> None:
    path, body, why = row
    answer = ask(receiver, path, body)
    assert answer.status == 400
    assert why in answer.body
    assert why in told(receiver)[-1]["problem"]


def test_what_arrived_is_counted_by_what_it_says(receiver: int) -> None:
    ask(receiver, SLACK, message())
    ask(receiver, SLACK, {})
    text = ask(receiver, "/metrics").body
    for outcome in ("firing", "refused"):
        assert f'alerts_received_total{{channel="slack",outcome="{outcome}"}}' in text


def test_the_harness_reads_what_arrived_by_its_own_clock(receiver: int) -> None:
    """A clock that is an hour behind: the receiver's times become its own."""
    before = time.time()
    ask(receiver, PAGERDUTY, event())
    late = HttpReceiver(lambda: time.time() - 3600)
    last = late.deliveries(f"http://127.0.0.1:{receiver}")[-1]
    assert before - 3600 - 1 <= last.low <= last.high <= time.time() - 3600
    assert (last.channel, last.alert, last.status) == ("pagerduty", "Slow", "firing")
