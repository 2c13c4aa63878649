"""The API server as a pod sees it: its service account's token, and the standard library only.

For a guardian inside a cluster, which has no other packages. The token is read anew for each
call, because the kubelet renews it.
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from harness.cluster import JSON, ConflictError, ForbiddenError
from harness.errors import FaultError

TIMEOUT_S = 5.0
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
MERGE = "application/merge-patch+json"
NOT_FOUND, CONFLICT = 404, 409
FORBIDDEN = (401, 403)  # it does not know who asks, or does not allow it
_SHOWN = 300


class ServiceAccountApi:
    """One API server.

    Args:
        url: Its base URL.
        account: Folder with ``token`` and, for https, ``ca.crt``.
    """

    context = "the cluster that this pod is in"
    uid = ""  # which it is need not be told apart: a pod is in one only

    def __init__(self, url: str, account: Path = ACCOUNT) -> None:
        self.url = url.rstrip("/")
        self._token = account / "token"
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
        if self.url.startswith("https:"):
            trusted = ssl.create_default_context(cafile=str(account / "ca.crt"))
            # Newer Pythons ask for extensions that the CAs of many clusters do not have.
            trusted.verify_flags &= ~ssl.VERIFY_X509_STRICT
            handlers.append(urllib.request.HTTPSHandler(context=trusted))
        self._opener = urllib.request.build_opener(*handlers)

    def get(self, path: str) -> JSON | None:
        """One object, None when there is none."""
        return self._call("GET", path)

    def patch(self, path: str, body: JSON) -> JSON:
        """Merge into an object (RFC 7386) and return it as it is kept."""
        found = self._call("PATCH", path, body, MERGE)
        if found is None:
            raise FaultError(f"There is no {path}.")
        return found

    def list(self, path: str, labels: Mapping[str, str] | None = None) -> tuple[JSON, ...]:
        """The objects of a collection, those with all of the labels."""
        selector = ",".join(f"{k}={v}" for k, v in sorted((labels or {}).items()))
        query = f"?{urlencode({'labelSelector': selector})}" if selector else ""
        found = self._call("GET", f"{path}{query}") or {}
        return tuple(found.get("items") or ())

    def delete(self, path: str, uid: str, grace_s: int | None = None) -> bool:
        """Delete this very object; whether it was there."""
        options: dict[str, Any] = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        if grace_s is not None:
            options["gracePeriodSeconds"] = grace_s
        try:
            return self._call("DELETE", path, options) is not None
        except ConflictError:
            return False  # another one has come in its place

    def create(self, path: str, body: JSON, *, dry_run: bool = False) -> JSON:
        """Make an object in a collection and return it as it is kept."""
        query = "?dryRun=All" if dry_run else ""
        found = self._call("POST", f"{path}{query}", body)
        if found is None:
            raise FaultError(f"There is no {path}.")
        return found

    def execute(self, namespace: str, pod: str, container: str, argv: Sequence[str]) -> str:
        """Not from here.

        Raises:
            FaultError: Always: that takes more than the standard library, and a right that a
                guardian does not have.
        """
        raise FaultError(f"{argv[0]} cannot be run in {namespace}/{pod}/{container} from inside.")

    def ask(self, *_question: object) -> bytes:
        """Not from here either.

        Raises:
            FaultError: Always.
        """
        raise FaultError("Pods are not asked through the API server from inside the cluster.")

    def close(self) -> None:
        """There is no connection that would be kept."""

    def _call(
        self, method: str, path: str, body: JSON | None = None, kind: str = "application/json"
    ) -> dict[str, Any] | None:
        what = f"{method} {path.partition('?')[0]}"
        try:
            token = self._token.read_text().strip()
            request = urllib.request.Request(  # noqa: S310 - the URL is the cluster's own
                f"{self.url}{path}",
                data=None if body is None else json.dumps(body).encode(),
                method=method,
                headers={
                    "Accept": "application/json",
                    "Content-Type": kind,
                    "Authorization": f"Bearer {token}",
                },
            )
            with self._opener.open(request, timeout=TIMEOUT_S) as answer:
                found: dict[str, Any] = json.loads(answer.read())
                return found
        except urllib.error.HTTPError as error:
            with error:
                if error.code == NOT_FOUND:
                    return None
                raise _refusal(error, what) from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise FaultError(f"The API server at {self.url}: {what}: {error}.") from error


def of_this_pod() -> ServiceAccountApi:
    """The API server of the cluster that this process runs in, as its environment says.

    Raises:
        FaultError: This is no pod, or its account cannot be read.
    """
    try:
        host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
        shown = f"[{host}]" if ":" in host else host
        return ServiceAccountApi(f"https://{shown}:{port}")
    except (KeyError, OSError) as error:
        raise FaultError(
            f"This does not run in a pod with a service account: {error!r}."
        ) from error


def _refusal(error: urllib.error.HTTPError, what: str) -> FaultError:
    """What the server says, of its ``Status`` if it sent one."""
    try:
        said = str(json.loads(error.read())["message"])
    except (ValueError, KeyError, TypeError, OSError):
        said = str(error.reason)
    text = f"The API server answered {error.code} to {what}: {said[:_SHOWN]}"
    if error.code in FORBIDDEN:
        return ForbiddenError(text)
    return ConflictError(text) if error.code == CONFLICT else FaultError(text)
