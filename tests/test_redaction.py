"""A secret is found in whatever form it stands in, and nothing else is."""

from __future__ import annotations

import base64
import html
import json
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model import Event, Phase
from harness.redaction import (
    REDACTED,
    Redactor,
    from_environment,
    in_urls,
    looks_secret,
    redactor,
    to_environment,
)

SECRET = "s3cr3t/ü+&'\"$ <x>"

FORMS = {
    "as it is": SECRET,
    "in JSON": json.dumps(SECRET),
    "in JSON that keeps its letters": json.dumps(SECRET, ensure_ascii=False),
    "as a Python literal": repr(SECRET),
    "in HTML": html.escape(SECRET),
    "in a path of a URL": quote(SECRET),
    "in a query of a URL": quote(SECRET, safe=""),
    "in a form": quote_plus(SECRET),
    "with small hexadecimal digits": quote(SECRET, safe="").lower(),
    "in a scenario file": SECRET.replace("$", "$$"),
    "in a YAML string": SECRET.replace("'", "''"),
    "in base64": base64.b64encode(SECRET.encode()).decode(),
    "in base64 of a login": base64.b64encode(f"me:{SECRET}".encode()).decode(),
    "in base64 of a longer login": base64.b64encode(f"user:{SECRET}".encode()).decode(),
    "in base64 with something behind it": base64.b64encode(f"me@x:{SECRET}--".encode()).decode(),
    "in base64 for URLs": base64.urlsafe_b64encode(f"x{SECRET}".encode()).decode(),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_a_known_value_is_found(form: str) -> None:
    text = redactor([SECRET]).text(f"before {form} after")
    assert REDACTED in text
    assert text.startswith("before ")
    assert text.endswith(" after")
    assert "s3cr3t" not in text
    # What base64 leaves at its ends is less than one group of the secret's own characters.
    assert base64.b64encode(SECRET.encode()).decode()[:8] not in text


@given(st.text(min_size=6, max_size=40), st.text(max_size=9), st.text(max_size=9))
def test_any_value_is_found_in_any_surroundings(value: str, before: str, after: str) -> None:
    known = redactor([value])
    if value.strip() and len(value.strip()) >= 6 and len(value.splitlines()) == 1:
        for text in (f"{before}{value}{after}", json.dumps(f"{before}{value}{after}")):
            once = known.text(text)
            assert value.strip() not in once.replace(REDACTED, "")
            assert known.text(once) == once


def test_each_line_of_a_value_is_one() -> None:
    pem = "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nq83rvQhK2fXw\n-----END KEY-----"
    text = redactor([pem]).text(f"read MIIEvQIBADANBgkq then\n{json.dumps(pem)}")
    assert "MIIEvQIBADANBgkq" not in text
    assert "q83rvQhK2fXw" not in text


#: What is redacted by its form, and what remains.
BY_FORM = {
    "the login of a URL": ("http://me:pw@a.example/x", f"http://{REDACTED}@a.example/x"),
    "a token without a name before it": ("https://tok@a.example", f"https://{REDACTED}@a.example"),
    "a token in a query": ("GET /x?token=abc&y=1", f"GET /x?token={REDACTED}&y=1"),
    "an API key further on": ("/x?y=1&api_key=abc", f"/x?y=1&api_key={REDACTED}"),
    "a header": ("Authorization: Bearer abc.def", f"Authorization: Bearer {REDACTED}"),
    "a header in a mapping": (
        "{'Authorization': 'Basic bWU6cHc='}",
        f"{{'Authorization': 'Basic {REDACTED}'}}",
    ),
}


@pytest.mark.parametrize("row", BY_FORM.values(), ids=BY_FORM.keys())
def test_what_has_the_form_of_a_secret_needs_no_known_value(row: tuple[str, str]) -> None:
    text, left = row
    assert Redactor().text(text) == left
    assert Redactor().text(left) == left


HARMLESS = (
    "",
    "gateway->llm-gateway 200 in 3 ms",
    "http://127.0.0.1:8080/x?user=1&page=2",
    "orders.p99 < 250ms during steady, after",
    'sum(rate(http_requests_total{code!~"5.."}[10s]))',
    "me@example.org",
    "key: order_id",
    "tokens: 5",
    "the token bucket is empty",
)


@pytest.mark.parametrize("text", HARMLESS)
def test_anything_else_is_left_alone(text: str) -> None:
    assert redactor(["short", "longer-value"]).text(text) == text


NAMES = ("TOKEN", "SHOP_API_TOKEN", "dbPassword", "X-Api-Key", "API_KEY", "SLACK_WEBHOOK_URL",
         "secret", "PRIVATE_KEY", "SHOP_DSN", "accessKey")  # fmt: skip
PLAIN = (
    "",
    "KEY",
    "key",
    "TOKENS_PER_S",
    "AUTHOR",
    "target",
    "hold",
    "MONKEY",
    "SECRETARY",
    "RATE",
)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_says_secret(name: str) -> None:
    assert looks_secret(name)


@pytest.mark.parametrize("name", PLAIN)
def test_a_name_that_does_not(name: str) -> None:
    assert not looks_secret(name)


def test_the_values_in_urls_are_told_encoded_and_decoded() -> None:
    assert in_urls("http://me:p%40ss@x/ and /y?token=t0k&z=1") == ("p%40ss", "p@ss", "t0k")
    assert in_urls("http://x/y?z=1") == ()


class Pair(NamedTuple):
    name: str
    number: int


@dataclass(frozen=True, slots=True)
class Box:
    what: Any
    phase: Phase = Phase.STEADY


def test_data_is_redacted_inside_and_keeps_its_shape() -> None:
    known = redactor(["hunter2hunter2"])
    data = Box({"hunter2hunter2": [("x hunter2hunter2", 3), Pair("hunter2hunter2", 1), None, 1.5]})
    assert known.data(data) == Box({REDACTED: [(f"x {REDACTED}", 3), Pair(REDACTED, 1), None, 1.5]})
    assert redactor(["987654"]).data({"pin": 987654, "n": 1, "b": True}) == {
        "pin": REDACTED,
        "n": 1,
        "b": True,
    }
    event = Event(at=1.0, kind="k", data={"a": 1})
    assert known.data(event) is event
    assert known.raw(b"\xff hunter2hunter2") == b"\xff hunter2hunter2"  # no text: left alone
    assert known.raw(b"x hunter2hunter2") == f"x {REDACTED}".encode()


def test_a_child_redacts_as_its_parent_does() -> None:
    known = redactor(["hunter2hunter2", "short"])
    assert from_environment(to_environment(known)) == known
    assert to_environment(Redactor()) == {}
    assert from_environment({}).values == frozenset()
