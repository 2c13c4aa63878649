"""Receives alerts as PagerDuty, Slack and Microsoft Teams would, and tells what arrived when.

``GET /received`` answers ``{"now": …, "received": [{"at", "channel", "status", "alerts",
"problem"}]}``, oldest first; times are seconds since the epoch. What the real service would
refuse is refused here with its status, and kept with the problem.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass

from aiohttp import web

from services.metrics import ALERTS_RECEIVED, announce_route
from services.notifications import FIRING, READERS, Refused
from services.serving import application, serve
from services.settings import Settings

SERVICE = "receiver"
KEPT = 10_000  # the oldest go: a receiver must not grow for ever

ROUTES = {
    "pagerduty": "/v2/enqueue",
    "slack": "/slack/{hook}",
    "teams": "/teams/{hook}",
}


@dataclass(frozen=True)
class Arrival:
    """One notification and when it came; ``problem`` is empty unless it was refused."""

    at: float
    channel: str
    status: str
    alerts: tuple[str, ...]
    problem: str = ""


class Receiver:
    """Keeps what arrives.

    Args:
        now: Seconds since the epoch.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._arrivals: deque[Arrival] = deque(maxlen=KEPT)

    def taking(self, channel: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        """A handler of this channel's notifications."""

        async def take(request: web.Request) -> web.Response:
            at = self._now()
            try:
                body = await request.json()
            except ValueError:
                body = None
            try:
                told = READERS[channel](body)
            except Refused as refused:
                self._keep(Arrival(at, channel, FIRING, (_guessed(body),), str(refused)))
                return _refusal(channel, str(refused))
            self._keep(Arrival(at, channel, told.status, told.alerts))
            return _acceptance(channel, body)

        return take

    async def received(self, _: web.Request) -> web.Response:
        """Answer ``GET /received``."""
        arrivals = [asdict(one) for one in self._arrivals]
        return web.json_response({"now": self._now(), "received": arrivals})

    def _keep(self, arrival: Arrival) -> None:
        self._arrivals.append(arrival)
        outcome = "refused" if arrival.problem else arrival.status
        ALERTS_RECEIVED.labels(arrival.channel, outcome).inc()


def _guessed(body: object) -> str:
    """The alert that a refused notification speaks of, where its text says one of ours."""
    text = json.dumps(body)
    _, found, rest = text.partition('"alertname": "')
    return rest.partition('"')[0] if found else "unknown"


def _acceptance(channel: str, body: dict[str, object]) -> web.Response:
    """What the real service answers to what it takes."""
    if channel == "pagerduty":
        told = {"status": "success", "message": "Event processed"}
        return web.json_response(told | {"dedup_key": body.get("dedup_key", "")}, status=202)
    return web.Response(text="ok" if channel == "slack" else "1")


def _refusal(channel: str, why: str) -> web.Response:
    """What the real service answers to what it refuses."""
    if channel == "pagerduty":
        told = {"status": "invalid event", "message": "Event object is invalid"}
        return web.json_response(told | {"errors": why.split("; ")}, status=400)
    return web.Response(text=why, status=400)


async def build(settings: Settings) -> web.Application:
    """The application; raises SettingError for a wrong setting."""
    settings.defects()  # refused when unknown, although none is planted here
    receiver = Receiver()
    app = application(SERVICE)
    app.router.add_get("/received", receiver.received)
    for channel, route in ROUTES.items():
        app.router.add_post(route, receiver.taking(channel))
        announce_route(SERVICE, route, "POST", (200, 202, 400))
    return app


if __name__ == "__main__":
    serve(build)
