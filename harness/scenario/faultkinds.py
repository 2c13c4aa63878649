"""The kinds of inline faults, by their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

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
    PodKillFault,
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
    | PodKillFault,
    Field(discriminator="kind"),
]

FAULT_KINDS: Mapping[str, type[Shape]] = {
    "timeout": TimeoutFault,
    "latency": LatencyFault,
    "bandwidth": BandwidthFault,
    "reset_peer": ResetPeerFault,
    "slicer": SlicerFault,
    "limit_data": LimitDataFault,
    "slow_close": SlowCloseFault,
    "down": DownFault,
    "http_error": HttpErrorFault,
    "http_429": Http429Fault,
    "slow_first_byte": SlowFirstByteFault,
    "stall_stream": StallStreamFault,
    "truncate_stream": TruncateStreamFault,
    "kill": KillFault,
    "restart": RestartFault,
    "pause": PauseFault,
    "stop": StopFault,
    "descriptors": DescriptorsFault,
    "clock": ClockFault,
    "disconnect": DisconnectFault,
    "partition": PartitionFault,
    "cpu": CpuFault,
    "memory": MemoryFault,
    "disk": DiskFault,
    "disk_latency": DiskLatencyFault,
    "pool_exhaustion": PoolExhaustionFault,
    "pod_kill": PodKillFault,
}
