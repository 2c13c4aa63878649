"""A service loses a network: nobody in it reaches it, and it reaches nobody there."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from harness import container_host, container_network, service_container
from harness.containers import Container, Engine
from harness.errors import FaultError
from harness.faults import containers, injection
from harness.faults.injection import Injection
from harness.faults.session import Session, session
from harness.namespace import PASSED
from harness.undo import Entry

__all__ = ["heal", "inject"]

KIND = "disconnect"
VERB, LOOK = "container.reconnect", "container_disconnected"
NO_PORT = 9  # discard: what nobody listens on is refused, and a refusal has come through, too


def inject(target: str, network: str = "") -> dict[str, Any]:
    """Detach the service's container from a network until healed.

    Args:
        target: Service, such as ``orders``.
        network: Name of the network, with or without the project's; the only one if empty.

    Raises:
        FaultError: It could not be applied or seen, or does not bite; nothing is left behind.
    """
    current = session()
    with closing(containers.open_engine(current)) as engine:
        container, path, _ = containers.well(engine, current, target)
        fault = _planned(current, engine, container, target, _network(container, network), path)

        def apply(entry: Entry) -> None:
            now = service_container.present(engine, entry.arguments)
            if now is None or now.identity != container.identity:
                raise FaultError(f"{container.name} is gone already, and not by our doing.")
            engine.disconnect(now.id, container_network.load(entry.arguments["attachment"]).network)

        return injection.proven(injection.inject(current, fault, apply))


def heal(target: str) -> list[dict[str, str]]:
    """Attach it again as it was and see its names resolve; nothing to attach is success."""
    return injection.heal_target(session(), kind=KIND, target=target)


def _network(container: Container, asked: str) -> str:
    """The name of the network that is meant."""
    names = container.networks
    fitting = [n for n in names if asked in ("", n) or n == f"{container.project}_{asked}"]
    if len(fitting) != 1:
        raise FaultError(
            f"{container.service} is attached to {', '.join(names) or 'no network'}; "
            + (f"{asked!r} is none of them." if asked else "say which `network` is meant.")
        )
    return fitting[0]


def _planned(
    current: Session, engine: Engine, container: Container, target: str, network: str, path: str
) -> Injection:
    attachment = container.networks[network]
    port = container.health_port or NO_PORT
    published = container.address(port) if port in container.published else ""
    found = container_network.peers(engine.containers(container.project), container, network)
    if not found and not published:
        raise FaultError(
            f"Nobody could see that {target} is cut off from {network}: it publishes no port, and "
            "the network of no other container in it can be entered (that takes root, on the "
            "engine's machine)."
        )
    before = f"{target} was attached to {network}"
    if found:
        address = f"{attachment.ip}:{port}"
        met = container_host.meet(found[0], [address], container_network.LOOK_WITHIN_S)[address]
        if met not in PASSED:
            raise FaultError(f"{found[0].name} does not reach {target} at {address}: it met {met}.")
        before += f" and {found[0].name} at {address} was {met}"
    return Injection(
        kind=KIND,
        target=target,
        verb=VERB,
        arguments={
            "engine_url": engine.url,
            "engine": engine.id,
            "project": current.stack.project,
            "service": container.service,
            "container": container.id,
            "attachment": container_network.dump(attachment),
            "peer": found[0].id if found else "",
            "port": str(port),
            "published": published,
            "health_path": path,
        },
        look=LOOK,
        before=before,
        prove_within_s=containers.PROVE_WITHIN_S,
    )
