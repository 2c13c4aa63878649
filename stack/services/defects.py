"""The table of planted defects: each makes a scenario that passes turn red.

``DEFECTS`` in the environment holds the names, separated by commas. Every service
reads the whole list and refuses to start on a name that is not in the table, so that
a misspelt defect is never mistaken for a platform that survived it.
"""

from __future__ import annotations

from collections.abc import Mapping

DEFECTS: Mapping[str, str] = {
    "no-fallback": "gateway: a failing recommender or LLM becomes 503 or 504 to the user",
    "no-timeout": "gateway: waits for the LLM for ever, without a circuit breaker",
    "retry-storm": "gateway: repeats a failed LLM call 10 times at once, without a breaker",
    "leak": "gateway: keeps about 50 KB of each request for ever",
    "no-retry": "gateway: asks one inference replica only once, and leaves none out that fails",
    "impatient": "gateway: waits 80 ms for a prediction, less than a slow network adds",
    "chatty": "gateway: makes three calls to inference, one after the other, for one prediction",
    "acks-early": "jobs: counts a job as sent before it is, as done before it is, and forgets it",
    "not-idempotent-jobs": "jobs: a job that comes again is done again, and its result written",
    "acks-1": "gateway: an order is acknowledged when one broker alone has it",
    "commit-first": "orders-worker: commits its offsets before it has written the orders",
    "not-idempotent": "orders-worker: an order that comes again is written again",
    "oversell": "gateway: sells limited items on when Redis cannot tell what is left; "
    "orders-worker: takes stock that is not there",
    "ack-before-commit": "control-api: acknowledges a plan before it is in the database",
    "claim-without-lock": "control-api: two executors may take the same plan, and both execute it",
    "no-shedding": "control-api: takes every request, however many wait already",
    "canary-blind": "control-api: failures of a new version count for nothing, and it is promoted",
    "policy-open": "control-api: allows what it could not ask the policy about",
    "one-replica": "kubernetes: control-api and jobs have one replica, and get requests before it "
    "is ready",
    "liveness-follows": "kubernetes: control-api and jobs are restarted when the database is away",
    "alert-misrouted": "alertmanager: severities of another name go on call, so nobody is woken",
    "replica-late": "postgres-replica: receives everything and shows it 20 s later",
    "stall": "gateway: request STALL_AT_REQUEST blocks the event loop once for STALL_S seconds",
}


def parse_defects(text: str) -> frozenset[str]:
    """The names in ``text``, separated by commas; blanks around them do not count.

    Raises:
        ValueError: A name is not in the table; the message lists those that are.
    """
    names = frozenset(name.strip() for name in text.split(",")) - {""}
    unknown = sorted(names - DEFECTS.keys())
    if unknown:
        raise ValueError(f"DEFECTS names {', '.join(unknown)}; known are {', '.join(DEFECTS)}.")
    return names
