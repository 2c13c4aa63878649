"""The mark of a fault on an object of a cluster that it changed: whose change it is.

That an object reads as a fault left it does not tell who left it so: somebody may have scaled a
workload to nothing, or cordoned a node, since the fault was undone. So the id of the undo entry
stands on the object. It comes in the same patch as the effect and goes in the same patch as what
takes it back. While it stands, the change is that entry's; without it, whatever is there is
somebody else's, and stays.

It is a label: the annotations of a Deployment are copied to its ReplicaSets, and ``kubectl rollout
undo`` replaces them by those of an older one. Every patch names the very version of the object that
was read. Of the standard library only: a guardian inside a cluster runs this very text.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from harness.cluster import JSON, Cluster, ConflictError, ForbiddenError
from harness.cluster_merge import reverse
from harness.errors import FaultError, OvertakenError, RefusedError

LABEL = "reliability-harness/fault"
TRIES = 5  # for what is changed by somebody else at the very moment, such as a status
#: After the id of an entry whose effect is called off, for the moment that it takes.
_OFF = ".off"

#: What to change, of the object as it was read just now.
Change = Callable[[JSON], Mapping[str, Any]]


def of(raw: JSON) -> str:
    """The id of the entry that has changed the object, empty where none has."""
    return str((raw["metadata"].get("labels") or {}).get(LABEL) or "")


def found(cluster: Cluster, path: str, uid: str) -> JSON | None:
    """The very object, None when it was deleted or made anew."""
    raw = cluster.get(path)
    return raw if raw is not None and raw["metadata"]["uid"] == uid else None


def put(cluster: Cluster, path: str, uid: str, mark: str, change: Change) -> None:
    """Change an object and mark it, if it still is what was meant.

    Args:
        cluster: Where it is.
        path: Of the object.
        uid: Of the object.
        mark: The id of the entry.
        change: Raises RefusedError where the object is not as the entry says it was.

    Raises:
        RefusedError: It is another one by now, was changed meanwhile, bears the mark of another
            fault, or the server forbids it: nothing was hit.
        FaultError: Nobody knows whether it was changed.
    """
    raw = found(cluster, path, uid)
    if raw is None:
        raise RefusedError(f"{path} was deleted or made anew just now, and not by us.")
    refuse_if_marked(raw, path)
    wanted = change(raw)
    with refusals():
        kept = cluster.patch(path, _patch(raw, wanted, mark))
    if of(kept) != mark:
        before = reverse(raw, wanted)
        _patch_until_taken(cluster, path, uid, lambda now: _patch(now, before, None))
        raise FaultError(
            f"{path} does not keep the label {LABEL}, without which nobody could tell the fault "
            "from what others change; it was taken back."
        )


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Tell a patch that the server has refused from one whose fate nobody knows.

    Raises:
        OvertakenError: It was, because the object is not the one, or not in the version, that was
            meant.
        RefusedError: It was for want of rights.
    """
    try:
        yield
    except ConflictError as error:
        raise OvertakenError(f"It was not changed: {error}") from error
    except ForbiddenError as error:
        raise RefusedError(f"It was not changed: {error}") from error


def refuse_if_marked(raw: JSON, path: str) -> None:
    """See that no other fault is on an object.

    Raises:
        RefusedError: One is; says which, and what to do.
    """
    if of(raw):
        what = "/".join(path.rsplit("/", 2)[1:])
        raise RefusedError(
            f"{what} bears the mark of another fault, {of(raw)}.",
            "Heal that one first (`harness recover`); if no undo log knows it any more, put right "
            f"what it changed and run `kubectl label {what} {LABEL}-`.",
        )


def take_back(cluster: Cluster, path: str, uid: str, mark: str, back: Change) -> None:
    """Take an entry's change back, and its mark with it; without the mark there is nothing to.

    Args:
        cluster: Where it is.
        path: Of the object.
        uid: Of the object.
        mark: The id of the entry.
        back: What puts back that of the change which is still there.

    Raises:
        FaultError: Somebody else changes it all the time, or the server refuses.
    """
    _patch_until_taken(
        cluster,
        path,
        uid,
        lambda raw: _patch(raw, back(raw), None) if of(raw) == mark else None,
    )


def call_off(cluster: Cluster, path: str, uid: str, mark: str) -> None:
    """See that a patch of an entry which may still be on its way is refused when it arrives.

    It names the version that was read for it; so the object is given another one, by a mark that
    comes and goes. Where the entry's mark stands, the patch has arrived; where another fault's
    does, the version has gone on.

    Raises:
        FaultError: Somebody else changes it all the time, or the server refuses.
    """
    off = f"{mark}{_OFF}"

    def marked(raw: JSON) -> dict[str, Any] | None:
        return _patch(raw, {}, off) if not of(raw) else None

    def cleared(raw: JSON) -> dict[str, Any] | None:
        return _patch(raw, {}, None) if of(raw) == off else None

    _patch_until_taken(cluster, path, uid, marked)
    _patch_until_taken(cluster, path, uid, cleared)


def refuse_if_left(raw: JSON, mark: str, path: str) -> None:
    """See that an entry's mark is gone, and its change with it.

    Raises:
        FaultError: It stands.
    """
    if of(raw) in (mark, f"{mark}{_OFF}"):
        raise FaultError(f"{path} still bears the mark of {of(raw)}.")


def _patch(raw: JSON, change: Mapping[str, Any], mark: str | None) -> dict[str, Any]:
    """A change of this very version of an object, and of its mark; None takes that away."""
    meta = raw["metadata"]
    meant = {name: meta[name] for name in ("uid", "resourceVersion") if name in meta}
    return {**change, "metadata": {**meant, "labels": {LABEL: mark}}}


def _patch_until_taken(
    cluster: Cluster, path: str, uid: str, patch_of: Callable[[JSON], dict[str, Any] | None]
) -> None:
    """Patch what is read, and read again if it was changed in between; None: there is no need."""
    for _ in range(TRIES):
        raw = found(cluster, path, uid)
        wanted = None if raw is None else patch_of(raw)
        if wanted is None:
            return
        with contextlib.suppress(ConflictError):
            cluster.patch(path, wanted)
            return
    raise FaultError(f"{path} was changed by others {TRIES} times while it was put back.")
