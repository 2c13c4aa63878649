"""Secrets out of text: by value where one is known, by form where one can be told. Pure.

Applied where text leaves the process: to the run's folder, to the terminal, to the logs of
children. A value is found as it is and as it would be inside a URL, JSON, HTML, YAML, a
Python literal or base64, at whatever offset. What only looks like a secret (the password of
a URL, ``?token=…``, an ``Authorization`` header) needs no known value.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import Enum
from typing import Any
from urllib.parse import quote, quote_plus, unquote

REDACTED = "[redacted]"
#: Shorter values would blank out half of every report; see :func:`too_short`.
MIN_LENGTH = 6
ENVIRONMENT = "HARNESS_REDACT"

_SECRET_WORDS = frozenset(
    {
        "token", "secret", "password", "passwd", "passphrase", "pwd", "credential",
        "credentials", "apikey", "auth", "authorization", "cookie", "session", "signature",
        "sig", "webhook", "dsn", "jwt", "bearer", "private",
    }
)  # fmt: skip
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_KEYED = r"(?:access|api|auth|account|client|private|secret|shared|signing|master)[-_]?key"
_NAMED = (
    r"(?:[\w.-]*(?:token|secret|password|passwd|pwd|credential|signature|apikey)[\w.-]*"
    rf"|{_KEYED}|key|sig|auth)"
)
_END = r"[^&\s\"'<>\\`,;)\]}]"
_FORMS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?<=://)[^\s/?#@\"'<>\\\[]+@"), f"{REDACTED}@"),
    (re.compile(rf"([?&;]{_NAMED}=)(?!\[redacted\]){_END}+", re.IGNORECASE), rf"\1{REDACTED}"),
    (
        re.compile(
            r"((?:proxy-)?authorization[\"']?\s*[:=]\s*[\"']?(?:(?:bearer|basic|token|digest)\s+)?)"
            r"(?!\[redacted\]|bearer\s|basic\s)[^\s\"',;<>\\]+",
            re.IGNORECASE,
        ),
        rf"\1{REDACTED}",
    ),
)


def looks_secret(name: str) -> bool:
    """Whether the name of a variable, parameter or header says that its value is a secret.

    ``SHOP_API_TOKEN``, ``dbPassword``, ``X-Api-Key``; neither ``TOKENS_PER_S`` nor ``key``.
    """
    words = [word.lower() for word in _WORDS.findall(name)]
    if not _SECRET_WORDS.isdisjoint(words):
        return True
    return re.search(_KEYED, name, re.IGNORECASE) is not None


def too_short(value: str) -> bool:
    """Whether a value cannot be taken out of text without taking out much else."""
    return len(value) < MIN_LENGTH


def in_urls(text: str) -> tuple[str, ...]:
    """Passwords and tokens inside the URLs of a text, as they stand there and decoded."""
    found = re.findall(r"://[^\s/?#@:\"']*:([^\s/?#@\"']+)@", text)
    found += re.findall(rf"[?&;]{_NAMED}=({_END}+)", text, re.IGNORECASE)
    return tuple(dict.fromkeys(form for value in found for form in (value, unquote(value))))


@dataclass(frozen=True, slots=True)
class Redactor:
    """Takes known values, and what has the form of a secret, out of text and data.

    Args:
        values: The secrets; those that are too short to be told from other text are not
            looked for.
    """

    values: frozenset[str] = frozenset()
    _pattern: re.Pattern[str] | None = None

    def text(self, text: str) -> str:
        """The text with :data:`REDACTED` for each secret; doing it again changes nothing."""
        if self._pattern is not None:
            text = self._pattern.sub(REDACTED, text)
        for pattern, kept in _FORMS:
            text = pattern.sub(kept, text)
        return text

    def data(self, value: Any) -> Any:
        """The same for every text inside dataclasses, mappings, lists and tuples."""
        match value:
            case Enum():
                return value
            case str():
                return self.text(value)
            case int() | float():
                return REDACTED if str(value) in self.values else value
            case Mapping():
                return {self.data(key): self.data(item) for key, item in value.items()}
            case list():
                return [self.data(item) for item in value]
            case tuple():
                items = [self.data(item) for item in value]
                return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
        if is_dataclass(value) and not isinstance(value, type):
            return _dataclass(value, self.data)
        return value

    def raw(self, data: bytes) -> bytes:
        """The same for UTF-8 text as bytes; anything else is kept as it is."""
        try:
            return self.text(data.decode()).encode()
        except UnicodeDecodeError:
            return data


def redactor(values: Iterable[str]) -> Redactor:
    """A redactor of these values, of each of their lines, and of all their encodings."""
    known = {line.strip() for value in values for line in (value, *value.splitlines())}
    known = {value for value in known if not too_short(value)}
    forms = sorted({form for value in known for form in _forms(value)}, key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, forms))) if forms else None
    return Redactor(frozenset(known), pattern)


def from_environment(environment: Mapping[str, str]) -> Redactor:
    """The redactor that a parent handed to its child."""
    return redactor(json.loads(environment.get(ENVIRONMENT) or "[]"))


def to_environment(known: Redactor) -> dict[str, str]:
    """What a child needs to redact as its parent does."""
    return {ENVIRONMENT: json.dumps(sorted(known.values))} if known.values else {}


def _dataclass(value: Any, change: Callable[[Any], Any]) -> Any:
    changed = {}
    for each in fields(value):
        before = getattr(value, each.name)
        after = change(before) if each.init else before
        if after is not before and after != before:
            changed[each.name] = after
    return replace(value, **changed) if changed else value


def _forms(value: str) -> Iterable[str]:
    """The value as it would stand in other kinds of text."""
    escaped = json.dumps(value)[1:-1]
    percent = (quote(value), quote(value, safe=""), quote_plus(value))
    yield from (value, escaped, json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1])
    yield from (html.escape(value), value.replace("$", "$$"), value.replace("'", "''"))
    yield from percent
    yield from (re.sub("%..", lambda m: m[0].lower(), form) for form in percent)
    yield from _base64(value.encode())


def _base64(data: bytes) -> Iterable[str]:
    """The characters that base64 of anything around this data must have, at each offset."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for offset in range(3):
            text = encode(b"\0" * offset + data).decode().rstrip("=")
            first = (0, 2, 3)[offset]  # characters that the bytes before have a part in
            whole = len(text) - (1 if (offset + len(data)) % 3 else 0)
            core = text[first:whole]
            if len(core) >= MIN_LENGTH:
                yield core
