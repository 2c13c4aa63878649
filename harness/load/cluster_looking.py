"""Looks at the pod with a load's master in it, on a thread of its own, as long as the load lasts.

So the pod is asked in time whatever the run does meanwhile, and what it records is here.
"""

from __future__ import annotations

import contextlib
import threading
import time

from harness.errors import HarnessError
from harness.load import cluster_messages as told
from harness.load.cluster_messages import LoadState
from harness.load.cluster_mirror import Mirror
from harness.load.cluster_pods import Asker
from harness.load.messages import MessageError

EARLY_LOOK_S = 0.05  #: between two looks by which the pod's clock becomes known
BEGIN_WITHIN_S = 4.5


class Looking:
    """Begins at once.

    Args:
        mirror: Takes what is new; closed at the end.
        asker: Asks the pod; closed at the end.
        patience_s: How long the pod may be silent before its first word.
    """

    def __init__(self, mirror: Mirror, asker: Asker, patience_s: float) -> None:
        self._mirror, self._asker = mirror, asker
        self._epoch_offset = time.time() - time.perf_counter()
        self._patience_s = patience_s
        self._heard_at = time.monotonic()
        self._unheard = ""
        self._broken = ""
        self._sent = self._begun = self._ending = False
        self._over = threading.Event()
        self.state: LoadState | None = None
        self.order = b""  #: what the pod is to do; it is told so as soon as this is known
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def ready(self) -> bool:
        """Whether the pod answers, and its clock is known."""
        return self._mirror.offset_s is not None

    @property
    def zero(self) -> float | None:
        """When the schedule begins, on our clock; None before that is known."""
        state, offset_s = self.state, self._mirror.offset_s
        if state is None or state.zero is None or offset_s is None:
            return None
        return state.zero - offset_s

    def problem(self) -> str | None:
        """Why the load is not whole, or None while nothing is known to be wrong."""
        state = self.state
        said = "" if state is None else state.error or state.problem
        if self._broken or said:
            return self._broken or said
        silent_s = time.monotonic() - self._heard_at
        if silent_s > self._patience_s:
            why = f": {self._unheard}" if self._unheard else ""
            return f"the pod of the load's master has not answered for {silent_s:.1f} s{why}"
        return None

    def end(self, within_s: float) -> bool:
        """End the load if it was ordered, read what is left, and look no more.

        Returns:
            Whether all of it is here, and nothing is missing.
        """
        self._ending = True
        if self._sent:
            self._thread.join(within_s)
        self._over.set()
        self._thread.join(told.LOOK_WITHIN_S + BEGIN_WITHIN_S)
        state = self.state
        whole = state is not None and state.drained and state.intact
        return whole and not self._broken and not self._thread.is_alive()

    def _run(self) -> None:
        with contextlib.closing(self._asker), contextlib.closing(self._mirror):
            while not self._over.is_set():
                pause_s = told.LOOK_S
                try:
                    self._tell()
                    pause_s = self._look()
                except MessageError as error:
                    self._broken = f"what the pod of the load's master said is no use: {error}"
                except OSError as error:
                    self._broken = f"what the load's pods record cannot be written here: {error}"
                except HarnessError as error:
                    self._unheard = str(error)
                if self._ending and self._is_done():
                    return
                self._over.wait(pause_s)

    def _is_done(self) -> bool:
        silent = time.monotonic() - self._heard_at > told.SILENT_S
        return bool(self._broken) or silent or (self.state is not None and self.state.drained)

    def _tell(self) -> None:
        if self.order and not self._begun:
            self._sent = True  # it may have been heard even if no answer comes
            self._asker.ask(told.BEGIN, self.order, BEGIN_WITHIN_S)
            self._begun = True
        if self._ending:
            self._asker.ask(told.END, b"", told.LOOK_WITHIN_S)

    def _look(self) -> float:
        """One look; how long to wait before the next."""
        question = self._mirror.question()
        sent = self._now()
        answer = self._asker.ask(told.LOOK, question, told.LOOK_WITHIN_S)
        returned = self._now()
        self.state = state = self._mirror.take(answer, sent, returned)
        self._heard_at, self._unheard = time.monotonic(), ""
        self._patience_s = told.SILENT_S
        most = told.most_records(max(1, len(state.pages)))
        if any(page.report.count >= most for page in state.pages):
            return 0.0
        return told.LOOK_S if self.ready else EARLY_LOOK_S

    def _now(self) -> float:
        return time.perf_counter() + self._epoch_offset
