"""Prometheus through prometheus-api-client, with what a verdict needs on top.

The client has no timeout of its own, retries for seconds and drops the server's warnings;
here each call has a limit and one attempt, and warnings are kept. Values arrive as text:
they become numbers here and nowhere else. Nothing, NaN and several series are told apart.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import requests
from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException
from urllib3.util.retry import Retry

from harness.errors import MetricsError
from harness.promql import (
    Selector,
    duration_s,
    expanded,
    fills_in,
    reach_s,
    selectors,
    window_s,
)
from harness.readings import Unusable, points_of, reading
from harness.scrapes import STALE_INTERVALS, Grounds, Target, scraped, sorted_out
from harness.slis import Series, Sli

TIMEOUT_S = 2.0
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

FILLED_IN = (
    "the query fills in a constant where there is no data (`or vector(…)`); write the SLI as "
    "`bad` and `total`, which knows when nothing is 0 and when it is nothing"
)

Name = tuple[str, str]  # job and instance
Rule = tuple[str, float]  # what a recording rule asks, and how often, seconds


class Prometheus:
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

    def problem_with(self, sli: Sli) -> str | None:
        """Why the server cannot read this SLI's queries, or None.

        Raises:
            MetricsError: The server did not answer.
        """
        for query in sli.parts:
            try:
                self._client.custom_query(query)
            except PrometheusApiClientException as error:
                if SERVER_ERROR in str(error):
                    raise self._silent(sli.name) from error
                return _complaint(error)
            except UNUSABLE as error:
                raise self._silent(sli.name) from error
            if not selectors(query):
                return f"it reads no metric, so it says nothing about the target: {query}"
        return None

    def series(self, sli: Sli, start: float, end: float) -> Series:
        """The SLI over a time range at the scrape interval; problems are in the answer.

        Samples without a living target behind them are left out, each with its reason: see
        :mod:`harness.scrapes`.
        """
        try:
            step_s = self.interval_s()
            rules = self._recording_rules()
            grounds = self._grounds(sli, rules, start, end, step_s)
            self._warnings = ()
            answers = [self._range(query, start, end, step_s) for query in sli.parts]
            value = reading(sli, answers)
        except Unusable as error:
            return Series(
                name=sli.name,
                warnings=self._said(sli),
                problem=str(error),
                problem_code=error.code,
            )
        except UNUSABLE as error:
            return Series(name=sli.name, problem=_words(error), problem_code="metrics_lost")
        points, left_out = sorted_out(value.points, grounds)
        return Series(
            name=sli.name,
            points=points,
            step_s=step_s,
            left_out=left_out,
            bounds=value.bounds,
            scraped=scraped(grounds),
            reach_s=max(reach_s(query, rules) for query in sli.parts),
            warnings=self._said(sli),
        )

    def _said(self, sli: Sli) -> tuple[str, ...]:
        """What Prometheus warned of, and what the query hides, each once."""
        found = [*self._warnings]
        if any(fills_in(query) for query in sli.parts):
            found.append(FILLED_IN)
        return tuple(dict.fromkeys(found))

    def _grounds(
        self, sli: Sli, rules: Mapping[str, Rule], start: float, end: float, step_s: float
    ) -> Grounds:
        """What stands behind an SLI's samples: scrapes, targets, restarts.

        Raises:
            Unusable: A metric or a label of the query does not exist.
        """
        newest = self._range(SCRAPES, start, end, step_s)
        queries = {name: query for name, (query, _) in rules.items()}
        read = [s for query in sli.parts for s in expanded(query, queries)]
        window = max(step_s, *(window_s(query) for query in sli.parts), *(s.window_s for s in read))
        names = {name for s in read for name in self._targets_of(s, start, end)}
        targets, restarts = self._behind(names, window, start, end, step_s)
        for selector in read:
            if selector.counter:
                query = f"max(resets({selector.text}[{_seconds(selector.window_s)}]))"
                restarts += [dict(points_of(one)) for one in self._range(query, start, end, step_s)]
        return Grounds(
            step_s=step_s,
            window_s=window,
            newest=dict(points_of(newest[0])) if newest else {},
            targets=targets,
            restarts=restarts,
        )

    def _targets_of(self, selector: Selector, start: float, end: float) -> set[Name]:
        """Job and instance of every target that a selector reads.

        Where it matches nothing (a healthy service has no 5xx series), those of the same job.
        """
        everything = self._label_sets(selector.text, start, end)
        everything = everything or self._label_sets(selector.everything, start, end)
        if not everything and self._label_sets(selector.metric, start, end):
            raise Unusable("no_data", f"no target has {selector.everything}")
        if not everything:
            name = selector.metric or selector.text
            raise Unusable("unknown_metric", f"Prometheus knows no metric {name}")
        known = {label for labels in everything for label in labels}
        missing = [label for label in selector.labels if label not in known]
        if missing:
            raise Unusable(
                "unknown_label",
                f"{selector.metric} has no label {', '.join(missing)}; it has "
                f"{', '.join(sorted(known - {'__name__'}))}",
            )
        if selector.own:
            return set()
        return {(s["job"], s["instance"]) for s in everything if "job" in s and "instance" in s}

    def _label_sets(self, selector: str, start: float, end: float) -> list[dict[str, str]]:
        asked = {"match[]": selector, "start": f"{start:.3f}", "end": f"{end:.3f}"}
        found: list[dict[str, str]] = self._get("/api/v1/series", asked)
        return found

    def _behind(
        self, names: set[Name], window: float, start: float, end: float, step_s: float
    ) -> tuple[list[Target], list[dict[float, float]]]:
        """The targets of these names at each step, and how often their processes began anew."""
        if not names:
            return [], []
        jobs = "|".join(sorted({re.escape(job) for job, _ in names}))
        mine, over = f"{{job=~{json.dumps(jobs)}}}", _seconds(window)

        def each(query: str) -> dict[Name, dict[float, float]]:
            answer = self._range(query, start, end, step_s)
            labels = [(one, one["metric"]) for one in answer]
            return {
                (m.get("job", ""), m.get("instance", "")): dict(points_of(one)) for one, m in labels
            }

        up, scrapes = each(f"up{mine}"), each(f"count_over_time(up{mine}[{over}])")
        began = each(f"changes(process_start_time_seconds{mine}[{over}])")
        scraped_at = each(f"timestamp(up{mine})")
        read_at = each(f"timestamp(up{mine}) + scrape_duration_seconds{mine}")
        intervals = self._intervals()
        found = [
            Target(
                interval_s=intervals.get(name, step_s),
                up=up[name],
                scrapes=scrapes.get(name, {}),
                began=scraped_at.get(name, {}),
                ended=read_at.get(name, {}),
            )
            for name in sorted(names)
            if name in up
        ]
        return found, [began[name] for name in sorted(names) if name in began]

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
            firing = {t for t, value in (points_of(found[0]) if found else ()) if value == 1}
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

    def _alert_rules(self) -> tuple[str, ...]:
        groups = self._get("/api/v1/rules", {"type": "alert"})["groups"]
        return tuple(rule["name"] for group in groups for rule in group["rules"])

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

    def _silent(self, name: str) -> MetricsError:
        return MetricsError(
            f"Prometheus at {self._url} did not answer the query of {name} "
            f"within {self._timeout_s:g} s, or not as Prometheus does.",
            "Check that the stack is up: `harness stack status`.",
        )


def _seconds(seconds: float) -> str:
    """A range as PromQL."""
    return f"{max(1, round(seconds * 1000))}ms"


def _words(error: Exception) -> str:
    if isinstance(error, PrometheusApiClientException):
        return _complaint(error)
    if isinstance(error, requests.RequestException):
        return f"Prometheus did not answer ({type(error).__name__})"
    return f"what answered is no Prometheus ({type(error).__name__}: {error})"


def _fresh_steps(scraped: Sequence[dict[str, Any]], step_s: float) -> frozenset[float]:
    """Steps whose newest scrape is recent enough for their values to be new."""
    if not scraped:
        return frozenset()
    limit_s = STALE_INTERVALS * step_s
    return frozenset(t for t, newest in points_of(scraped[0]) if t - newest <= limit_s)


def _complaint(error: PrometheusApiClientException) -> str:
    """The server's own words out of the client's exception text."""
    text = str(error)
    start, end = text.find("{"), text.rfind("}")
    try:
        return str(json.loads(text[start : end + 1].replace("\\\\", "\\"))["error"])
    except (ValueError, KeyError):
        return text
