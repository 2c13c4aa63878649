"""The kustomization that a deployment of the harness is made from: an overlay and its defects.

A defect is a component, where the platform has one of its name (a manifest is wrong), else a word
in the environment of the services (a program is wrong).
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from harness.errors import InvalidError

FILE = "kustomization.yaml"
COMPONENTS = "defects"
PLANTED = "planted"


def text(overlay: Path, defects: tuple[str, ...], namespace: str, folder: Path) -> str:
    """A kustomization, as JSON, which every reader of YAML reads.

    Args:
        overlay: Folder of the overlay.
        defects: Names of defects.
        namespace: Where all of it goes.
        folder: Where the text will stand; its paths are relative to that.

    Raises:
        InvalidError: The overlay is no kustomization.
    """
    if not (overlay / FILE).is_file():
        raise InvalidError(f"There is no {FILE} in {overlay}.", "Correct `stack.overlay`.")
    known = {name: _component(overlay, name) for name in defects}
    words = [name for name, component in known.items() if component is None]
    document = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": namespace,
        "resources": [_relative(overlay, folder)],
        "components": [_relative(path, folder) for path in known.values() if path is not None],
        "configMapGenerator": [{"name": PLANTED, "literals": [f"DEFECTS={','.join(words)}"]}],
        "generatorOptions": {"disableNameSuffixHash": True},
    }
    return json.dumps(document, indent=2) + "\n"


def _component(overlay: Path, name: str) -> Path | None:
    """The nearest one above the overlay: parts of one platform share their defects."""
    for above in (overlay, *overlay.resolve().parents):
        if (above / COMPONENTS / name / FILE).is_file():
            return above / COMPONENTS / name
    return None


def _relative(path: Path, folder: Path) -> str:
    return os.path.relpath(path.resolve(), folder.resolve())
