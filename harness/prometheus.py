"""Prometheus through prometheus-api-client, with what a verdict needs on top.

The client has no timeout of its own, retries for seconds and drops the server's warnings;
here each call has a limit and one attempt, and warnings are kept. Values arrive as text:
they become numbers here and nowhere else. Nothing, NaN and several series are told apart.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import requests
from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException
from urllib3.util.retry import Retry

from harness.errors import MetricsError
from harness.model import Series
from harness.units import parse_duration_s

TIMEOUT_S = 2.0
STALE_INTERVALS = 2.5
SCRAPES = "max(timestamp(up))"

#: How the client says that the server has a problem of its own, which no query causes.
SERVER_ERROR = "HTTP Status Code 5"

#: What asking may raise: a refusal, silence, or an answer that is not Prometheus's.
UNUSABLE = (
    PrometheusApiClientException,
    requests.RequestException,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
)

Point = tuple[float, float]


class Prometheus:
    """One Prometheus server; :meth:`attach` says which."""

    def __init__(self, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._url = ""
        self._warnings: tuple[str, ...] = ()
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.hooks["response"].append(self._keep_warnings)
        self._client: Any = None
        self._interval_s: float | None = None

    def attach(self, url: str) -> None:
        """Ask the server at this base URL from now on."""
        self._url = url
        self._interval_s = None
        self._client = PrometheusConnect(
            url=url,
            session=self._session,
            timeout=self._timeout_s,
            retry=Retry(total=0),
        )

    def alive(self) -> bool:
        """Whether the server says that it is ready."""
        try:
            answer = self._session.get(f"{self._url}/-/ready", timeout=self._timeout_s)
        except requests.RequestException:
            return False
        return answer.ok

    def scraping(self) -> bool:
        """Whether every active target was scraped well at least once."""
        try:
            targets = self._get("/api/v1/targets?state=active")["activeTargets"]
            return bool(targets) and all(t["health"] == "up" for t in targets)
        except UNUSABLE:
            return False

    def problem_with(self, name: str, query: str) -> str | None:
        """Why the server cannot read this query, or None.

        Raises:
            MetricsError: The server did not answer.
        """
        try:
            self._client.custom_query(query)
        except PrometheusApiClientException as error:
            if SERVER_ERROR in str(error):
                raise self._silent(name) from error
            return _complaint(error)
        except UNUSABLE as error:
            raise self._silent(name) from error
        return None

    def series(self, name: str, query: str, start: float, end: float) -> Series:
        """The query over a time range at the scrape interval; problems are in the answer.

        Steps at which Prometheus had not scraped anything for two and a half intervals are
        left out: a range query would fill them with old values.
        """
        try:
            step_s = self.interval_s()
            scraped = self._range(SCRAPES, start, end, step_s)
            found = self._range(query, start, end, step_s)
            warnings = self._warnings
            if len(found) != 1:
                return _no_series(name, query, found, step_s, warnings)
            fresh = _fresh_steps(scraped, step_s)
            points = tuple(p for p in _points(found[0]) if p[0] in fresh)
        except UNUSABLE as error:
            return Series(name=name, problem=_words(error), problem_code="metrics_lost")
        return Series(name=name, points=points, step_s=step_s, warnings=warnings)

    def alert(self, name: str, start: float, end: float) -> Series:
        """1 at each step at which the alert fired, 0 at each at which it did not."""
        try:
            known = self._alert_rules()
            if name not in known:
                problem = f"Prometheus has no such alert; it has {', '.join(known) or 'none'}"
                return Series(name=name, problem=problem, problem_code="no_such_alert")
            step_s = self.interval_s()
            fresh = _fresh_steps(self._range(SCRAPES, start, end, step_s), step_s)
            query = f'max(ALERTS{{alertname={json.dumps(name)},alertstate="firing"}})'
            found = self._range(query, start, end, step_s)
            firing = {t for t, value in (_points(found[0]) if found else ()) if value == 1}
        except UNUSABLE as error:
            return Series(name=name, problem=_words(error), problem_code="metrics_lost")
        expected = max(1, int((end - start) / step_s))
        if len(fresh) < 0.95 * expected:
            problem = f"only {len(fresh)} of {expected} scrapes happened"
            return Series(name=name, problem=problem, problem_code="gap")
        points = tuple((t, 1.0 if t in firing else 0.0) for t in sorted(fresh))
        return Series(name=name, points=points, step_s=step_s)

    def interval_s(self) -> float:
        """The shortest scrape interval of the active targets, seconds.

        Raises:
            requests.RequestException: The server did not answer.
        """
        if self._interval_s is None:
            targets = self._get("/api/v1/targets?state=active")["activeTargets"]
            found = [_interval_s(t["scrapeInterval"]) for t in targets]
            self._interval_s = min(found, default=1.0)
        return self._interval_s

    def _alert_rules(self) -> tuple[str, ...]:
        groups = self._get("/api/v1/rules?type=alert")["groups"]
        return tuple(rule["name"] for group in groups for rule in group["rules"])

    def _get(self, path: str) -> Any:
        answer = self._session.get(f"{self._url}{path}", timeout=self._timeout_s)
        answer.raise_for_status()
        return answer.json()["data"]

    def _range(self, query: str, start: float, end: float, step_s: float) -> list[dict[str, Any]]:
        # The client rounds to whole seconds; whole seconds inside the range lose nothing.
        first, last = math.ceil(start), math.floor(end)
        found: list[dict[str, Any]] = self._client.custom_query_range(
            query,
            start_time=datetime.fromtimestamp(first, UTC),
            end_time=datetime.fromtimestamp(max(first, last), UTC),
            step=f"{step_s:g}",
        )
        return found

    def _keep_warnings(self, answer: requests.Response, *_: Any, **__: Any) -> None:
        self._warnings = ()
        if "/api/v1/query" in answer.url:
            try:
                body = answer.json()
            except requests.JSONDecodeError:
                return  # not an answer of the API; its status says what is wrong
            self._warnings = tuple(body.get("warnings", ())) + tuple(body.get("infos", ()))

    def _silent(self, name: str) -> MetricsError:
        return MetricsError(
            f"Prometheus at {self._url} did not answer the query of {name} "
            f"within {self._timeout_s:g} s, or not as Prometheus does.",
            "Check that the stack is up: `harness stack status`.",
        )


def _interval_s(text: str) -> float:
    """Prometheus's own way to write a duration, such as ``1m30s``."""
    return sum(parse_duration_s(part) for part in re.findall(r"\d+[a-z]+", text))


