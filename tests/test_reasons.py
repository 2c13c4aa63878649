"""Every reason that a verdict may give is explained, and every explained one can be given."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.reasons import REASONS

PACKAGE = Path(__file__).parent.parent / "harness"
NAMES = {"code", "problem_code"}


def strings(node: ast.AST | None) -> Iterator[str]:
    """Text that an expression may have as its value."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from strings(node.body)
        yield from strings(node.orelse)
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from strings(value)
    elif isinstance(node, ast.Call):  # such as `data.get("code", "no_data")`
        for argument in node.args[1:]:
            yield from strings(argument)


def codes(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func).rpartition(".")[2]
            if called == "unmet":
                yield from strings(node.args[2])
            if called == "Reason":
                yield from strings(node.args[0])
            for keyword in node.keywords:
                if keyword.arg in NAMES:
                    yield from strings(keyword.value)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                yield from assigned(target, node.value)


def assigned(target: ast.expr, value: ast.expr) -> Iterator[str]:
    if isinstance(target, ast.Name) and target.id in NAMES:
        yield from strings(value)
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for one, other in zip(target.elts, value.elts, strict=False):
            yield from assigned(one, other)


def used() -> dict[str, str]:
    """Codes with one place each."""
    found: dict[str, str] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for code in codes(ast.parse(path.read_text())):
            found.setdefault(code, path.name)
    return found


def test_the_scan_sees_what_it_should() -> None:
    source = 'unmet(o, p, "a" if x else "b", w)\nReason("c", m)\n'
    source += 'f(code=d or "d")\np, code = q, "e"\n'
    assert set(codes(ast.parse(source))) == set("abcde")
    assert len(used()) > 20


def test_every_code_that_is_used_is_explained() -> None:
    assert {code: place for code, place in used().items() if code not in REASONS} == {}


@pytest.mark.parametrize("code", REASONS)
def test_every_explained_code_can_be_given(code: str) -> None:
    """Somewhere outside the table, as a whole word in quotes."""
    texts = [p.read_text() for p in PACKAGE.rglob("*.py") if p.name != "reasons.py"]
    assert any(f'"{code}"' in text for text in texts)


@pytest.mark.parametrize("code", REASONS)
def test_an_explanation_is_a_sentence(code: str) -> None:
    assert code == code.lower().replace(" ", "_").replace("-", "_")
    assert REASONS[code][0].isupper()
    assert REASONS[code].endswith(".")


def test_the_table_is_sorted() -> None:
    assert list(REASONS) == sorted(REASONS)
