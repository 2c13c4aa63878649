"""Network faults on a proxied edge.

The control path is Toxiproxy's API; the proof is a timed request on a fresh connection
through the proxy, compared with the same request just before.
"""

from __future__ import annotations

from dataclasses import asdict, replace

from harness import probe
from harness.errors import FaultError
from harness.faults import injection
from harness.faults.injection import Injection
from harness.faults.session import Session
from harness.probe import Effect
from harness.toxiproxy import Toxic, Toxiproxy
from harness.undo import Entry

VERB = "toxiproxy.remove_toxic"
BEFORE_TIMEOUT_S = 1.0
CLEAR_BELOW_MIN_S = 0.25


def inject(
    session: Session,
    *,
    kind: str,
    target: str,
    toxic: Toxic,
    effect: Effect,
) -> Entry:
    """Put one toxic on an edge and prove that traffic feels it.

    Args:
        session: Stack, undo log and epoch.
        kind: Name of the fault kind, for the entry.
        target: Edge, such as ``gateway->llm-gateway``.
        toxic: What to add; its name is replaced by one that only this entry has.
        effect: What a request through the path must meet while the fault is on; slowness
            counts on top of what the same request took before.

    Raises:
        FaultError: The path was not healthy before, the toxic could not be added, or it
            does not bite; whatever was added is removed again.
    """
    edge = session.edge(target)
    before = probe.request(edge.listen, edge.health_path, BEFORE_TIMEOUT_S)
    if not before.answered:
        raise FaultError(
            f"The path {target} is not healthy before the fault ({before} from {edge.listen}); "
            "a fault on it could not be told from what is already wrong."
        )
    if effect.slower_than_s:
        effect = Effect(slower_than_s=effect.slower_than_s + before.elapsed_s)
    fault = Injection(
        kind=kind,
        target=target,
        verb=VERB,
        arguments={
            "api": session.stack.toxiproxy,
            "proxy": edge.proxy,
            "toxic": "${id}",
            "listen": edge.listen,
            "health_path": edge.health_path,
            "clear_below_s": f"{max(CLEAR_BELOW_MIN_S, 5 * before.elapsed_s):.3f}",
        },
        look="request",
        effect=asdict(effect),
        before=str(before),
    )

    def apply(entry: Entry) -> None:
        client = Toxiproxy(session.stack.toxiproxy)
        try:
            client.add_toxic(edge.proxy, replace(toxic, name=entry.id))
        finally:
            client.close()

    return injection.inject(session, fault, apply)
