"""Network faults on a proxied edge: intent, inject, prove, and the way back.

The control path is Toxiproxy's API; the proof is a timed request on a fresh connection
through the proxy, compared with the same request just before.
"""

from __future__ import annotations

import secrets
from dataclasses import asdict, replace

from harness import probe
from harness.descriptor import Edge
from harness.errors import FaultError
from harness.faults.session import LEASE_S, Session
from harness.probe import Effect, Probe
from harness.recover import Healed, heal
from harness.toxiproxy import Toxic, Toxiproxy
from harness.undo import Entry, State, now

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
    entry = _intend(session, kind, target, edge, effect, before)
    try:
        entry = _apply(session, entry, toxic)
        return _prove(session, entry, effect, before)
    except BaseException:  # a full disk, a held lock or Ctrl-C leave nothing behind either
        heal(session.log, entry)
        raise


def heal_target(session: Session, *, kind: str, target: str) -> list[dict[str, str]]:
    """Heal every open entry of this kind on this target; nothing to heal is success.

    Raises:
        FaultError: One of them could not be proven healed.
    """
    healed = []
    for entry in session.log.snapshot().open:
        if (entry.kind, entry.target) != (kind, target):
            continue
        result = heal(session.log, entry)
        if not isinstance(result, Healed):
            raise FaultError(f"{kind} on {target} is not healed: {result.problem}")
        healed.append({"id": entry.id, "proof": result.entry.heal_proof})
    return healed


def _intend(
    session: Session, kind: str, target: str, edge: Edge, effect: Effect, before: Probe
) -> Entry:
    entry_id = f"{kind}-{secrets.token_hex(4)}"
    at = now()
    entry = Entry(
        id=entry_id,
        run_id=session.run_id,
        kind=kind,
        target=target,
        verb=VERB,
        arguments={
            "api": session.stack.toxiproxy,
            "proxy": edge.proxy,
            "toxic": entry_id,
            "listen": edge.listen,
            "health_path": edge.health_path,
            "clear_below_s": f"{max(CLEAR_BELOW_MIN_S, 5 * before.elapsed_s):.3f}",
        },
        epoch=session.epoch,
        intended_at=at,
        lease_until=at + LEASE_S,
        effect=asdict(effect),
    )
    session.log.write(entry)
    return entry


def _apply(session: Session, entry: Entry, toxic: Toxic) -> Entry:
    """Inject under the lock, and only if nobody has healed on our behalf meanwhile."""
    client = Toxiproxy(session.stack.toxiproxy)
    try:
        with session.log.locked():
            _refuse_if_fenced(session, entry)
            called_at = now()
            client.add_toxic(entry.arguments["proxy"], replace(toxic, name=entry.id))
            injected_at = now()
            # Healers do not wait for ever for the lock: one may have passed by meanwhile, and
            # its mark must not hide that the toxic is there now.
            try:
                _refuse_if_fenced(session, entry)
            finally:
                entry = session.log.change(
                    entry, state=State.INJECTED, called_at=called_at, injected_at=injected_at
                )
            return entry
    finally:
        client.close()


def _refuse_if_fenced(session: Session, entry: Entry) -> None:
    current = session.log.read(entry)
    if current.state is not entry.state or session.log.epoch() != entry.epoch:
        raise FaultError(f"{entry.id} was fenced off: somebody recovered this stack.")


def _prove(session: Session, entry: Entry, effect: Effect, before: Probe) -> Entry:
    under = probe.request(
        entry.arguments["listen"], entry.arguments["health_path"], effect.look_timeout_s
    )
    if not effect.seen_in(under):
        raise FaultError(
            f"{entry.kind} on {entry.target} does not bite: a request through the path "
            f"met {under}, and {before} before the fault."
        )
    proof = f"a request through {entry.arguments['listen']} met {under}; {before} just before"
    at = now()
    with session.log.locked():
        _refuse_if_fenced(session, entry)
        return session.log.change(
            entry, state=State.PROVEN, proven_at=at, last_seen_at=at, proof=proof
        )
