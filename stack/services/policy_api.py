"""The route that evaluates policies: a verdict, or 503, and never a guess."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

from aiohttp import web

from services.answers import answer, body_of, refused
from services.database import DatabaseError
from services.metrics import POLICY_DECISIONS
from services.plan_store import PlanStore
from services.policies import Question, Verdict
from services.policy_engine import PolicyEngine
from services.upstream import UpstreamError

ROUTE = "/api/v1/policies/evaluate"
ALLOW, DENY, UNDECIDED = "allow", "deny", "undecided"
FACTS_WITHIN_S = 0.5


class PolicyApi:
    """The route.

    Args:
        store: Knows the facts.
        engine: Decides.
        is_open: The defect that allows what nobody could decide about.
    """

    def __init__(self, store: PlanStore, engine: PolicyEngine, is_open: bool) -> None:
        self._store = store
        self._engine = engine
        self._is_open = is_open
        for decision in (ALLOW, DENY, UNDECIDED):
            POLICY_DECISIONS.labels(engine.name, decision)

    async def evaluate(self, request: web.Request) -> web.Response:
        """Answer ``POST /api/v1/policies/evaluate``.

        Without the facts, or without an engine that answers, nobody knows whether it is allowed:
        503, and the question may be asked again.
        """
        question = Question.of(await body_of(request))
        try:
            verdict = await self._verdict(question)
        except (DatabaseError, TimeoutError, UpstreamError):
            POLICY_DECISIONS.labels(self._engine.name, UNDECIDED).inc()
            if self._is_open:
                return self._told(Verdict(True))
            return refused("policy-undecided", 503, 1)
        decision = ALLOW if verdict.allow else DENY
        POLICY_DECISIONS.labels(self._engine.name, decision).inc()
        return self._told(verdict)

    async def _verdict(self, question: Question) -> Verdict:
        async with asyncio.timeout(FACTS_WITHIN_S):
            facts = await self._store.facts(question.workload)
        return await self._engine.decide({**asdict(question), "facts": asdict(facts)})

    def _told(self, verdict: Verdict) -> web.Response:
        return answer(
            {
                "allow": verdict.allow,
                "reasons": list(verdict.reasons),
                "engine": self._engine.name,
            }
        )
