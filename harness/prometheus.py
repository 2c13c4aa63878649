"""What Prometheus says of SLIs and alerts, and what stands behind it.

Values arrive as text: they become numbers here and nowhere else. Nothing, NaN and several
series are told apart.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from prometheus_api_client.exceptions import PrometheusApiClientException

from harness.alerting import RuleTiming
from harness.errors import MetricsError
from harness.prometheus_api import (
    SERVER_ERROR,
    UNUSABLE,
    AlertRule,
    Name,
    PrometheusApi,
    Rule,
    complaint,
    words,
)
from harness.promql import (
    Selector,
    alternatives,
    expanded,
    fills_in,
    needed,
    reach_s,
    selectors,
    window_s,
)
from harness.readings import Matrix, Unusable, points_of, reading
from harness.scrapes import STALE_INTERVALS, Grounds, Target, scraped, sorted_out, why_not
from harness.slis import Series, Sli

SCRAPES = "max(timestamp(up))"

FILLED_IN = (
    "the query fills in a constant where there is no data (`or vector(…)`); write the SLI as "
    "`bad` and `total`, which knows when nothing is 0 and when it is nothing"
)


class Prometheus(PrometheusApi):
    """What a verdict needs of one Prometheus server; :meth:`attach` says which."""

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
                return complaint(error)
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
            return Series(name=sli.name, problem=words(error), problem_code="metrics_lost")
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
        """1 at each step at which the alert fired, 0 at each at which it could have.

        Steps at which its rules had nothing to go by are left out, each with its reason: a
        rule over a dead service keeps quiet whatever its users feel.
        """
        self._warnings = ()
        try:
            rules = self._alert_rules()
            mine = [rule for rule in rules if rule.name == name]
            if not mine:
                known = ", ".join(dict.fromkeys(rule.name for rule in rules))
                problem = f"Prometheus has no such alert; it has {known or 'none'}"
                return Series(name=name, problem=problem, problem_code="no_such_alert")
            broken = [rule for rule in mine if rule.health != "ok"]
            if broken:
                why = broken[0].last_error or "it was not evaluated yet"
                problem = f"its rule says nothing: {why}"
                return Series(name=name, problem=problem, problem_code="rule_failed")
            step_s = self.interval_s()
            fresh = _fresh_steps(self._range(SCRAPES, start, end, step_s), step_s)
            blind = self._blind(mine, sorted(fresh), start, end, step_s)
            query = f'max(ALERTS{{alertname={json.dumps(name)},alertstate="firing"}})'
            found = self._range(query, start, end, step_s)
            firing = {t for t, value in (points_of(found[0]) if found else ()) if value == 1}
        except UNUSABLE as error:
            return Series(name=name, problem=words(error), problem_code="metrics_lost")
        expected = max(1, int((end - start) / step_s))
        if len(fresh) < 0.95 * expected:
            problem = f"only {len(fresh)} of {expected} scrapes happened"
            return Series(name=name, problem=problem, problem_code="gap")
        seen = [t for t in sorted(fresh) if t in firing or t not in blind]
        return Series(
            name=name,
            points=tuple((t, 1.0 if t in firing else 0.0) for t in seen),
            left_out=tuple((t, 0.0, blind[t]) for t in sorted(fresh) if t not in seen),
            step_s=step_s,
            warnings=tuple(dict.fromkeys(self._warnings)),
        )

    def timings(self) -> dict[str, RuleTiming]:
        """How soon each alert can fire; of several rules of one name, the one that is the first.

        Raises:
            MetricsError: The server did not answer, or not as Prometheus does.
        """
        try:
            recorded, rules = self._recording_rules(), self._alert_rules()
        except UNUSABLE as error:
            raise self._silent("its rules") from error
        found: dict[str, RuleTiming] = {}
        for rule in rules:
            timing = RuleTiming(
                for_s=rule.for_s,
                interval_s=rule.interval_s,
                window_s=min(reach_s(part, recorded) for part in alternatives(rule.query)),
            )
            known = found.get(rule.name, timing)
            found[rule.name] = min(timing, known, key=lambda one: one.surely_s)
        return found

    def timing(self, name: str) -> RuleTiming | None:
        """How soon an alert can fire; None where there is no such rule, or nobody answers."""
        try:
            return self.timings().get(name)
        except MetricsError:
            return None  # what it is worth is judged by its series, which say why

    def pending(self, name: str, start: float, end: float) -> tuple[float, ...]:
        """The steps at which an alert waited for its ``for`` to be over."""
        query = f'max(ALERTS{{alertname={json.dumps(name)},alertstate="pending"}})'
        try:
            found = self._range(query, start, end, self.interval_s())
        except UNUSABLE:
            return ()  # see `timing`
        return tuple(t for t, value in (points_of(found[0]) if found else ()) if value == 1)

    def _blind(
        self,
        rules: Sequence[AlertRule],
        steps: Sequence[float],
        start: float,
        end: float,
        step_s: float,
    ) -> dict[float, str]:
        """The steps at which one of an alert's rules has nothing to go by, and why."""
        recorded = {name: query for name, (query, _) in self._recording_rules().items()}
        found: dict[float, str] = {}
        for rule in rules:
            read = needed(rule.query, recorded)
            try:
                names = {name for s in read for name in self._targets_of(s, start, end)}
            except Unusable as error:
                self._warnings += (str(error),)
                return dict.fromkeys(steps, error.code)
            window = max(step_s, *(s.window_s for s in read), 0.0)
            targets, _ = self._behind(names, window, start, end, step_s)
            newest = {t: t for t in steps}  # these are the fresh ones
            grounds = Grounds(step_s=step_s, window_s=window, newest=newest, targets=targets)
            found |= {t: code for t in steps if (code := why_not(grounds, t))}
            group = json.dumps(".*;" + re.escape(rule.group))
            failures = f"prometheus_rule_evaluation_failures_total{{rule_group=~{group}}}"
            query = f"sum(increase({failures}[{_seconds(2 * step_s)}])) > 0"
            failed = self._range(query, start, end, step_s)
            found |= {t: "rule_failed" for one in failed for t, _ in points_of(one)}
        return found

    def _silent(self, name: str) -> MetricsError:
        return MetricsError(
            f"Prometheus at {self._url} did not answer the query of {name} "
            f"within {self._timeout_s:g} s, or not as Prometheus does.",
            "Check that the stack is up: `harness stack status`.",
        )


def _fresh_steps(scraped: Matrix, step_s: float) -> frozenset[float]:
    """Steps whose newest scrape is recent enough for their values to be new."""
    if not scraped:
        return frozenset()
    limit_s = STALE_INTERVALS * step_s
    return frozenset(t for t, newest in points_of(scraped[0]) if t - newest <= limit_s)


def _seconds(seconds: float) -> str:
    """A range as PromQL."""
    return f"{max(1, round(seconds * 1000))}ms"
