"""The API of one Prometheus server, through prometheus-api-client.

The client has no timeout of its own, retries for seconds and drops the server's warnings;
here each call has a limit and one attempt, and warnings are kept.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import requests
from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException
from urllib3.util.retry import Retry

from harness.promql import duration_s

TIMEOUT_S = 2.0

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


Name = tuple[str, str]  # job and instance
Rule = tuple[str, float]  # what a recording rule asks, and how often, seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRule:
    """One alerting rule as the server has it; ``health`` is ok, err or unknown.

    ``for_s`` is how long its condition must hold, ``interval_s`` how often it is evaluated.
    """

    name: str
    query: str
    health: str
    last_error: str
    group: str
    for_s: float = 0.0
    interval_s: float = 0.0


class PrometheusApi:
    """One Prometheus server; :meth:`attach` says which."""

    def __init__(self, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._url = ""
        self._warnings: tuple[str, ...] = ()
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.max_redirects = 0  # where it would lead no guard has allowed
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
            targets = self._get("/api/v1/targets", {"state": "active"})["activeTargets"]
            return bool(targets) and all(t["health"] == "up" for t in targets)
        except UNUSABLE:
            return False

    def interval_s(self) -> float:
        """The shortest scrape interval of the active targets, seconds.

        Raises:
            requests.RequestException: The server did not answer.
        """
        if self._interval_s is None:
            self._interval_s = min(self._intervals().values(), default=1.0)
        return self._interval_s

    def _intervals(self) -> dict[Name, float]:
        """The scrape interval of each active target, seconds."""
        targets = self._get("/api/v1/targets", {"state": "active"})["activeTargets"]
        found = {}
        for number, target in enumerate(targets):
            labels = target.get("labels", {})
            name = (labels.get("job", ""), labels.get("instance", str(number)))
            found[name] = duration_s(target["scrapeInterval"])
        return found

    def _recording_rules(self) -> dict[str, Rule]:
        groups = self._get("/api/v1/rules", {"type": "record"})["groups"]
        return {
            rule["name"]: (rule["query"], float(group.get("interval", 0.0)))
            for group in groups
            for rule in group["rules"]
            if "query" in rule
        }

    def _alert_rules(self) -> tuple[AlertRule, ...]:
        groups = self._get("/api/v1/rules", {"type": "alert"})["groups"]
        return tuple(
            AlertRule(
                name=rule["name"],
                query=rule["query"],
                health=rule["health"],
                last_error=rule.get("lastError", ""),
                group=group["name"],
                for_s=float(rule.get("duration", 0.0)),
                interval_s=float(group.get("interval", 0.0)),
            )
            for group in groups
            for rule in group["rules"]
        )

    def _get(self, path: str, asked: Mapping[str, str] | None = None) -> Any:
        answer = self._session.get(f"{self._url}{path}", params=asked, timeout=self._timeout_s)
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
        if "/api/v1/query" in answer.url:
            try:
                body = answer.json()
            except requests.JSONDecodeError:
                return  # not an answer of the API; its status says what is wrong
            if isinstance(body, dict):
                self._warnings += tuple(body.get("warnings", ())) + tuple(body.get("infos", ()))

    def _label_sets(self, selector: str, start: float, end: float) -> list[dict[str, str]]:
        asked = {"match[]": selector, "start": f"{start:.3f}", "end": f"{end:.3f}"}
        found: list[dict[str, str]] = self._get("/api/v1/series", asked)
        return found


def words(error: Exception) -> str:
    """What went wrong while the server was asked, in words."""
    if isinstance(error, PrometheusApiClientException):
        return complaint(error)
    if isinstance(error, requests.RequestException):
        return f"Prometheus did not answer ({type(error).__name__})"
    return f"what answered is no Prometheus ({type(error).__name__}: {error})"


def complaint(error: PrometheusApiClientException) -> str:
    """The server's own words out of the client's exception text."""
    text = str(error)
    start, end = text.find("{"), text.rfind("}")
    try:
        return str(json.loads(text[start : end + 1].replace("\\\\", "\\"))["error"])
    except (ValueError, KeyError):
        return text
