"""Writes the stored runs of the corpus again; run it after a wanted change of the result.

.venv/bin/python -m tests.corpus.regenerate          # judge the stored evidence again
.venv/bin/python -m tests.corpus.regenerate --anew   # live through every story again

Prints each verdict with its reasons. The stories say what they must be: the test does not
pass only because the runs were written again.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from harness import store
from harness.cli.documents import conclude_again
from harness.result import dump
from tests.corpus.archive import FOLDER, pack, result, store_anew, unpack
from tests.corpus.stories import STORIES


def main(anew: bool) -> None:
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        for name in STORIES:
            archive = FOLDER / f"{name}.tar.xz"
            if anew or not archive.exists():
                path = store_anew(name, Path(scratch))
            else:
                path = unpack(name, Path(scratch))
                (path / store.RESULT).write_bytes(dump(conclude_again(path).result))
                store.seal(path)
            archive.write_bytes(pack(path))
            verdict = json.loads(json.dumps(result(path)["verdict"]))
            codes = [r["code"] for r in verdict["reasons"]]
            print(f"{name}: {verdict['name']} {codes}")  # noqa: T201 - its output
        for left in set(FOLDER.glob("*.tar.xz")) - {FOLDER / f"{n}.tar.xz" for n in STORIES}:
            left.unlink()


if __name__ == "__main__":
    main("--anew" in sys.argv)
