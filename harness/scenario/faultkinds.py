"""The kinds of inline faults, by their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, get_args

from pydantic import Field

from harness.scenario.clusterfaults import (
    BadImageFault,
    ConfigFault,
    ContainerKillFault,
    CordonFault,
    DnsFault,
    DrainFault,
    EvictFault,
    IsolateFault,
    NodePressureFault,
    NodeStopFault,
    PodKillFault,
    QuotaFault,
    RolloutRestartFault,
)
from harness.scenario.edgefaults import (
    BandwidthFault,
    DownFault,
    Http429Fault,
    HttpErrorFault,
    LatencyFault,
    LimitDataFault,
    ResetPeerFault,
    SlicerFault,
    SlowCloseFault,
    SlowFirstByteFault,
    StallStreamFault,
    TimeoutFault,
    TruncateStreamFault,
)
from harness.scenario.fields import Shape
from harness.scenario.servicefaults import (
    ClockFault,
    CpuFault,
    DescriptorsFault,
    DisconnectFault,
    DiskFault,
    DiskLatencyFault,
    KillFault,
    MemoryFault,
    PartitionFault,
    PauseFault,
    PoolExhaustionFault,
    RestartFault,
    StopFault,
)

Fault = Annotated[
    TimeoutFault
    | LatencyFault
    | BandwidthFault
    | ResetPeerFault
    | SlicerFault
    | LimitDataFault
    | SlowCloseFault
    | DownFault
    | HttpErrorFault
    | Http429Fault
    | SlowFirstByteFault
    | StallStreamFault
    | TruncateStreamFault
    | KillFault
    | RestartFault
    | PauseFault
    | StopFault
    | DescriptorsFault
    | ClockFault
    | DisconnectFault
    | PartitionFault
    | CpuFault
    | MemoryFault
    | DiskFault
    | DiskLatencyFault
    | PoolExhaustionFault
    | PodKillFault
    | EvictFault
    | ContainerKillFault
    | CordonFault
    | DrainFault
    | NodeStopFault
    | RolloutRestartFault
    | BadImageFault
    | ConfigFault
    | QuotaFault
    | IsolateFault
    | DnsFault
    | NodePressureFault,
    Field(discriminator="kind"),
]

FAULT_KINDS: Mapping[str, type[Shape]] = {
    get_args(shape.model_fields["kind"].annotation)[0]: shape
    for shape in get_args(get_args(Fault)[0])
}
