"""The log of a child process, written by us so that no secret gets into it."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from harness.redaction import Redactor

LONGEST_LINE = 1 << 20
END_TIMEOUT_S = 2.0


class RedactedLog:
    """Appends what a child says to a file, line by line, without its secrets.

    Args:
        path: The file; made when the child is started.
        redactor: Knows the secrets.
    """

    def __init__(self, path: Path, redactor: Redactor) -> None:
        self._path = path
        self._redactor = redactor
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def writing(self) -> Iterator[IO[bytes]]:
        """The end of the pipe for the child; ours is closed when it has been started."""
        reading, writing = os.pipe()
        source = os.fdopen(reading, "rb")
        self._thread = threading.Thread(target=self._copy, args=(source,), daemon=True)
        self._thread.start()
        with os.fdopen(writing, "wb") as output:
            yield output

    def close(self) -> None:
        """Wait for what the child has said last; one that lives on keeps its log."""
        if self._thread is not None:
            self._thread.join(END_TIMEOUT_S)

    def _copy(self, source: IO[bytes]) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        with source, os.fdopen(os.open(self._path, flags, 0o600), "wb", buffering=0) as target:
            while line := source.readline(LONGEST_LINE):
                text = self._redactor.text(line.decode(errors="replace"))
                # A full disk must not stop the child, which would wait for us to read on.
                with contextlib.suppress(OSError):
                    target.write(text.encode())
