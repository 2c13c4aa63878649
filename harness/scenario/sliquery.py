"""The shape of one SLI out of Prometheus."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import ConfigDict, Field, StrictBool, StringConstraints, model_validator

from harness.scenario.fields import LongerDuration, Shape, Text
from harness.slis import Sli, buckets

#: A metric, and matchers in braces.
HISTOGRAM = r"^[a-zA-Z_:][a-zA-Z0-9_:]*(\{[^{}]*\})?$"
DEFAULT_WINDOW_S = 10.0
_WITNESS = re.compile(r"[\w-]+\.(p\d+|errors|availability|degraded)")

_FORMS: Mapping[str, tuple[str, ...]] = {
    "query": ("query",),
    "good": ("good", "total"),
    "bad": ("bad", "total"),
    "histogram": ("histogram", "quantile"),
}
_EVERY = ("query", "good", "bad", "total", "histogram", "quantile", "window", "native")
_OF_HISTOGRAM = {"window", "native"}  # these may stand beside `histogram`, and nowhere else


class SliQuery(Shape):
    """A Prometheus query: as it is, as a ratio of two, or as the quantile of a histogram."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {
                    "required": list(keys),
                    "properties": {
                        other: False
                        for other in _EVERY
                        if other not in keys
                        and not (form == "histogram" and other in _OF_HISTOGRAM)
                    },
                }
                for form, keys in _FORMS.items()
            ]
        }
    )

    query: Text | None = Field(
        default=None,
        description="PromQL that gives one number. Either this, or one of the forms below.",
        examples=["sum(kafka_consumer_lag)"],
    )
    good: Text | None = Field(
        default=None,
        description="PromQL for the good events; divided by `total`.",
        examples=['sum(rate(http_requests_total{code!~"5.."}[10s]))'],
    )
    bad: Text | None = Field(
        default=None,
        description="PromQL for the bad events; divided by `total`. Where there is no such "
        "series it is 0, but only while `total` is above 0 and the targets are up.",
        examples=['sum(rate(http_requests_total{code=~"5.."}[10s]))'],
    )
    total: Text | None = Field(
        default=None,
        description="PromQL for all events.",
        examples=["sum(rate(http_requests_total[10s]))"],
    )
    histogram: Annotated[str, StringConstraints(pattern=HISTOGRAM)] | None = Field(
        default=None,
        description="Name of a histogram (without `_bucket`), with matchers if need be. A "
        "quantile in its last bucket is no measurement, instead of that bucket's lower bound.",
        examples=['http_request_duration_seconds{service="gateway"}'],
    )
    quantile: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        default=None, description="Which quantile of `histogram`.", examples=[0.99]
    )
    window: LongerDuration | None = Field(
        default=None,
        description="Over how long the rates of `histogram` are taken; 10s by default.",
        examples=["10s"],
    )
    native: StrictBool | None = Field(
        default=None,
        description="Whether `histogram` is a native histogram, which only a Prometheus that was "
        "told to keeps (`--enable-feature=native-histograms`); a classic one by default.",
        examples=[True],
    )
    witness: Text | None = Field(
        default=None,
        description="The statistic of the load that sees the same. Both are shown; where they "
        "differ by more than the bucket, checks of this SLI in steady are inconclusive.",
        examples=["orders.p99"],
    )

    @model_validator(mode="after")
    def _one_form(self) -> SliQuery:
        given = {key for key in _EVERY if getattr(self, key) is not None}
        if given - _OF_HISTOGRAM not in [set(keys) for keys in _FORMS.values()]:
            raise ValueError(
                "expected `query`, or `good` and `total`, or `bad` and `total`, or `histogram` "
                f"and `quantile`; found {', '.join(sorted(given)) or 'none of them'}"
            )
        if self.window is not None and self.histogram is None:
            raise ValueError("`window` is for `histogram`; a query says its own range")
        if self.native is not None and self.histogram is None:
            raise ValueError("`native` is for `histogram`; it says of which kind that one is")
        if self.witness is not None and not _WITNESS.fullmatch(self.witness):
            raise ValueError(
                f"witness {self.witness!r} must name a statistic of the load, such as orders.p99 "
                "or orders.errors"
            )
        return self

    def sli(self, name: str) -> Sli:
        """What is asked of Prometheus."""
        query, window_s = self.query or "", 0.0
        if self.total is not None:
            query = f"({self.good or self.bad}) / ({self.total})"
        elif self.histogram is not None:
            window_s = self.window or DEFAULT_WINDOW_S
            rates = buckets(self.histogram, window_s, native=bool(self.native))
            query = f"histogram_quantile({self.quantile:g}, {rates})"
        return Sli(
            name=name,
            query=query,
            good=self.good or "",
            bad=self.bad or "",
            total=self.total or "",
            histogram=self.histogram or "",
            quantile=self.quantile or 0.0,
            window_s=window_s,
            native=bool(self.native),
            witness=self.witness or "",
        )
