"""YAML that is refused before it is looked at, and how scalars are read."""

from __future__ import annotations

import math

import pytest
from goodtext import FILES, GOOD, problems
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ScenarioError
from harness.scenario import parse
from harness.scenario.document import read
from harness.scenario.tree import plain

# ruff: noqa: E501 - messages are compared in full

TWICE = "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 5)}]\n" for a, b in zip("abcdef", "bcdefg", strict=True)
)
REFUSED = [
    ("nothing at all", "", "1:1: the file is empty; begin with `version: 1`"),
    ("only a comment", "# x\n", "1:1: the file is empty; begin with `version: 1`"),
    ("only a byte order mark", b"\xef\xbb\xbf", "1:1: the file is empty; begin with `version: 1`"),
    ("an empty document", "---\n", "2:1: the file is empty; begin with `version: 1`"),
    ("a list", "- a", "1:1: a scenario is a mapping of keys such as `version: 1`, found a list"),
    ("a word", "hello", "1:1: a scenario is a mapping of keys such as `version: 1`, found 'hello'"),
    ("an open list", "a: [1", "1:6: this is not YAML: expected ',' or ']', but got '<stream end>' (while parsing a flow sequence)"),
    ("an open quote", "a: 'x", "1:6: this is not YAML: found unexpected end of stream (while scanning a quoted scalar)"),
    ("a tab", "a:\n\tb: 1", "2:1: this is not YAML: found a tab that cannot start any token (while scanning for the next token)"),
    ("two values", "a: b: c", "1:5: this is not YAML: mapping values are not allowed here"),
    ("a code point beyond Unicode", 'a: "\\UFFFFFFFF"', "1:1: this is not YAML: an escape names a character beyond U+10FFFF"),
    ("a control character", "a: b\nc: \x01", "2:4: the character U+0001 is not allowed in YAML"),
    ("half a surrogate", "a: \udc80", "1:4: the character U+DC80 is not allowed in YAML"),
    ("bytes that are not UTF-8", b"a: 1\nb: \xff", "2:4: the byte 0xff is not UTF-8; save the file as UTF-8"),
    ("a number as key", "1: 2", '1:1: a key must be text, found 1; write it in quotes: "1"'),
    ("a truth value as key", "true: 3", '1:1: a key must be text, found true; write it in quotes: "true"'),
    ("nothing as key", "? \n: 3", "1:2: a key must be text, found nothing"),
    ("a list as key", "? [a]\n: 1", "1:3: a key must be plain text"),
    ("an anchor on a key", "&a b: 1", "1:1: a key must be plain text"),
    ("an alias without its anchor", "a: *x", "1:4: there is no anchor &x before this alias"),
    ("an alias inside its anchor", "a: &x [*x]", "1:8: the alias *x stands inside its own anchor"),
    ("too many aliases", "a: &a 1\nb: [" + "*a," * 101 + "]", "2:305: more than 100 aliases"),
    ("aliases of aliases", f"a: &a [{'1,' * 300}]\n{TWICE}", "5:8: more than 50,000 values, aliases written out"),
    ("a tag", "a: !!python/object:os.x {}", "1:4: tags such as 'tag:yaml.org,2002:python/object:os.x' are not supported"),
    ("an older YAML", "%YAML 1.1\n---\na: 1", "2:1: only YAML 1.2 is read; remove %YAML"),
    ("a second document", "a: 1\n---\nb: 2", "2:1: a second document starts here; a file holds one"),
    ("deep lists", "a: " + "[" * 40, "1:35: nested deeper than 32 levels"),
    ("deep mappings", "".join(" " * i + "a:\n" for i in range(40)), "33:33: nested deeper than 32 levels"),
    ("more than 1 MiB", "#" * (1 << 20) + "\n", "1:1: the file is larger than 1 MiB"),
    ("a key twice", GOOD + "name: other\n", "22:1: the key 'name' is there twice; the first is on line 2"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED]
)
def test_refused(text: str | bytes, expected: str) -> None:
    assert [p.replace(": error: ", ": ", 1) for p in problems(text)] == [expected]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("no", "no"),
        ("12:30", "12:30"),
        ("2026-01-01", "2026-01-01"),
        ("1_000", "1_000"),
        ("0x10", "0x10"),
        ("true", True),
        ("'true'", "true"),
        ("~", None),
        ("''", ""),
        ("12", 12),
        ("-12", -12),
        ("1.5e3", 1500.0),
        (".inf", math.inf),
        ("-.inf", -math.inf),
        ("9" * 5000, math.inf),
        ("|\n  a\n  b\n", "a\nb\n"),
        ("&x 1", 1),
    ],
)
def test_scalars_follow_the_core_schema(text: str, value: object) -> None:
    node, found = read(f"a: {text}")
    assert not found
    assert node is not None
    assert plain(node) == {"a": value}


def test_aliases_repeat_their_value() -> None:
    node, found = read("a: &x {b: [1, 2]}\nc: [*x, *x]\n")
    assert not found
    assert node is not None
    assert plain(node) == {"a": {"b": [1, 2]}, "c": [{"b": [1, 2]}, {"b": [1, 2]}]}


YAMLISH = st.lists(
    st.one_of(
        st.sampled_from([*GOOD.splitlines(keepends=True), *"{}[],:&*!|>'\"%@`#-? \n\t", "  ", ": ", "- ", "${", "$$", "---\n", "<<: ", "&a ", "*a"]),
        st.text(max_size=8),
    ),
    max_size=30,
).map("".join)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(text=st.one_of(YAMLISH, st.binary(max_size=200), st.text(max_size=200)))
def test_whatever_the_text_it_is_a_scenario_or_has_problems(text: str | bytes) -> None:
    only_scenario_errors(text)


@settings(max_examples=300, deadline=None)
@given(
    at=st.integers(0, len(GOOD)),
    gone=st.integers(0, 12),
    new=st.one_of(st.text(max_size=6), st.sampled_from(["9" * 400, "-1", "null", "[]", "{}", "1e400", "0s", "\0"])),
)  # fmt: skip
def test_whatever_is_cut_out_and_put_in(at: int, gone: int, new: str) -> None:
    only_scenario_errors(GOOD[:at] + new + GOOD[at + gone :])


@settings(max_examples=100, deadline=None)
@given(override=st.text(max_size=30), profile=st.text(max_size=5), rate=st.text(max_size=9))
def test_whatever_the_options(override: str, profile: str, rate: str) -> None:
    text = GOOD.replace("100/s", "${RATE}")
    only_scenario_errors(text, overrides=[override], profile=profile, environment={"RATE": rate})
    only_scenario_errors(text, overrides=[f"load.arrivals={override}"])


def only_scenario_errors(text: str | bytes, **more: object) -> None:
    options = {"environment": {"CI": "1"}, **more}
    try:
        parse(text, path="x.yaml", exists=FILES.__contains__, **options)  # type: ignore[arg-type]
    except ScenarioError as error:
        assert error.problems
        for problem in error.problems:
            assert ": error: " in problem
            assert all(c.isprintable() or c == "\n" for c in problem)
