"""The verbs of `harness load`. Heavy imports wait until a verb needs them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.forms import Form, Output

CAPACITY = Path("results/capacity")

# What a search for the knee asks for, whichever verb begins it.
File = Annotated[Path, typer.Argument(help="Scenario file.")]
Lowest = Annotated[str | None, typer.Option(help="Rate to search the knee from, such as 10/s.")]
Highest = Annotated[
    str | None, typer.Option(help="Rate never to exceed; the guards' max_rate is one too.")
]
Hold = Annotated[str, typer.Option(help="How long each step is judged.")]
Cooldown = Annotated[str, typer.Option(help="Rest after each step of the search.")]
Precision = Annotated[str, typer.Option(help="How wide the knee's interval may be.")]
Steps = Annotated[int, typer.Option(min=1, max=500, help="End the search after so many.")]
Overlay = Annotated[str | None, typer.Option(help="Overlay under `profiles:` to apply.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="key.path=value, over the file.")]
Folder = Annotated[Path, typer.Option("--out", help="Folder of what is found.")]

load_app = typer.Typer(
    no_args_is_help=True, help="How much load the target bears, and more hosts to send it."
)


@load_app.command("find-knee")
def find_knee(
    file: File,
    under: Annotated[
        str | None, typer.Option(help="Experiment to hold during each step: N-1 capacity.")
    ] = None,
    lowest: Lowest = None,
    highest: Highest = None,
    warmup: Annotated[str, typer.Option(help="Load before each step is judged.")] = "3s",
    hold: Hold = "12s",
    cooldown: Cooldown = "3s",
    precision: Precision = "10%",
    steps: Steps = 40,
    profile: Overlay = None,
    settings: Settings = None,
    out: Folder = CAPACITY,
    output: Output = Form.TEXT,
) -> int:
    """Find the highest arrival rate at which the steady objectives hold."""
    from harness.cli import capacity

    return capacity.find_knee(
        capacity.Asked(
            file=file,
            profile=profile,
            overrides=tuple(settings or ()),
            under=under,
            lowest=lowest,
            highest=highest,
            warmup=warmup,
            hold=hold,
            cooldown=cooldown,
            precision=precision,
            most_steps=steps,
            out=out,
            output=output,
        )
    )


@load_app.command("worker")
def worker(
    master: Annotated[
        str, typer.Option(help="HOST[:PORT] of the load master, as `harness run` printed it.")
    ],
    profile: Annotated[
        Path | None, typer.Option(help="Locustfile of this host; by default the master's is sent.")
    ] = None,
    environment: Annotated[
        list[str] | None, typer.Option("--env", help="Variable that the locustfile may see.")
    ] = None,
    wait: Annotated[str, typer.Option(help="How long to look for the master.")] = "5m",
) -> int:
    """Send a part of the load of a `harness run` on another host."""
    from harness.cli import load_worker

    return load_worker.join(
        load_worker.Asked(
            master=master,
            profile=profile,
            names=tuple(environment or ()),
            wait=wait,
        )
    )


@load_app.command("overload")
def overload(
    file: File,
    knee: Annotated[
        str | None, typer.Option(help="The knee, such as 100/s; searched first when not given.")
    ] = None,
    times: Annotated[float, typer.Option(help="The top of the staircase, in knees.")] = 2.0,
    start: Annotated[
        str, typer.Option("--from", help="Where it begins and ends, of the knee.")
    ] = "50%",
    step: Annotated[str, typer.Option(help="How high a step is, of the knee.")] = "25%",
    settle: Annotated[str, typer.Option(help="Load of each step before it is judged.")] = "3s",
    hold: Hold = "12s",
    watch: Annotated[str, typer.Option(help="Load of the last step before it is judged.")] = "20s",
    lowest: Lowest = None,
    highest: Highest = None,
    cooldown: Cooldown = "3s",
    precision: Precision = "10%",
    steps: Steps = 40,
    profile: Overlay = None,
    settings: Settings = None,
    out: Folder = CAPACITY,
    output: Output = Form.TEXT,
) -> int:
    """Go up to twice the knee and down again: does goodput hold, and does it come back?"""
    from harness.cli import capacity
    from harness.cli import overload as analysis

    search = capacity.Asked(
        file=file,
        profile=profile,
        overrides=tuple(settings or ()),
        under=None,
        lowest=lowest,
        highest=highest,
        warmup=settle,
        hold=hold,
        cooldown=cooldown,
        precision=precision,
        most_steps=steps,
        out=out,
        output=output,
    )
    return analysis.overload(
        analysis.Asked(search=search, knee=knee, times=times, lowest=start, step=step, watch=watch)
    )
