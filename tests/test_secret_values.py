"""Which values are secrets: those that are named, those whose names say so, those of URLs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.errors import InvalidError
from harness.secret_values import of_scenario, of_text
from tests.builders import scenario
from tests.durability.cases import SERIES

ENVIRONMENT = {
    "SHOP_TOKEN": "value-of-token",
    "SHOP_LOGIN": "value-of-login",
    "REGION": "value-of-region",
    "PIN": "1234",
}

TEXTS: dict[str, tuple[str, tuple[str, ...], set[str]]] = {
    "nothing": ("name: x", (), set()),
    "a variable whose name says so": ("a: ${SHOP_TOKEN}", (), {"value-of-token"}),
    "with a default": ("a: ${SHOP_TOKEN:-x}", (), {"value-of-token"}),
    "a variable whose name does not": ("a: ${REGION}", (), set()),
    "a variable that is not set": ("a: ${NO_TOKEN}", (), set()),
    "a variable that is listed": ("secrets: [SHOP_LOGIN]", (), {"value-of-login"}),
    "a list in lines": (
        "secrets:\n  - REGION\n  - SHOP_LOGIN\n",
        (),
        {"value-of-login", "value-of-region"},
    ),
    "a URL": ("url: http://me:pass-word@x/?token=to-ken", (), {"pass-word", "to-ken"}),
    "an option whose key says so": ("", ("with.token=given",), {"given"}),
    "an option whose key is listed": ("secrets: [pin]", ("with.pin=98765432",), {"98765432"}),
    "any other option": ("", ("load.arrivals=5/s",), set()),
}


@pytest.mark.parametrize("row", TEXTS.values(), ids=TEXTS.keys())
def test_of_a_text_that_may_not_even_be_a_scenario(
    row: tuple[str, tuple[str, ...], set[str]],
) -> None:
    text, overrides, values = row
    assert of_text(text, overrides, ENVIRONMENT) == values


def env(key: str) -> dict[str, str]:
    return {"type": "env", "key": key}


SCENARIOS: dict[str, tuple[dict[str, Any], dict[str, Any], set[str]]] = {
    "nothing": ({}, {}, set()),
    "listed by name": ({"secrets": ("SHOP_LOGIN",)}, {}, {"value-of-login"}),
    "listed among the values": (
        {"secrets": ("pin",), "arguments": {"pin": 987654}},
        {},
        {"987654"},
    ),
    "a value whose key says so": ({"arguments": {"token": "given"}}, {}, {"given"}),
    "handed on, and its name says so": (
        {"environment": ("SHOP_TOKEN", "REGION")},
        {},
        {"value-of-token"},
    ),
    "a literal among the experiment's secrets": (
        {},
        {"secrets": {"shop": {"x": "literal"}}},
        {"literal"},
    ),
    "a variable among the experiment's secrets": (
        {},
        {"secrets": {"shop": {"x": env("REGION")}}},
        {"value-of-region", ""},
    ),
    "a setting whose name says so": (
        {},
        {"configuration": {"token": "literal", "hold": "10s"}},
        {"literal"},
    ),
    "a setting out of a variable whose name says so": (
        {},
        {"configuration": {"x": env("SHOP_TOKEN")}},
        {"value-of-token", ""},
    ),
    "the password of a store of writes": (
        {"durability": (replace(SERIES, dsn="postgresql://shop:pass-word@postgres/shop"),)},
        {},
        {"pass-word"},
    ),
    "a URL anywhere in the experiment": (
        {},
        {"method": [{"provider": {"url": "http://a:pass-word@x/"}}]},
        {"pass-word"},
    ),
}


@pytest.mark.parametrize("row", SCENARIOS.values(), ids=SCENARIOS.keys())
def test_of_a_scenario_and_its_experiment(
    row: tuple[dict[str, Any], dict[str, Any], set[str]],
) -> None:
    changes, experiment, values = row
    found = of_scenario(scenario(**changes), experiment, ENVIRONMENT)
    assert found - {""} == values - {""}


def test_a_listed_secret_that_is_too_short_is_refused() -> None:
    with pytest.raises(InvalidError, match="the secret PIN has 4 characters") as caught:
        of_scenario(scenario(secrets=("PIN",)), {}, ENVIRONMENT)
    assert "1234" not in str(caught.value)
