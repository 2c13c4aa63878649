"""The stored runs of the corpus: one archive each, as small as it gets."""

from __future__ import annotations

import io
import json
import lzma
import tarfile
from pathlib import Path

from harness import store
from harness.evidence import Evidence
from harness.run import run
from harness.scenario import parse
from tests.corpus.stories import STORIES, Story
from tests.stored import PLAN, write

FOLDER = Path(__file__).parent / "runs"
#: What ``harness judge`` reads; the reports are made from it again.
KEPT = (
    *store.SEALED,
    store.MANIFEST,
    "samples/load.json",
    "samples/load.names",
    "samples/load.bin",
    "writes/ledger.0.jsonl",
    store.FOUND,
)


def happened(story: Story) -> Evidence:
    """Live through a story in the simulated world."""
    from harness.fakes import lab

    scenario = parse(story.scenario, path="golden.yaml", environment={}, exists=lambda _name: True)
    return story.change(run(lab(story.world(), scenario)))


def store_anew(name: str, out: Path) -> Path:
    """The folder of a story's run; the same bytes each time."""
    path = out / name
    path.mkdir(parents=True)
    folder = store.RunFolder(path)
    write(out, happened(STORIES[name]), folder, {**PLAN, "scenario_path": "golden.yaml"})
    return path


def pack(path: Path) -> bytes:
    """A run's folder without what can be rendered again; no times, no owners."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in KEPT:
            if (path / name).is_file():
                data = (path / name).read_bytes()
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
    filters = [
        {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 0, "lp": 3, "pb": 3}
    ]
    return lzma.compress(buffer.getvalue(), format=lzma.FORMAT_XZ, filters=filters)


def unpack(name: str, out: Path) -> Path:
    """The stored folder of a story."""
    path = out / name
    with tarfile.open(FOLDER / f"{name}.tar.xz") as archive:
        archive.extractall(path, filter="data")
    return path


def result(path: Path) -> dict[str, object]:
    """The stored result."""
    found: dict[str, object] = json.loads((path / store.RESULT).read_text())
    return found
