"""Chaos Toolkit as a child process: started, followed, read back, never believed.

Its exit code and its journal's ``status`` say "completed" when nothing was injected, so
neither is used. Rollbacks are always asked for, and nothing depends on their being played.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness import experiment, processes, scratch
from harness.descriptor import StackDescriptor
from harness.errors import ChaosError, InvalidError
from harness.experiment import OURS
from harness.files import write_durably
from harness.handed_on import handed_on
from harness.model import HYPOTHESIS, Activity, FaultSpec, Scenario
from harness.offspring import end_offspring, marked
from harness.project_file import PROJECT
from harness.redacted_log import RedactedLog
from harness.redaction import REDACTED, Redactor

KILL_GRACE_S = 0.5
JOURNAL = "chaos-journal.json"
LOG = "chaos.log"
EXPERIMENT = "experiment.json"
VARIABLES = "variables.json"
SETTINGS = "chaos-settings.yaml"
#: What a run of an experiment leaves in the run's folder.
FILES = (EXPERIMENT, SETTINGS, JOURNAL, LOG)
_EXCEPTION_NAMES = re.compile(r"^(?:[\w.]+(?:Failed|Error): )+")


class ChaosToolkit:
    """Runs a scenario's experiment, or its inline faults, as one ``chaos run``.

    Args:
        scenario: Names the experiment file or holds the faults.
        root: Folder that the experiment's path is relative to.
        folder: The run's folder; journal, log and settings go there.
        run_id: Handed to the fault functions.
        redactor: Knows what must not be written down.

    Raises:
        InvalidError: The experiment cannot be read.
    """

    def __init__(
        self,
        scenario: Scenario,
        root: Path,
        folder: Path,
        run_id: str,
        redactor: Redactor | None = None,
    ) -> None:
        self._named = (*scenario.environment, *scenario.secrets)
        self._redactor = redactor or Redactor()
        self._private: Path | None = None
        self._log = RedactedLog(folder / LOG, self._redactor)
        self._folder = folder
        self._run_id = run_id
        self._arguments = scenario.arguments
        self._root = root
        self._process: subprocess.Popen[bytes] | None = None
        self._path = folder / EXPERIMENT
        if scenario.experiment is not None:
            self._experiment = _read(root / scenario.experiment)
        else:
            self._experiment = compiled(scenario.name, scenario.faults)

    def document(self) -> dict[str, Any]:
        """The experiment as Chaos Toolkit will read it."""
        return self._experiment

    def targets(self) -> tuple[str, ...]:
        """Targets that the experiment's own faults name, variables resolved.

        Raises:
            InvalidError: A fault does not say what it is injected into.
        """
        return experiment.targets(experiment.steps(self._experiment, self._values()))

    def widths(self, pods: Mapping[str, int]) -> dict[str, int]:
        """How much of a stack with so many pods of each service each target stands for."""
        return experiment.widths(experiment.steps(self._experiment, self._values()), pods)

    def everywhere(self) -> tuple[str, ...]:
        """Targets whose faults may hit any service of the stack."""
        return experiment.everywhere(experiment.steps(self._experiment, self._values()))

    def urls(self) -> dict[str, str]:
        """URLs that the experiment's HTTP activities would call, by where they stand."""
        return experiment.urls(self._experiment, self._values())

    def steps(self) -> tuple[experiment.Step, ...]:
        """The experiment, activity by activity, variables resolved."""
        return experiment.steps(self._experiment, self._values())

    def _values(self) -> dict[str, Any]:
        return experiment.variables(self._experiment, self._arguments, os.environ)

    def start(self, stack: StackDescriptor, epoch: int) -> None:
        """Start the experiment.

        Raises:
            ChaosError: The child could not be started.
        """
        shown = json.dumps(self._redactor.data(self._experiment), indent=2)
        self._path.write_text(shown)
        private = self._make_private()
        settings = self._folder / SETTINGS
        settings.write_text("{}\n")
        argv = [
            sys.executable,
            "-m",
            "chaostoolkit",
            *("--no-version-check", "--no-log-file", "--settings", str(settings)),
            "run",
            *("--rollback-strategy", "always"),
            *("--journal-path", str(private / JOURNAL)),
            *("--var-file", str(private / VARIABLES)),
        ]
        names = (*self._named, *experiment.environment_names(self._experiment))
        environment = {
            **handed_on(os.environ, names),
            **marked(self._folder),
            "HARNESS_STACK": stack.id,
            "HARNESS_RUN_ID": self._run_id,
            "HARNESS_EPOCH": str(epoch),
            PROJECT: str(self._root.resolve()),
        }
        try:
            with self._log.writing() as output:
                self._process = processes.start(
                    [*argv, str(private / EXPERIMENT)],
                    env=environment,
                    cwd=self._folder,
                    output=output,
                )
        except OSError as error:
            raise ChaosError(f"Chaos Toolkit could not be started: {error}.") from error

    def running(self) -> bool:
        """Whether the child still runs."""
        if self._process is None:
            return False
        if self._process.poll() is None:
            return True
        self._keep()
        return False

    def kill(self) -> None:
        """End the child and all that it started; whatever it injected is healed by others."""
        if self._process is not None:
            processes.stop(self._process, KILL_GRACE_S)
            end_offspring(self._folder)
        self._keep()

    def _make_private(self) -> Path:
        """A folder of our own for what may hold secrets: the experiment, its values, its journal.

        Values are handed over in a file, because arguments can be seen by everybody.
        """
        self._private = folder = scratch.make(self._folder)
        values = experiment.set_by_scenario(self._experiment, self._arguments)
        for name, data in ((EXPERIMENT, self._experiment), (VARIABLES, {"configuration": values})):
            (folder / name).write_text(json.dumps(data))
        return folder

    def _keep(self) -> None:
        """Bring the journal into the run's folder without its secrets, and drop the rest."""
        self._log.close()
        if self._private is None:
            return
        journal = self._private / JOURNAL
        if journal.exists():
            kept = _without_secrets(journal.read_bytes(), self._redactor)
            write_durably(self._folder / JOURNAL, kept)
        scratch.remove(self._folder)
        self._private = None

    def activities(self) -> tuple[Activity, ...]:
        """The journal, activity by activity; empty when there is none, or none that can be read.

        Of the experiment's own hypothesis there is what was not met, as section ``hypothesis``.
        A journal appears only at the end of a run that was not killed.
        """
        path = self._folder / JOURNAL
        if not path.exists():
            return ()
        try:
            journal = json.loads(path.read_text())
            found = tuple(
                _activity(section, entry)
                for section in ("run", "rollbacks")
                for entry in journal.get(section) or ()
            )
            return (*found, *_unmet(journal.get("steady_states") or {}))
        except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
            return (Activity(section="journal", name=JOURNAL, status="failed", error=str(error)),)


