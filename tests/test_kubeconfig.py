"""What a kubeconfig says of the cluster that a context leads to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.cluster_guards import ClusterEntry
from harness.errors import InvalidError
from harness.kubeconfig import entry_of


def document(context: str = "staging", cluster: str = "c", server: str = "https://a") -> Any:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "another",
        "contexts": [{"name": context, "context": {"cluster": cluster, "user": "u"}}],
        "clusters": [{"name": cluster, "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"exec": {"command": "/nowhere", "args": []}}}],
    }


def written(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_the_entry_of_a_context_is_found(tmp_path: Path) -> None:
    path = written(tmp_path / "a", json.dumps(document()))
    assert entry_of("staging", path) == ClusterEntry(
        context="staging", name="c", server="https://a"
    )


def test_the_environment_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", written(tmp_path / "a", json.dumps(document())))
    assert entry_of("staging").name == "c"


def test_of_several_files_each_may_have_a_part_and_the_first_one_wins(tmp_path: Path) -> None:
    first, second = document(), document(server="https://b")
    first["clusters"] = []
    path = ":".join(
        written(tmp_path / name, json.dumps(text))
        for name, text in (("a", first), ("b", second), ("c", document(server="https://c")))
    )
    assert entry_of("staging", path).server == "https://b"


BAD: dict[str, tuple[str, str]] = {
    "no such context": (json.dumps(document(context="other")), "Expected object with name staging"),
    "no cluster of that name": (
        json.dumps(document() | {"clusters": []}),
        "Invalid kube-config file",
    ),
    "a cluster without a server": (
        json.dumps(document() | {"clusters": [{"name": "c", "cluster": {"x": 1}}]}),
        "Expected key server",
    ),
    "a server that is no text": (
        json.dumps(document() | {"clusters": [{"name": "c", "cluster": {"server": 3}}]}),
        "the server of its cluster is no text",
    ),
    "nothing": ("", "file is empty"),
    "no mapping": ("- a", "cannot be used"),
    "no YAML": ("a: [", "cannot be used"),
    "contexts that are text": (json.dumps(document() | {"contexts": "x"}), "cannot be used"),
}


@pytest.mark.parametrize(("text", "words"), BAD.values(), ids=BAD)
def test_what_cannot_be_read_is_said_with_the_context(
    text: str, words: str, tmp_path: Path
) -> None:
    path = written(tmp_path / "a", text)
    with pytest.raises(InvalidError, match="The context 'staging' cannot be used") as caught:
        entry_of("staging", path)
    assert words in str(caught.value)
    assert "kubectl config get-contexts" in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match=r"there is no kubeconfig at .*nowhere"):
        entry_of("staging", str(tmp_path / "nowhere"))
