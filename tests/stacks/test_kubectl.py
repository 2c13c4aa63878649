"""kubectl as it is told: a small program in its place writes down how it was called."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.errors import InvalidError, StackError
from harness.stacks import kubectl

NOTES = """#!{python}
import json, os, pathlib, sys
told = {{"argv": sys.argv[1:], "kubeconfig": os.environ.get("KUBECONFIG")}}
pathlib.Path({notes!r}).write_text(json.dumps(told))
sys.exit({code})
"""
NEXT_STEPS = {
    'The Service "a" is invalid: spec.ports[3].nodePort: Invalid value: 30040: '
    "provided port is already allocated": "kubectl get services -A",
    "Error from server (Forbidden): services is forbidden": "",
}


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, code: int = 0, words: str = "") -> Path:
    """The only kubectl of this machine; the file that it notes its call in."""
    program, notes = folder / "kubectl", folder / "call.json"
    program.write_text(
        NOTES.format(python=sys.executable, notes=str(notes), code=repr(words or code))
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder))
    return notes


def called(notes: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(notes.read_text())
    return found


KUBECONFIGS = {
    "one file": "/k/staging",
    "several files, of which the context stands in one": f"/k/staging{os.pathsep}/k/kind",
}


@pytest.mark.parametrize("kubeconfig", KUBECONFIGS.values(), ids=KUBECONFIGS)
@pytest.mark.parametrize("deed", [kubectl.apply, kubectl.delete], ids=["apply", "delete"])
def test_the_context_is_looked_up_in(
    deed: Any, kubeconfig: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = stand_in(tmp_path, monkeypatch)
    monkeypatch.setenv("KUBECONFIG", "/k/of-somebody-else")
    deed("staging", kubeconfig, "shop", tmp_path)
    found = called(notes)
    assert found["kubeconfig"] == kubeconfig
    assert found["argv"][:4] == ["--context", "staging", "-n", "shop"]


def test_without_a_kubeconfig_of_its_own_it_takes_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = stand_in(tmp_path, monkeypatch)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    kubectl.apply("staging", "", "shop", tmp_path)
    assert called(notes)["kubeconfig"] is None


def test_what_it_refuses_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, monkeypatch, code=1)
    with pytest.raises(StackError, match="`kubectl --context staging -n shop apply"):
        kubectl.apply("staging", "/k/staging", "shop", tmp_path)


@pytest.mark.parametrize(("words", "wanted"), NEXT_STEPS.items())
def test_what_to_do_about_a_refusal_is_told(
    words: str, wanted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, monkeypatch, words=words)
    with pytest.raises(StackError) as refused:
        kubectl.apply("staging", "", "shop", tmp_path)
    assert words in str(refused.value)
    assert wanted in refused.value.next_step
    assert bool(wanted) == bool(refused.value.next_step)


def test_a_machine_without_one_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InvalidError, match="has no kubectl"):
        kubectl.apply("staging", "", "shop", tmp_path)
