"""What PagerDuty, Slack and Microsoft Teams take from Alertmanager, and what they refuse.

Each reader gives the notification in common words, or raises :class:`Refused` with what the
real service would say. Sources: PagerDuty's Events API v2 ("Send an Alert Event"), Slack's
incoming webhooks, Teams' connector cards ("MessageCard") and workflow webhooks (Adaptive
Cards), Alertmanager's own webhook, version 4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

FIRING, RESOLVED = "firing", "resolved"
ACTIONS = {"trigger": FIRING, "acknowledge": FIRING, "resolve": RESOLVED}
SEVERITIES = ("critical", "error", "warning", "info")
ROUTING_KEY_LENGTH = 32
LONGEST_SUMMARY, LONGEST_DEDUP_KEY = 1024, 255
NAMED_BY = "alertname"  # the field by which our Alertmanager names the alert in every format


class Refused(ValueError):  # noqa: N818 - a verdict on the sender, not an error of ours
    """The real service would refuse this; the message says why."""


@dataclass(frozen=True)
class Notification:
    """One notification: its channel, ``firing`` or ``resolved``, and the alerts it names."""

    channel: str
    status: str
    alerts: tuple[str, ...]


def pagerduty(body: Any) -> Notification:
    """An event of the Events API v2."""
    event = _object(body, "the event")
    errors = [*_event_errors(event)]
    if event.get("event_action") == "trigger":
        errors += _payload_errors(event.get("payload"))
    if errors:
        raise Refused("; ".join(errors))
    payload = event.get("payload") or {}
    details = payload.get("custom_details") or {}
    name = details.get(NAMED_BY) if isinstance(details, Mapping) else None
    return Notification(
        "pagerduty", ACTIONS[event["event_action"]], _names([name or payload.get("class")])
    )


def _event_errors(event: Mapping[str, Any]) -> list[str]:
    key, action, dedup = (event.get(n) for n in ("routing_key", "event_action", "dedup_key"))
    found = []
    if not isinstance(key, str) or len(key) != ROUTING_KEY_LENGTH:
        found.append(f"'routing_key' must be a text of {ROUTING_KEY_LENGTH} characters")
    if action not in ACTIONS:
        found.append(f"'event_action' must be one of {', '.join(ACTIONS)}")
    elif action != "trigger" and not dedup:
        found.append(f"'dedup_key' is missing; to {action} needs it")
    if dedup is not None and (not isinstance(dedup, str) or len(dedup) > LONGEST_DEDUP_KEY):
        found.append(f"'dedup_key' must be a text of at most {LONGEST_DEDUP_KEY} characters")
    return found


def _payload_errors(payload: Any) -> list[str]:
    if not isinstance(payload, Mapping):
        return ["'payload' is missing or no object"]
    found = [
        f"'payload.{name}' is missing or blank"
        for name in ("summary", "source")
        if not isinstance(payload.get(name), str) or not payload[name].strip()
    ]
    if isinstance(payload.get("summary"), str) and len(payload["summary"]) > LONGEST_SUMMARY:
        found.append(f"'payload.summary' is longer than {LONGEST_SUMMARY} characters")
    if payload.get("severity") not in SEVERITIES:
        found.append(f"'payload.severity' must be one of {', '.join(SEVERITIES)}")
    return found


def slack(body: Any) -> Notification:
    """A message for an incoming webhook."""
    message = _object(body, "invalid_payload: the message")
    attachments = message.get("attachments", [])
    if not isinstance(attachments, list) or not all(isinstance(a, Mapping) for a in attachments):
        raise Refused("invalid_attachments")
    if not any([message.get("text"), message.get("blocks"), *attachments]):
        raise Refused("no_text")
    if (
        attachments
        and not message.get("text")
        and not any(
            a.get(key)
            for a in attachments
            for key in ("text", "fallback", "title", "blocks", "fields")
        )
    ):
        raise Refused("no_text")
    fields = [f for a in attachments for f in _objects(a.get("fields", []))]
    told = {str(f.get("title")): str(f.get("value")) for f in fields}
    return Notification("slack", _status(told.get("status")), _names([told.get(NAMED_BY)]))


def teams(body: Any) -> Notification:
    """A MessageCard, an Adaptive Card in a message, or Alertmanager's own webhook.

    Alertmanager speaks to Teams itself from 0.26 on; before that a bridge stands between,
    which takes the webhook: here the receiver is that bridge.
    """
    message = _object(body, "the card")
    if message.get("version") == "4" and "alerts" in message:
        return _webhook(message)
    if message.get("@type") == "MessageCard":
        return _message_card(message)
    if message.get("type") == "message":
        return _adaptive(message)
    raise Refused("Summary or Text is required: neither a MessageCard nor a message with one")


def _webhook(message: Mapping[str, Any]) -> Notification:
    alerts = _objects(message["alerts"])
    if not alerts:
        raise Refused("the webhook names no alerts")
    names = [_object(a.get("labels"), "alert.labels").get(NAMED_BY) for a in alerts]
    return Notification("teams", _status(message.get("status")), _names(names))


def _message_card(card: Mapping[str, Any]) -> Notification:
    if not card.get("text") and not card.get("summary"):
        raise Refused("Summary or Text is required")
    name, _, status = str(card.get("title", "")).partition(" ")
    return Notification("teams", _status(status.strip("()")), _names([name]))


def _adaptive(message: Mapping[str, Any]) -> Notification:
    cards = [
        _object(a.get("content"), "attachment.content")
        for a in _objects(message.get("attachments"))
        if a.get("contentType") == "application/vnd.microsoft.card.adaptive"
    ]
    blocks = [b for card in cards for b in _objects(card.get("body"))]
    if not blocks:
        raise Refused("the message has no adaptive card with a body")
    name, _, status = str(blocks[0].get("text", "")).partition(" ")
    return Notification("teams", _status(status.strip("()")), _names([name]))


#: The reader of each channel.
READERS: Mapping[str, Callable[[Any], Notification]] = {
    "pagerduty": pagerduty,
    "slack": slack,
    "teams": teams,
}


def _object(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise Refused(f"{what} is no object")
    return value


def _objects(value: Any) -> list[Mapping[str, Any]]:
    if not isinstance(value, list):
        raise Refused("a list is missing where one is needed")
    return [_object(one, "what is in a list") for one in value]


def _status(text: Any) -> str:
    found = str(text).strip().lower()
    if found not in (FIRING, RESOLVED):
        raise Refused(f"it does not say whether it is {FIRING} or {RESOLVED}")
    return found


def _names(names: list[Any]) -> tuple[str, ...]:
    """Each name once; who cannot tell which alert this is cannot act on it."""
    found = tuple(dict.fromkeys(str(name) for name in names if name))
    if not found:
        raise Refused(f"it names no alert: the field {NAMED_BY} is missing")
    return found
