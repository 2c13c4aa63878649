"""The shape of a scenario file: every key, its kind, its default, and what it means.

Only the shape of single values and mappings is held here and in the sections; what depends
on two places of the file is in :mod:`harness.scenario.checks`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints, WithJsonSchema

from harness.scenario.faultkinds import Fault
from harness.scenario.fields import Argument, Name, ProjectFile, Rate, Shape, Text, VariableName
from harness.scenario.problems import quoted
from harness.scenario.sections import (
    OBJECTIVE_EXAMPLES,
    OBJECTIVE_HELP,
    BlastRadius,
    GatedObjective,
    Inside,
    Load,
    Master,
    Phases,
    Stack,
    WaivedCheck,
)
from harness.scenario.sliquery import SliQuery
from harness.scenario.targets import TargetNames
from harness.scenario.writeseries import Durability

ABORT_HELP = (
    "A condition with `for`; once it has held that long, every fault is undone and the run ends "
    "as a failure."
)


def _as_gated(value: object) -> object:
    """A bare line means: gate fail."""
    if isinstance(value, str):
        return {"check": value}
    if not isinstance(value, dict):
        raise ValueError(  # noqa: TRY004 - pydantic turns only ValueError into a problem
            f"expected an objective such as a.p99 < 1s during steady, found {quoted(value)}"
        )
    return value


ObjectiveLine = Annotated[GatedObjective, BeforeValidator(_as_gated)]
AbortLine = Annotated[
    str,
    WithJsonSchema({"type": "string", "minLength": 1, "examples": ["orders.errors > 60% for 20s"]}),
]


def _whole(value: object) -> object:
    """``true`` and ``1.0`` equal 1 in Python, but are no version."""
    if type(value) is not int:
        raise ValueError(f"expected 1, found {quoted(value)}")
    return value


class ScenarioFile(Shape):
    """What one reliability run does and asks for."""

    version: Annotated[Literal[1], BeforeValidator(_whole)] = Field(
        description="Version of this file format.", examples=[1]
    )
    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")] = Field(
        description="Name of the scenario; runs and baselines are kept under it.",
        examples=["kafka-broker-down"],
    )
    stack: Stack = Field(description="The system under test.", examples=[{"driver": "local"}])
    load: Load = Field(description="The offered load.")
    experiment: ProjectFile | None = Field(
        default=None,
        description="Chaos Toolkit experiment to run. Exactly one of `experiment` and `faults`.",
        examples=["experiments/llm-timeout.json"],
    )
    faults: list[Fault] | None = Field(
        default=None,
        description="Faults written here instead of in an experiment; an empty list is a pure "
        "load test.",
        examples=[[{"kind": "timeout", "target": "gateway->llm-gateway", "hold": "20s"}]],
    )
    with_: dict[Name, Argument] | None = Field(
        default=None,
        alias="with",
        description="Values for the experiment's configuration, as text, or as numbers where it "
        "declares them with `env_var_type`. Only with `experiment`.",
        examples=[{"hold": "40s"}],
    )
    phases: Phases = Field(
        default=Phases(),
        json_schema_extra={"default": {}},
        description="Planned length of each phase.",
        examples=[{"warmup": "10s", "steady": "60s", "recovery": "60s", "after": "10s"}],
    )
    slis: dict[Name, SliQuery] = Field(
        default_factory=dict,
        description="Service level indicators out of Prometheus, by the name that objectives use.",
        examples=[{"lag": {"query": "sum(kafka_consumer_lag)"}}],
    )
    durability: dict[Name, Durability] | None = Field(
        default=None,
        description="Acknowledged writes to reconcile after the fault.",
        examples=[
            {"orders": {"writes": "POST /orders", "read": "postgres.orders", "key": "order_id"}}
        ],
    )
    objectives: Annotated[list[ObjectiveLine], Field(min_length=1)] = Field(
        description="What must hold. " + OBJECTIVE_HELP, examples=[OBJECTIVE_EXAMPLES[:2]]
    )
    waivers: list[WaivedCheck] = Field(
        default_factory=list,
        description="Checks whose violation is known and does not decide for now. Each is shown in "
        "every report; none can be given on the command line.",
        examples=[
            [
                {
                    "check": "orders.p99 < 250ms during after",
                    "reason": "SHOP-123: the cache warms too slowly",
                    "owner": "team-checkout",
                    "expires": "2026-12-31",
                }
            ]
        ],
    )
    only_affects: list[Text] = Field(
        default_factory=list,
        description="Journeys that the fault may harm; harm to any other fails the run. Empty: "
        "not checked.",
        examples=[["orders"]],
    )
    abort: list[AbortLine] = Field(
        default_factory=list, description=ABORT_HELP, examples=[["orders.errors > 60% for 20s"]]
    )
    metrics: Literal["none"] | None = Field(
        default=None,
        description="`none`: there is no Prometheus; the verdict says that it is client side only.",
        examples=["none"],
    )
    targets: dict[Text, TargetNames] = Field(
        default_factory=dict,
        description="What a logical fault target is called under each driver, where the names "
        "differ. A fault's `target` and `peer`, and values under `with`, may be a logical name.",
        examples=[{"worker": {"local": "worker-1", "compose": "worker.1"}}],
    )
    profiles: dict[Text, dict[str, Any]] = Field(
        default_factory=dict,
        description="Overlays by name, laid over the file with `--profile NAME`: mappings key by "
        "key, anything else replaced.",
        examples=[{"ci": {"load": {"arrivals": "20/s"}}}],
    )
    blast_radius: BlastRadius | None = Field(
        default=None,
        description="How much the faults may touch at most; refused before anything is touched.",
        examples=[{"max_targets": 1, "max_share": "34%"}],
    )
    environment: list[VariableName] = Field(
        default_factory=list,
        description="Environment variables that load profile and experiment are handed, besides "
        "those that the experiment names itself. No others reach them.",
        examples=[["SHOP_REGION"]],
    )
    secrets: list[VariableName] = Field(
        default_factory=list,
        description="Names of environment variables, handed on like `environment`, or of values "
        "under `with`; what they hold is written nowhere.",
        examples=[["SHOP_ORDERS_LOGIN"]],
    )
    max_rate: Rate | None = Field(
        default=None,
        description="The highest arrival rate that this target may ever get; guards against a "
        "slip in `arrivals`.",
        examples=["200/s"],
    )


#: The model that holds the keys of each top-level mapping or mapping of mappings.
SECTIONS: Mapping[str, type[Shape]] = {
    "stack": Stack,
    "load": Load,
    "load.master": Master,
    "load.inside": Inside,
    "phases": Phases,
    "blast_radius": BlastRadius,
    "slis": SliQuery,
    "durability": Durability,
    "objectives": GatedObjective,
    "waivers": WaivedCheck,
    "targets": TargetNames,
}
