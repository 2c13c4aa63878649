"""What many verbs take: the form of what is printed, and where runs and baselines lie."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

RESULTS = Path("results/runs")
BASELINES = Path("results/baselines")


class Form(StrEnum):
    """What a verb prints."""

    TEXT = "text"
    JSON = "json"


Output = Annotated[Form, typer.Option("-o", "--output", help="What to print.")]
Out = Annotated[Path, typer.Option("--out", help="Folder of the run folders.")]