def _without_secrets(journal: bytes, redactor: Redactor) -> bytes:
    """The journal with nothing under ``secrets``; one that cannot be read is text."""
    try:
        document = redactor.data(json.loads(journal))
    except ValueError:
        return redactor.raw(journal)
    experiment = document.get("experiment") if isinstance(document, dict) else None
    groups = experiment.get("secrets") if isinstance(experiment, dict) else None
    if isinstance(experiment, dict) and isinstance(groups, dict):
        experiment["secrets"] = {
            group: dict.fromkeys(entries, REDACTED) if isinstance(entries, dict) else REDACTED
            for group, entries in groups.items()
        }
    return (json.dumps(document, indent=2) + "\n").encode()


def compiled(name: str, faults: tuple[FaultSpec, ...]) -> dict[str, Any]:
    """Inline faults as a Chaos Toolkit experiment that runs on its own, too."""
    method: list[dict[str, Any]] = []
    rollbacks: list[dict[str, Any]] = []
    for fault in faults:
        module = f"{OURS}.{fault.kind}"
        target = {"target": fault.target}
        parameters = {**target, **fault.parameters}
        what = f"{fault.kind} on {fault.target}"
        method.append(_action(f"inject {what}", module, "inject", parameters))
        if fault.hold_s is not None:
            method.append(_action(f"hold {what}", OURS, "hold", {"for_s": fault.hold_s}))
        method.append(_action(f"heal {what}", module, "heal", target))
        rollbacks.insert(0, _action(f"heal {what} anyway", module, "heal", target))
    return {
        "title": name,
        "description": f"The faults of scenario {name}.",
        "method": method,
        "rollbacks": rollbacks,
    }


def _action(name: str, module: str, func: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    provider = {"type": "python", "module": module, "func": func, "arguments": dict(arguments)}
    return {"type": "action", "name": name, "provider": provider}


def _read(path: Path) -> dict[str, Any]:
    try:
        experiment = json.loads(path.read_text())
    except FileNotFoundError:
        raise InvalidError(f"The experiment {path} does not exist.") from None
    except (OSError, ValueError) as error:
        raise InvalidError(
            f"The experiment {path} cannot be read: {error}.",
            "It must be a Chaos Toolkit experiment in JSON.",
        ) from error
    if not isinstance(experiment, dict) or not isinstance(experiment.get("method"), list):
        raise InvalidError(
            f"The experiment {path} has no method; it must be a Chaos Toolkit experiment."
        )
    odd = _odd(experiment)
    if odd:
        raise InvalidError(
            f"The experiment {path} is not one: {odd} must be a mapping.",
            "`chaos validate` says what Chaos Toolkit expects.",
        )
    return experiment


def _odd(experiment: Mapping[str, Any]) -> str:
    """The first part that is not the mapping it must be."""
    parts: list[tuple[str, Any]] = [("configuration", experiment.get("configuration") or {})]
    for number, activity in enumerate(experiment["method"]):
        provider = activity.get("provider", {}) if isinstance(activity, dict) else activity
        parts.append((f"method[{number}]", provider))
    return next((name for name, part in parts if not isinstance(part, dict)), "")


def _unmet(states: Mapping[str, Any]) -> tuple[Activity, ...]:
    """Probes outside their tolerance, before, during and after the method."""
    looks = [("before", states.get("before")), ("after", states.get("after"))]
    looks += [("during", state) for state in states.get("during") or ()]
    return tuple(
        Activity(
            section=HYPOTHESIS,
            name=str(probe["activity"]["name"]),
            status="not met",
            error=f"{when} the method it gave {probe.get('output')!r}",
        )
        for when, state in looks
        for probe in (state or {}).get("probes") or ()
        if not probe.get("tolerance_met")
    )


def _activity(section: str, entry: Mapping[str, Any]) -> Activity:
    error = entry.get("exception") or ""
    if isinstance(error, list):
        error = str(error[-1]).strip() if error else ""
    return Activity(
        section=section,
        name=str(entry["activity"]["name"]),
        status=str(entry.get("status")),
        error=_EXCEPTION_NAMES.sub("", str(error).strip()),
    )
