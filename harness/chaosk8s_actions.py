"""The actions of chaostoolkit-kubernetes that are sound, carried by our own connection.

The package makes a client of its own for each action: of whatever context and proxy the
environment names, for the whole process, and with no limit on any call. So it is handed one
that passes each call on to a :class:`harness.cluster.Cluster`: the cluster that was checked, with
its limits, and with the uid of the object that is meant. A thread that is waited for and given
up would not do: it could still act after its fault was undone.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

from harness.cluster import JSON, Cluster
from harness.errors import FaultError, HarnessError, InvalidError
from harness.kubernetes_api import INSTALL

_ONE_AT_A_TIME = threading.Lock()  # the package keeps its way to make a client in its modules


def load() -> None:
    """Load the package, which takes a while: to be done before a lock is held.

    Raises:
        InvalidError: It is missing.
    """
    _modules()


def rollout(cluster: Cluster, namespace: str, name: str, uid: str) -> None:
    """Make all pods of a Deployment anew, as ``kubectl rollout restart`` does.

    Raises:
        FaultError: It is another one by now, or the server refuses.
    """
    asked = _run(
        "deployment",
        cluster,
        uid,
        lambda module, given: module.rollout_deployment(name=name, ns=namespace, secrets=given),
    )
    _refuse_unless(asked, "PATCH", f"rollout_deployment of {name}")


def create_network_policy(cluster: Cluster, namespace: str, policy: JSON) -> None:
    """Make a network policy.

    Raises:
        FaultError: There is one of its name, or the server refuses.
    """
    asked = _run(
        "networking",
        cluster,
        "",
        lambda module, given: module.create_network_policy(
            spec=dict(policy), ns=namespace, secrets=given
        ),
    )
    _refuse_unless(asked, "POST", "create_network_policy")


def _refuse_unless(asked: list[str], method: str, what: str) -> None:
    """The package has "succeeded" when nothing was asked of anybody."""
    if asked != [method]:
        raise FaultError(f"{what} of chaostoolkit-kubernetes asked for {asked}, not for {method}.")


def _run(
    name: str, cluster: Cluster, uid: str, action: Callable[[Any, Mapping[str, str]], object]
) -> list[str]:
    """Run an action over the cluster; the methods that the API server was asked by."""
    module = _modules()[name]
    carried = _carried(cluster, uid)
    with _ONE_AT_A_TIME:
        own = module.create_k8s_api_client
        module.create_k8s_api_client = lambda _: carried
        try:
            action(module, {})
        except HarnessError:
            raise
        except Exception as error:  # it raises what it and its client like
            raise FaultError(
                f"chaostoolkit-kubernetes: {type(error).__name__}: {error}."
            ) from error
        finally:
            module.create_k8s_api_client = own
    asked: list[str] = carried.asked
    return asked


def _modules() -> dict[str, Any]:
    try:
        from chaosk8s.deployment import actions as deployment  # noqa: PLC0415 - an extra, slow
        from chaosk8s.networking import actions as networking  # noqa: PLC0415
    except ImportError as error:
        raise InvalidError("The package `chaostoolkit-kubernetes` is missing.", INSTALL) from error
    return {"deployment": deployment, "networking": networking}


def _carried(cluster: Cluster, uid: str) -> Any:
    """A client of the package that has no connection but ours; ``asked`` is what it was asked."""
    from kubernetes import client  # noqa: PLC0415 - an extra, slow to import

    configuration = client.Configuration(host="")
    configuration.client_side_validation = False
    carried: Any = client.ApiClient(configuration)
    carried.asked = []

    def call_api(
        method: str, url: str, _headers: object = None, body: Any = None, *_: Any, **__: Any
    ) -> _Answer:
        carried.asked.append(method)
        path = url.partition("?")[0]
        if method == "PATCH":
            meant = {**(body.get("metadata") or {}), "uid": uid}
            return _Answer(cluster.patch(path, {**body, "metadata": meant}))
        if method == "POST":
            return _Answer(cluster.create(path, body))
        raise FaultError(f"chaostoolkit-kubernetes asked for {method} {path}.")

    carried.call_api = call_api
    return carried


class _Answer:
    """What was answered, as the package's client reads it."""

    status, reason = 200, "OK"

    def __init__(self, document: JSON) -> None:
        self.data = json.dumps(document).encode()
        self.headers = {"content-type": "application/json"}

    def read(self) -> bytes:
        """The body; it is there already."""
        return self.data

    def getheaders(self) -> dict[str, str]:
        """The headers."""
        return self.headers