def _words(error: Exception) -> str:
    if isinstance(error, PrometheusApiClientException):
        return _complaint(error)
    if isinstance(error, requests.RequestException):
        return f"Prometheus did not answer ({type(error).__name__})"
    return f"what answered is no Prometheus ({type(error).__name__}: {error})"


def _points(series: dict[str, Any]) -> tuple[Point, ...]:
    return tuple((float(t), float(value)) for t, value in series["values"])


def _fresh_steps(scraped: Sequence[dict[str, Any]], step_s: float) -> frozenset[float]:
    """Steps whose newest scrape is recent enough for their values to be new."""
    if not scraped:
        return frozenset()
    limit_s = STALE_INTERVALS * step_s
    return frozenset(t for t, newest in _points(scraped[0]) if t - newest <= limit_s)


def _no_series(
    name: str,
    query: str,
    found: Sequence[dict[str, Any]],
    step_s: float,
    warnings: tuple[str, ...],
) -> Series:
    if not found:
        problem, code = f"the query returned no data: {query}", "no_data"
    else:
        problem = f"the query returned {len(found)} series, one is needed: {query}"
        code = "many_series"
    return Series(name=name, step_s=step_s, warnings=warnings, problem=problem, problem_code=code)


def _complaint(error: PrometheusApiClientException) -> str:
    """The server's own words out of the client's exception text."""
    text = str(error)
    start, end = text.find("{"), text.rfind("}")
    try:
        return str(json.loads(text[start : end + 1].replace("\\\\", "\\"))["error"])
    except (ValueError, KeyError):
        return text
