"""A Kubernetes cluster in memory, that behaves: controllers make the pods that are asked for."""

from __future__ import annotations

import copy
import hashlib
import itertools
from collections.abc import Callable, Mapping, Sequence

from harness.cluster import JSON, ConflictError, Question, TooManyRequestsError
from harness.cluster_paths import (
    DEPLOYMENT,
    STATEFUL_SET,
    grouped,
    namespaced,
    workloads,
)
from harness.errors import FaultError
from harness.fakes import cluster_documents as documents
from harness.fakes.cluster_documents import Document

Paths = list[str]  # in the class below `list` is a method
_KINDS = (DEPLOYMENT, STATEFUL_SET)
_NODES = "/api/v1/nodes/"
_EVICTION = "/eviction"


class FakeCluster:
    """Holds objects by path; every deed is noted in ``deeds``.

    Pods of a Deployment or StatefulSet that are missing are made, those too many are deleted,
    and those of an old template are replaced, at the end of each deed, unless ``idle``; so are
    those of a Job, and whatever has lost its owner. A pod whose image is one of ``broken``
    does not start until it is none of them any more: one is made beside the old ones, which stay
    till then, unless the strategy is ``Recreate``. Pods go to a node that is not cordoned; quotas
    on pods and budgets are held. The kubelets of the nodes in ``silent`` say nothing: a pod there
    that is deleted with grace is only told to end, until they speak again.

    Args:
        refuses: Told each deed before it is done; may raise FaultError as a server would.

    ``allows`` answers each review of a right, by its ``resourceAttributes``. Pods of a Deployment
    are those of its ReplicaSets, one for each template that it has had.
    """

    def __init__(self, refuses: Callable[[str], None] = lambda _: None) -> None:
        self.context = "fake"
        self.uid = "fake-cluster"
        self.url = "https://127.0.0.1:6443"
        self.deeds: list[str] = []
        self.held: dict[str, Document] = {}
        self.idle = False
        self.allows: Callable[[JSON], bool] = lambda _right: True
        self.broken: set[str] = set()
        self.silent: set[str] = set()
        self.runs: Callable[[str, Sequence[str]], str] = lambda _pod, _argv: ""
        self.answers: Callable[[str, int, str, Question], bytes] = _refused
        self._refuses = refuses
        self._numbers = itertools.count(1)
        self._versions = itertools.count(1)

    def get(self, path: str) -> JSON | None:
        """One object, None when there is none."""
        found = self.held.get(path)
        return None if found is None else copy.deepcopy(found)

    def list(self, path: str, labels: Mapping[str, str] | None = None) -> tuple[JSON, ...]:
        """The objects of a collection, those with all of the labels."""
        here = [o for p, o in sorted(self.held.items()) if documents.is_in(p, path)]
        wanted = (labels or {}).items()
        fitting = [o for o in here if wanted <= (o["metadata"].get("labels") or {}).items()]
        return tuple(copy.deepcopy(fitting))

    def create(self, path: str, body: JSON, *, dry_run: bool = False) -> JSON:
        """Make an object; one of the same name is an error, as in a real one."""
        if path.endswith("/selfsubjectaccessreviews"):  # asks, and makes nothing
            return {"status": {"allowed": self.allows(body["spec"]["resourceAttributes"])}}
        name = str(body["metadata"]["name"])
        if path.endswith(_EVICTION):
            return self._evict(path.removesuffix(_EVICTION), body, dry_run=dry_run)
        self._do("dry create" if dry_run else "create", f"{path}/{name}")
        if f"{path}/{name}" in self.held:
            raise ConflictError(f"{name} already exists.")
        if path.endswith("/pods") and (quota := self._exceeded(path)):
            raise FaultError(f'pods "{name}" is forbidden: exceeded quota: {quota}')
        made = copy.deepcopy(dict(body))
        made["metadata"] |= {"uid": f"uid-{next(self._numbers)}", "generation": 1}
        self._written(made)
        if path.endswith("/pods"):
            made["spec"].setdefault("nodeName", self._node())
            made["status"] = self._status(made["spec"], starts=True)
        if not dry_run:
            self.held[f"{path}/{name}"] = made
            self.settle()
        return copy.deepcopy(made)

    def patch(self, path: str, body: JSON) -> JSON:
        """Merge into an object, as RFC 7386 says."""
        self._do("patch", path)
        if path not in self.held:
            raise FaultError(f"There is no {path}.")
        found = self.held[path]
        meant = body.get("metadata") or {}
        for name in ("uid", "resourceVersion"):
            if name in meant and meant[name] != found["metadata"].get(name):
                raise ConflictError(f"{path} is another one by now ({name}).")
        before = copy.deepcopy(found)
        documents.merge(found, body)
        if found != before:  # as a real one: what changes nothing makes no new version
            self._written(found)
        if found.get("spec") != before.get("spec"):
            found["metadata"]["generation"] = found["metadata"].get("generation", 0) + 1
        self.settle()
        return copy.deepcopy(self.held[path])

    def delete(self, path: str, uid: str, grace_s: int | None = None) -> bool:
        """Delete this very object; whether it was there."""
        self._do("delete" if grace_s is None else f"delete {grace_s}", path)
        if path not in self.held or self.held[path]["metadata"]["uid"] != uid:
            return False
        if grace_s != 0 and self._node_of(path) in self.silent:
            self.held[path]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
            return True
        del self.held[path]
        self.settle()
        return True

    def execute(self, namespace: str, pod: str, container: str, argv: Sequence[str]) -> str:
        """Whatever ``runs`` says."""
        self._do(f"execute {' '.join(argv)}", f"{namespace}/{pod}/{container}")
        return self.runs(pod, argv)

    def ask(self, namespace: str, pod: str, port: int, path: str, question: Question) -> bytes:
        """Whatever ``answers`` says; not noted, for it changes nothing of the cluster."""
        if namespaced(namespace, "pods", pod) not in self.held:
            raise FaultError(f"There is no pod {pod}.")
        return self.answers(pod, port, path, question)

    def close(self) -> None:
        """Nothing to drop."""

    def add(self, path: str, body: JSON) -> Document:
        """Put an object there without a deed, as if it had always been."""
        made = copy.deepcopy(dict(body))
        made["metadata"] = {
            "uid": f"uid-{next(self._numbers)}",
            "generation": 1,
            **made["metadata"],
        }
        self._written(made)
        self.held[f"{path}/{made['metadata']['name']}"] = made
        self.settle()
        return made

    def settle(self) -> None:
        """What controllers would do by and by."""
        if self.idle:
            return
        told = [p for p, o in self.held.items() if o["metadata"].get("deletionTimestamp")]
        for path in told:
            if "/pods/" in path and self._node_of(path) not in self.silent:
                del self.held[path]
        while orphans := self._orphans():
            for path in orphans:
                del self.held[path]
        for kind in _KINDS:
            for path, workload in list(self.held.items()):
                if f"/{workloads('x', kind).rpartition('/')[2]}/" in path:
                    self._control(path.split("/")[5], kind, workload)
        for path, job in list(self.held.items()):
            if "/jobs/" in path:
                self._run_job(path.split("/")[5], job)

    def _node_of(self, path: str) -> str:
        """The node of a pod; empty for whatever is none."""
        spec = self.held[path].get("spec") or {}
        return str(spec.get("nodeName") or "") if "/pods/" in path else ""

    def _orphans(self) -> tuple[str, ...]:
        living = {o["metadata"]["uid"] for o in self.held.values()}
        return tuple(
            p
            for p, o in self.held.items()
            if documents.owners(o) and not documents.owners(o) & living
        )

    def _run_job(self, namespace: str, job: Document) -> None:
        """One pod for each that runs at a time; none of them ever ends."""
        pods, owner, spec = namespaced(namespace, "pods"), job["metadata"], job["spec"]
        here = sum(documents.controller(o) == owner["uid"] for o in self.held.values())
        for _ in range(int(spec.get("parallelism", 1)) - here):
            name = f"{owner['name']}-{next(self._numbers)}"
            made = self._pod(name, documents.reference("Job", owner), spec["template"], starts=True)
            self.held[f"{pods}/{name}"] = made

    def _evict(self, path: str, body: JSON, *, dry_run: bool) -> JSON:
        self._do("dry evict" if dry_run else "evict", path)
        found = self.held.get(path)
        meant = body["deleteOptions"]["preconditions"]["uid"]
        if found is None or found["metadata"]["uid"] != meant:
            raise FaultError(f"{path} is another one by now.")
        namespace, labels = path.split("/")[4], found["metadata"].get("labels") or {}
        for budget in self.list(f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"):
            covers = budget["spec"]["selector"]["matchLabels"].items() <= labels.items()
            if covers and not budget["status"]["disruptionsAllowed"]:
                raise TooManyRequestsError("It would violate the pod's disruption budget.")
        if not dry_run:
            del self.held[path]
            self.settle()
        return {"kind": "Status", "status": "Success"}

    def _exceeded(self, pods: str) -> str:
        """The quota that allows no further pod, empty when none forbids it."""
        here = len(self.list(pods))
        for quota in self.list(f"{pods.rpartition('/')[0]}/resourcequotas"):
            most = quota["spec"]["hard"].get("pods")
            if most is not None and here >= int(most):
                return str(quota["metadata"]["name"])
        return ""

    def _control(self, namespace: str, kind: str, workload: Document) -> None:
        spec, owner = workload["spec"], workload["metadata"]
        wanted = int(spec.get("replicas", 1))
        images = {c.get("image") for c in spec["template"]["spec"]["containers"]}
        starts = not images & self.broken
        if starts:
            self._start(self._with(self._pods_of(owner["uid"]), spec["template"]))
        self._drop_old(workload, starts=starts)
        mine = self._pods_of(owner["uid"])
        for path in mine[wanted + (not starts) :]:
            del self.held[path]
        missing = wanted - len(mine)
        if not starts and not self._with(mine, spec["template"]):
            missing = max(missing, 1)
        for _ in range(missing):
            self._make(namespace, kind, workload, starts=starts)
        self._tell(workload)

    def _start(self, pods: Sequence[str]) -> None:
        """Those that could not start until now do."""
        for path in pods:
            if self.held[path]["status"]["phase"] == "Pending":
                self.held[path]["status"] = self._status(self.held[path]["spec"], starts=True)

    def _drop_old(self, workload: Document, *, starts: bool) -> None:
        """Pods of an old template go, as far as new ones may take their place."""
        if workload["spec"].get("paused"):
            return
        template = workload["spec"]["template"]
        mine = self._pods_of(workload["metadata"]["uid"])
        for path in [p for p in mine if self._node() and not self.held[p]["spec"]["nodeName"]]:
            del self.held[path]  # it is made anew, on the node that has come
            mine.remove(path)
        old = [p for p in mine if p not in self._with(mine, template)]
        recreate = (workload["spec"].get("strategy") or {}).get("type") == "Recreate"
        for path in old if starts or recreate else ():
            del self.held[path]

    def _make(self, namespace: str, kind: str, workload: Document, *, starts: bool) -> None:
        pods = namespaced(namespace, "pods")
        if self._exceeded(pods):
            return
        owner = workload["metadata"]
        taken = {path.rpartition("/")[2] for path in self._pods_of(owner["uid"])}
        name = self._name(owner["name"], kind, taken)
        template = workload["spec"]["template"]
        maker = self._replica_set(namespace, owner, template) if kind == DEPLOYMENT else None
        pod = self._pod(name, maker or documents.reference(kind, owner), template, starts=starts)
        if maker is not None:
            pod["metadata"]["labels"]["pod-template-hash"] = maker["name"].rpartition("-")[2]
        self.held[f"{pods}/{name}"] = pod

    def _replica_set(self, namespace: str, owner: Document, template: Document) -> Document:
        """What makes the pods of a Deployment of this template."""
        digest = hashlib.sha256(documents.text(template).encode()).hexdigest()
        name = f"{owner['name']}-{digest[:10]}"
        path = grouped("apps/v1", namespace, "replicasets", name)
        if path not in self.held:
            owners = [documents.reference(DEPLOYMENT, owner)]
            uid = f"uid-{next(self._numbers)}"
            self.held[path] = {"metadata": {"name": name, "uid": uid, "ownerReferences": owners}}
        return documents.reference("ReplicaSet", self.held[path]["metadata"])

    def _tell(self, workload: Document) -> None:
        mine = self._pods_of(workload["metadata"]["uid"])
        ready = [p for p in mine if self.held[p]["status"]["phase"] == "Running"]
        workload["status"] = {
            "observedGeneration": workload["metadata"]["generation"],
            "replicas": len(mine),
            "readyReplicas": len(ready),
            "updatedReplicas": len(self._with(mine, workload["spec"]["template"])),
        }

    def _pods_of(self, owner: str) -> Paths:
        sets = [
            o
            for p, o in self.held.items()
            if "/replicasets/" in p and documents.controller(o) == owner
        ]
        makers = {owner, *(found["metadata"]["uid"] for found in sets)}
        found = (
            p for p, o in self.held.items() if "/pods/" in p and documents.controller(o) in makers
        )
        return sorted(found)

    def _with(self, pods: Sequence[str], template: Document) -> Paths:
        """Those of the pods that were made of the template."""
        wanted = documents.text(template)
        return [p for p in pods if self.held[p]["metadata"].get("template") == wanted]

    def _name(self, owner: str, kind: str, taken: set[str]) -> str:
        if kind == STATEFUL_SET:
            return next(n for i in itertools.count() if (n := f"{owner}-{i}") not in taken)
        return f"{owner}-{next(self._numbers)}"

    def _node(self) -> str:
        """The first node that takes pods; empty when none does."""
        known = [o for p, o in sorted(self.held.items()) if p.startswith(_NODES)]
        free = [o for o in known if not (o.get("spec") or {}).get("unschedulable")]
        return str(free[0]["metadata"]["name"]) if free else "" if known else "node1"

    def _pod(self, name: str, owner: Document, template: Document, *, starts: bool) -> Document:
        inner = {**copy.deepcopy(template["spec"]), "nodeName": self._node()}
        return {
            "metadata": {
                "name": name,
                "uid": f"uid-{next(self._numbers)}",
                "labels": dict(template["metadata"]["labels"]),
                "annotations": dict(template["metadata"].get("annotations") or {}),
                "ownerReferences": [owner],
                "template": documents.text(template),
            },
            "spec": inner,
            "status": self._status(inner, starts=starts),
        }

    def _status(self, spec: Document, *, starts: bool) -> Document:
        node = spec["nodeName"]
        up = starts and bool(node)
        states = [
            {
                "name": c["name"],
                "restartCount": 0,
                "containerID": f"containerd://{next(self._numbers)}",
                "state": {} if up else {"waiting": {"reason": "ImagePullBackOff"}},
            }
            for c in spec["containers"]
        ]
        return {
            "phase": "Running" if up else "Pending",
            "podIP": "10.0.0.1" if up else "",
            "conditions": [{"type": "Ready", "status": str(up)}],
            "containerStatuses": states if node else [],
        }

    def _written(self, document: Document) -> None:
        document["metadata"]["resourceVersion"] = str(next(self._versions))

    def _do(self, deed: str, what: str) -> None:
        self._refuses(f"{deed} {what}")
        self.deeds.append(f"{deed} {what}")


def _refused(pod: str, port: int, path: str, _question: Question) -> bytes:
    raise FaultError(f"Port {port} of the pod {pod} refused the connection for {path}.")
