"""The shape of each inline fault on an edge."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from harness.scenario.faultshapes import DirectedFault, HeldFault, SharedFault
from harness.scenario.fields import UrlPath


class TimeoutFault(DirectedFault):
    """Black hole on an edge: connections are accepted, nothing ever comes back."""

    kind: Literal["timeout"] = Field(description="What breaks.", examples=["timeout"])


class LatencyFault(DirectedFault):
    """Added delay on an edge, on the way to the caller or to the callee."""

    kind: Literal["latency"] = Field(description="What breaks.", examples=["latency"])
    latency_ms: Annotated[int, Field(ge=1, le=3_600_000)] = Field(
        description="Delay added to each answer or request, in milliseconds.", examples=[100]
    )
    jitter_ms: Annotated[int, Field(ge=0, le=3_600_000)] = Field(
        default=0,
        description="The delay varies by up to this much; below `latency_ms`.",
        examples=[20],
    )

    @model_validator(mode="after")
    def _jitter_below(self) -> LatencyFault:
        if self.jitter_ms >= self.latency_ms:
            raise ValueError(
                f"jitter_ms {self.jitter_ms} must be below latency_ms {self.latency_ms}"
            )
        return self


class BandwidthFault(DirectedFault):
    """What is sent one way on an edge passes at a limited rate."""

    kind: Literal["bandwidth"] = Field(description="What breaks.", examples=["bandwidth"])
    rate_kb_s: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        description="Rate of each connection, in kilobytes per second.", examples=[10]
    )


class ResetPeerFault(DirectedFault):
    """Connections on an edge are reset instead of answered."""

    kind: Literal["reset_peer"] = Field(description="What breaks.", examples=["reset_peer"])
    after_ms: Annotated[int, Field(ge=0, le=2000)] = Field(
        default=0,
        description="Time from the first bytes to the reset, in milliseconds.",
        examples=[50],
    )


class SlicerFault(SharedFault):
    """Answers on an edge are cut into small pieces with pauses between them."""

    kind: Literal["slicer"] = Field(description="What breaks.", examples=["slicer"])
    average_bytes: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=16, description="Size of a piece, in bytes.", examples=[32]
    )
    vary_bytes: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        default=0,
        description="The size varies by up to this much; below `average_bytes`.",
        examples=[8],
    )
    delay_us: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=1000, description="Pause after each piece, in microseconds.", examples=[5000]
    )

    @model_validator(mode="after")
    def _variation_below(self) -> SlicerFault:
        if self.vary_bytes >= self.average_bytes:
            raise ValueError(
                f"vary_bytes {self.vary_bytes} must be below average_bytes {self.average_bytes}"
            )
        return self


class LimitDataFault(SharedFault):
    """Connections on an edge are closed after so many bytes of answers."""

    kind: Literal["limit_data"] = Field(description="What breaks.", examples=["limit_data"])
    limit_bytes: Annotated[int, Field(ge=1, le=1_000_000_000)] = Field(
        description="What passes on one connection, headers included, in bytes.", examples=[100]
    )


class SlowCloseFault(SharedFault):
    """Connections on an edge stay open for a while after the callee has closed them."""

    kind: Literal["slow_close"] = Field(description="What breaks.", examples=["slow_close"])
    delay_ms: Annotated[int, Field(ge=50, le=3000)] = Field(
        description="How long the end is held back, in milliseconds.", examples=[500]
    )


class DownFault(HeldFault):
    """Nobody listens on an edge: connections are refused, and those that were open end."""

    kind: Literal["down"] = Field(description="What breaks.", examples=["down"])


class HttpFaultShape(HeldFault):
    """A fault in the answers on an edge that may hit only some of the requests."""

    share: Annotated[float, Field(ge=0.05, le=1)] = Field(
        default=1.0,
        description="Share of the requests that it hits; drawn once per request.",
        examples=[0.5],
    )
    path: UrlPath = Field(
        default="/",
        description="It hits only requests whose path begins so.",
        examples=["/v1/chat/completions"],
    )
    look_path: UrlPath | None = Field(
        default=None,
        description="Where to look whether it bites; by default the edge's health path, or "
        "`path` where that is not hit. A GET of it must be harmless.",
        examples=["/metrics"],
    )

    @model_validator(mode="after")
    def _looks_where_it_hits(self) -> HttpFaultShape:
        if self.look_path is not None and not self.look_path.startswith(self.path):
            raise ValueError(f"look_path {self.look_path} must begin with path {self.path}")
        return self


class HttpErrorFault(HttpFaultShape):
    """Requests on an edge are answered with an HTTP error instead of being passed on."""

    kind: Literal["http_error"] = Field(description="What breaks.", examples=["http_error"])
    status: Annotated[int, Field(ge=400, le=599)] = Field(
        default=503, description="Status of the answer.", examples=[500]
    )
    body: str = Field(default="", description="Text of the answer.", examples=["out of order"])


class Http429Fault(HttpFaultShape):
    """Requests on an edge are refused as too many, and told when to come again."""

    kind: Literal["http_429"] = Field(description="What breaks.", examples=["http_429"])
    retry_after_s: Annotated[int, Field(ge=0, le=3600)] = Field(
        default=1,
        description="The header `Retry-After`, in seconds; 0 sends none.",
        examples=[5],
    )


class SlowFirstByteFault(HttpFaultShape):
    """Answers on an edge begin late; what follows the first byte is not slowed down."""

    kind: Literal["slow_first_byte"] = Field(
        description="What breaks.", examples=["slow_first_byte"]
    )
    delay_ms: Annotated[int, Field(ge=50, le=3_600_000)] = Field(
        description="How much later the first byte comes, in milliseconds.", examples=[2000]
    )


class StallStreamFault(HttpFaultShape):
    """Answers on an edge stop in the middle, with the connection open."""

    kind: Literal["stall_stream"] = Field(description="What breaks.", examples=["stall_stream"])
    after_bytes: Annotated[int, Field(ge=0, le=1_000_000_000)] = Field(
        description="How many bytes of a body come first; shorter ones pass whole.", examples=[600]
    )
    stall_ms: Annotated[int, Field(ge=0, le=3_600_000)] = Field(
        default=0,
        description="How long it stops, in milliseconds, at least 50; 0 is for good.",
        examples=[2000],
    )

    @model_validator(mode="after")
    def _long_enough(self) -> StallStreamFault:
        if 0 < self.stall_ms < 50:
            raise ValueError(f"stall_ms {self.stall_ms} must be 0 (for good) or at least 50")
        return self


class TruncateStreamFault(HttpFaultShape):
    """Answers on an edge break off in the middle: the connection ends before they do."""

    kind: Literal["truncate_stream"] = Field(
        description="What breaks.", examples=["truncate_stream"]
    )
    after_bytes: Annotated[int, Field(ge=0, le=1_000_000_000)] = Field(
        description="How many bytes of a body come first; shorter ones pass whole.", examples=[600]
    )
