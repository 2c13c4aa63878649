"""The pods of a workload ask a name server that nobody answers at."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any

from harness.cluster_merge import reverse
from harness.cluster_paths import workloads
from harness.faults import injection, objects, pods, services, templates
from harness.faults.injection import Injection
from harness.faults.session import session
from harness.undo import Entry

__all__ = ["heal", "inject"]

KIND = "dns"
VERB, LOOK = "workload.put_back", "template_changed"
NOBODY = "192.0.2.53"  # of the addresses that are for documentation only (RFC 5737)


def inject(target: str) -> dict[str, Any]:
    """Make all pods of a Deployment anew with a name server that does not answer, until healed.

    They are made anew at once: beside new ones that are never ready, the old ones would go on.

    Args:
        target: Workload, or labels such as ``app=worker``.

    Raises:
        FaultError: There is none, or none of its pods runs that way; nothing is left behind.
    """
    current = session()
    with closing(pods.open_cluster(current)) as cluster:
        found, raw, arguments = templates.deployment(cluster, current, target)
        workload = found.workload
        path = workloads(current.stack.namespace, workload.kind, workload.name)
        put: dict[str, Any] = {
            "spec": {
                "strategy": {"type": "Recreate", "rollingUpdate": None},
                "template": {"spec": {"dnsPolicy": "None", "dnsConfig": {"nameservers": [NOBODY]}}},
            }
        }
        back = json.dumps(reverse(raw, put))
        fault = Injection(
            kind=KIND,
            target=target,
            verb=VERB,
            arguments={**arguments, "put": json.dumps(put), "back": back, **objects.MARK},
            look=LOOK,
            before=found.words,
            prove_within_s=templates.PROVE_WITHIN_S,
        )

        def applied(entry: Entry) -> None:
            objects.put(cluster, path, workload.uid, entry.arguments)

        return injection.proven(injection.inject(current, fault, applied))


def heal(target: str) -> list[dict[str, str]]:
    """Give the pods their name server back, and wait until all of them are ready."""
    return services.heal(session(), kind=KIND, target=target)
