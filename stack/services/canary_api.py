"""The routes of canaries, and the traffic that is split among versions."""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass

from aiohttp import web

from services.answers import answer, body_of, found, frozen, refused
from services.bodies import BodyError
from services.canaries import (
    CANARY_TRACK,
    ROLLBACK_REASONS,
    RUNNING,
    STABLE_TRACK,
    STATES,
    Canary,
    gets_canary,
)
from services.canary_executor import AnswerCounter
from services.canary_store import CanaryStore, Fields, NotStartedError, canary_of
from services.metrics import CANARY_ROLLBACKS, ROUTED

ROUTE = "/api/v1/canaries"
OUTCOMES = ("ok", "failed")


@dataclass(frozen=True)
class Version:
    """Which version answers: on which track, and how many of its answers fail."""

    track: str
    name: str
    error_share: float


class CanaryApi:
    """The routes.

    Args:
        store: Where canaries are.
        counter: Told of each answer of a new version.
    """

    def __init__(self, store: CanaryStore, counter: AnswerCounter) -> None:
        self._store = store
        self._counter = counter
        for reason in ROLLBACK_REASONS:
            CANARY_ROLLBACKS.labels(reason)
        for track in (STABLE_TRACK, CANARY_TRACK):
            for outcome in OUTCOMES:
                ROUTED.labels(track, outcome)

    async def start(self, request: web.Request) -> web.Response:
        """Answer ``POST /api/v1/canaries``."""
        canary = Canary.of(await body_of(request))
        try:
            before = await self._store.start(canary)
        except NotStartedError as error:
            if not error.known:
                return refused("workload-not-found", 404)
            return frozen(error.frozen_until) if error.frozen_until else _busy()
        if before is not None and canary_of(before) != canary:
            return refused("canary-id-taken", 409)
        fields = {
            "canary_id": canary.canary_id,
            "state": RUNNING if before is None else before["state"],
        }
        where = {"Location": f"{ROUTE}/{canary.canary_id}"}
        return answer(fields, status=201 if before is None else 200, headers=where)

    async def canary(self, request: web.Request) -> web.Response:
        """Answer ``GET /api/v1/canaries/{id}``."""
        row = await self._store.find(request.match_info["id"])
        return found(None if row is None else _told(row))

    async def canaries(self, request: web.Request) -> web.Response:
        """Answer ``GET /api/v1/canaries``: those that run, or are in ``?state=``."""
        state = request.query.get("state", RUNNING)
        if state not in STATES:
            raise BodyError(f"`state` {state!r} must be one of {', '.join(STATES)}.")
        return answer({"canaries": [_told(row) for row in await self._store.in_state(state)]})

    async def route(self, request: web.Request) -> web.Response:
        """Answer ``GET /api/v1/workloads/{name}/route`` as the version does that gets it."""
        name = request.match_info["name"]
        row = await self._store.route(name)
        if row is None:
            return refused("not-found", 404)
        # Whoever does not say who they are is somebody else each time.
        user = request.query.get("user") or str(random.random())
        version = version_for(row, user)
        is_bad = random.random() < version.error_share
        ROUTED.labels(version.track, OUTCOMES[is_bad]).inc()
        if version.track == CANARY_TRACK:
            self._counter.add(row["canary_id"], row["stage"], 1, int(is_bad))
        fields = {"workload": name, "track": version.track, "version": version.name}
        if is_bad:
            return answer({**fields, "error": "version-failed"}, status=502)
        return answer(fields)


def version_for(row: Fields, user: str) -> Version:
    """Which version of a workload answers a user."""
    if row["canary_id"] is not None and gets_canary(row["canary_id"], user, row["percent"]):
        return Version(CANARY_TRACK, row["canary_version"], row["canary_error_share"])
    return Version(STABLE_TRACK, row["version"], row["error_share"])


def _busy() -> web.Response:
    return refused("canary-running", 409)


def _told(row: Fields) -> Fields:
    """What a client is told: the canary as it was sent, and how far it is."""
    canary = {**asdict(canary_of(row)), "stages": json.loads(row["stages"])}
    names = ("state", "reason", "stage", "percent", "requests", "failures")
    times = ("started_at", "stage_since", "finished_at")
    return {**canary, **{name: row[name] for name in (*names, *times)}}
