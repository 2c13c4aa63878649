"""Connects the engine to Locust's events, once there is a plan. In a load process only.

A process of the harness's own machine finds its plan at once; one that joins a load master
gets it over the connection, after the locustfile was read.
"""

from __future__ import annotations

import functools
import os
import random
from pathlib import Path
from typing import Any

import gevent
from locust import FastHttpUser, events
from locust.clients import HttpSession
from locust.contrib.fasthttp import FastHttpSession
from requests.exceptions import ReadTimeout

from harness.durability import order as orders
from harness.load import plan as plans
from harness.load.closedloop import observe
from harness.load.engine import Engine
from harness.load.journeys import on_request
from harness.load.ledger import LedgerWriter, record_requests
from harness.load.link import FolderLink, Link
from harness.load.plan import LoadPlan
from harness.redaction import from_environment

NOT_OPEN = (
    "{names} cannot be started by arrivals; add OpenLoop as the first base class "
    "(from harness.load import OpenLoop), or set load.users instead of load.arrivals"
)


def install() -> None:
    """Start recording; does nothing without a plan, and nothing the second time."""
    path = os.environ.get(plans.ENVIRONMENT)
    if path is None or Engine.current is not None:
        return
    plan = plans.load(Path(path).read_text())
    engine = connect(plan, FolderLink(plan))
    if engine.schedule is not None:
        events.init.add_listener(_refuse_closed_loops)


def connect(plan: LoadPlan, link: Link) -> Engine:
    """From now on this process follows the plan and records; call it before the test starts."""
    random.seed(plan.seed + plan.worker)
    _give_up_after(plan.timeout_s)
    engine = Engine.current = Engine(plan, link)
    if engine.schedule is None:
        observe(engine)
    _keep_a_ledger(engine)
    events.test_start.add_listener(engine.start)
    events.test_stopping.add_listener(engine.stop)
    events.request.add_listener(on_request)
    events.quit.add_listener(engine.close)
    return engine


def closed_loops(user_classes: list[type]) -> str:
    """What is wrong with users that nobody can hand an arrival to; empty when none is."""
    from harness.load.openloop import OpenLoop  # noqa: PLC0415 - it imports this module

    closed = [c.__name__ for c in user_classes if not issubclass(c, OpenLoop)]
    return NOT_OPEN.format(names=", ".join(closed)) if closed else ""


def _keep_a_ledger(engine: Engine) -> None:
    """If the scenario asks for one."""
    asked = os.environ.get(orders.ENVIRONMENT)
    if asked is None:
        return
    redact = from_environment(os.environ).text
    worker, wall = engine.plan.worker, engine.recorder.wall
    ledger = LedgerWriter.current = LedgerWriter(orders.load(asked), worker, wall, redact)
    record_requests(FastHttpSession, HttpSession)
    events.test_start.add_listener(ledger.start)
    events.quit.add_listener(ledger.close)


def _give_up_after(timeout_s: float) -> None:
    """The scenario's timeout for both of Locust's clients, where the locustfile sets none."""
    for name in ("network_timeout", "connection_timeout"):
        setattr(FastHttpUser, name, timeout_s)
    plain = HttpSession.request

    @functools.wraps(plain)
    def request(self: HttpSession, *args: Any, **kwargs: Any) -> Any:
        kwargs.setdefault("timeout", timeout_s)
        # Its own timeout is for each read; a drip would keep a user waiting for ever. Locust
        # takes an exception of this type for a failed request, and goes on.
        late = ReadTimeout(f"no complete answer within {timeout_s:g} s")
        timer = gevent.Timeout.start_new(timeout_s, late)
        try:
            return plain(self, *args, **kwargs)
        finally:
            timer.close()

    HttpSession.request = request  # type: ignore[method-assign]


def _refuse_closed_loops(environment: Any, **_event: Any) -> None:
    """Users that nobody can hand an arrival to would send at a rate of their own."""
    problem = closed_loops(environment.user_classes)
    if problem:
        raise SystemExit(problem)
