"""How a load process is tied to whoever started it: what it hands over, when it may begin.

On the harness's own machine the tie is the run's folder (:class:`FolderLink`); a worker on
another host has a connection to the load master instead (``joined``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from harness.load.plan import LoadPlan
from harness.load.records import HEADER, SampleFiles, Sink, file_of
from harness.load.rendezvous import announce_ready, say, zero_of


class Link(Protocol):
    """What the engine needs of whoever started it."""

    @property
    def sink(self) -> Sink:
        """Where what it records goes."""
        ...

    def announce_ready(self) -> None:
        """Its users wait for work."""
        ...

    def zero(self) -> float | None:
        """When the schedule begins, on this machine's clock; None while nobody has said so."""
        ...

    def begins(self, wall: float) -> None:
        """It follows the schedule from here on."""
        ...

    def severed(self) -> bool:
        """Whether nobody is there any more who would want the load."""
        ...


class FolderLink:
    """The run's folder; the kernel ends this process when the harness dies."""

    def __init__(self, plan: LoadPlan) -> None:
        self._plan = plan
        self._folder = Path(plan.folder)
        self._files = SampleFiles(self._folder, plan.worker)

    @property
    def sink(self) -> Sink:
        """The worker's sample files."""
        return self._files

    def announce_ready(self) -> None:
        """Touch the worker's file."""
        announce_ready(self._folder, self._plan.worker)

    def zero(self) -> float | None:
        """What the harness wrote."""
        return zero_of(self._folder)

    def begins(self, wall: float) -> None:
        """Write the header."""
        write_header(self._folder, self._plan, wall)

    def severed(self) -> bool:
        """Never: a process whose harness is gone is gone too."""
        return False


def write_header(folder: Path, plan: LoadPlan, zero: float) -> None:
    """Say in the folder that this worker follows its plan, and since when."""
    mode = "closed" if plan.arrivals is None else "open"
    header = {"zero": zero, "mode": mode, "plan": plan.dump()}
    say(file_of(folder, HEADER, plan.worker), header)
