"""The Kubernetes API server, through the ``kubernetes`` package: every call with a limit.

The package reads the kubeconfig and signs in; requests are our own, because its own have no
limit unless each one is given it. A context is always named: the one that happens to be current
is somebody else's choice.
"""

from __future__ import annotations

import contextlib
import json
import os
import ssl
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import requests
from requests.adapters import HTTPAdapter

from harness.cluster import JSON, ConflictError, ForbiddenError, Question, TooManyRequestsError
from harness.cluster_paths import pod_proxy
from harness.errors import FaultError, InvalidError

#: Of one call: below the patience of healers for the stack's lock, which is held meanwhile.
TIMEOUT_S = 4.5
EXECUTE_WITHIN_S = 10.0
PAGE = 500
INSTALL = "Install it with `pip install 'reliability-harness[kubernetes]'`."
IDENTITY = "/api/v1/namespaces/kube-system"
MERGE = "application/merge-patch+json"
GONE, CONFLICT, NOT_FOUND = 410, 409, 404
#: Statuses that say more than that something went wrong.
REFUSALS = {401: ForbiddenError, 403: ForbiddenError, 429: TooManyRequestsError}
_SHOWN = 300


def connect(context: str, uid: str = "", kubeconfig: str = "") -> KubernetesApi:
    """The cluster that a context of the kubeconfig means.

    Args:
        context: Its name.
        uid: What the cluster must be (the uid of ``kube-system``); empty takes any.
        kubeconfig: Path of the file; empty takes ``KUBECONFIG`` or the default one.

    Raises:
        InvalidError: The package is missing, or there is no such context.
        FaultError: No API server answers there in time, or another cluster's.
    """
    api = KubernetesApi(context, kubeconfig)
    if uid and api.uid != uid:
        api.close()
        raise FaultError(
            f"The context {context!r} leads to the cluster {api.uid}, not {uid}: nothing is "
            "touched."
        )
    return api


class KubernetesApi:
    """One API server.

    Args:
        context: Name of the context.
        kubeconfig: Path of the file; empty takes ``KUBECONFIG`` or the default one.

    Raises:
        InvalidError: The package is missing, or there is no such context.
        FaultError: It does not answer in time.
    """

    def __init__(self, context: str, kubeconfig: str = "") -> None:
        try:
            from kubernetes import client, config  # noqa: PLC0415 - an extra, slow to import
            from kubernetes.config import ConfigException  # noqa: PLC0415
        except ImportError as error:
            raise InvalidError("The package `kubernetes` is missing.", INSTALL) from error
        self.context = context
        self.kubeconfig = kubeconfig or os.environ.get("KUBECONFIG", "")
        self._configuration = client.Configuration()
        try:
            config.load_kube_config(  # type: ignore[no-untyped-call]
                config_file=self.kubeconfig or None,
                context=context,
                client_configuration=self._configuration,
                persist_config=False,
            )
        except (ConfigException, OSError, ValueError) as error:
            raise InvalidError(
                f"The context {context!r} cannot be used: {error}.",
                "`kubectl config get-contexts` lists those that there are.",
            ) from error
        self.url = str(self._configuration.host).rstrip("/")
        self._session = self._signed_in()
        try:
            self.uid = self._identity()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Drop the connection."""
        self._session.close()

    def get(self, path: str) -> JSON | None:
        """One object, None when there is none."""
        return self._call("GET", path, missing_is_none=True)

    def list(self, path: str, labels: Mapping[str, str] | None = None) -> tuple[JSON, ...]:
        """The objects of a collection, those with all of the labels."""
        query = {"limit": str(PAGE)}
        if labels:
            query["labelSelector"] = ",".join(f"{k}={v}" for k, v in sorted(labels.items()))
        found: list[JSON] = []
        while True:
            page = self._call("GET", f"{path}?{urlencode(query)}") or {}
            found += page.get("items") or ()
            onward = (page.get("metadata") or {}).get("continue")
            if not onward:
                return tuple(found)
            query["continue"] = onward

    def create(self, path: str, body: JSON, *, dry_run: bool = False) -> JSON:
        """Make an object in a collection and return it as it is kept."""
        query = "?dryRun=All" if dry_run else ""
        return self._call("POST", f"{path}{query}", body) or {}

    def patch(self, path: str, body: JSON) -> JSON:
        """Merge into an object (RFC 7386) and return it as it is kept."""
        return self._call("PATCH", path, body, content_type=MERGE) or {}

    def delete(self, path: str, uid: str, grace_s: int | None = None) -> bool:
        """Delete this very object; whether it was there."""
        options: dict[str, Any] = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        if grace_s is not None:
            options["gracePeriodSeconds"] = grace_s
        try:
            return self._call("DELETE", path, options, missing_is_none=True) is not None
        except ConflictError:
            return False  # another one has come in its place

    def execute(self, namespace: str, pod: str, container: str, argv: Sequence[str]) -> str:
        """Run a program in a container and return what it printed.

        Raises:
            FaultError: It could not be run, did not end in time, or ended with an error.
        """
        from kubernetes import client, stream  # noqa: PLC0415 - see above
        from kubernetes.stream.ws_client import ERROR_CHANNEL  # noqa: PLC0415

        what = f"run of {argv[0]} in {pod}"
        with self._told(what), client.ApiClient(self._configuration) as api:
            shell = stream.stream(
                client.CoreV1Api(api).connect_get_namespaced_pod_exec,
                pod,
                namespace,
                container=container,
                command=list(argv),
                stderr=True,
                stdout=True,
                stdin=False,
                tty=False,
                _preload_content=False,
                _request_timeout=TIMEOUT_S,
            )
            try:
                shell.run_forever(timeout=EXECUTE_WITHIN_S)
                if shell.is_open():
                    raise FaultError(f"The {what} did not end within {EXECUTE_WITHIN_S:g} s.")
                printed, complaint = shell.read_stdout(), shell.read_stderr()
                # The package's own ``returncode`` stumbles over an end that nobody told of.
                problem = failure(shell.read_channel(ERROR_CHANNEL))
            finally:
                shell.close()
                # Where the server says goodbye first the package takes the socket for closed.
                shell.sock.shutdown()
        if problem:
            said = f"{problem} {complaint}".strip()[:_SHOWN]
            raise FaultError(f"The {what} failed: {said}")
        return str(printed)

    def ask(self, namespace: str, pod: str, port: int, path: str, question: Question) -> bytes:
        """POST to a pod through the server's own proxy, and return the body of its answer."""
        what = f"POST {path} to port {port} of the pod {pod}"
        with self._told(what, question.timeout_s):
            answer = self._session.post(
                f"{self.url}{pod_proxy(namespace, pod, port, path)}",
                data=question.body,
                headers={**question.headers, **self._token()},
                timeout=(question.timeout_s, question.timeout_s),
                allow_redirects=False,
            )
            if answer.status_code != requests.codes.ok:
                raise FaultError(f"{what} was answered {answer.status_code}: {_message(answer)}")
            return answer.content

    def _signed_in(self) -> requests.Session:
        made = requests.Session()
        made.trust_env = False  # a proxy of the environment is not on the way to a cluster
        made.verify = self._configuration.ssl_ca_cert or bool(self._configuration.verify_ssl)
        made.mount("https://", _Tolerant())
        certificate, key = self._configuration.cert_file, self._configuration.key_file
        if certificate:
            made.cert = (certificate, key) if key else certificate
        return made

    def _identity(self) -> str:
        """The uid of the namespace that every cluster has and nobody makes anew."""
        found = self._call("GET", IDENTITY)
        return str((found or {})["metadata"]["uid"])

    def _call(
        self,
        method: str,
        path: str,
        body: JSON | None = None,
        *,
        content_type: str = "application/json",
        missing_is_none: bool = False,
    ) -> dict[str, Any] | None:
        what = f"{method} {path.partition('?')[0]}"
        headers = {"Accept": "application/json", "Content-Type": content_type, **self._token()}
        with self._told(what):
            answer = self._session.request(
                method,
                f"{self.url}{path}",
                data=None if body is None else json.dumps(body),
                headers=headers,
                timeout=(TIMEOUT_S, TIMEOUT_S),
                allow_redirects=False,
            )
            if answer.status_code == NOT_FOUND and missing_is_none:
                return None
            if answer.status_code == CONFLICT:
                raise ConflictError(f"The API server says to {what}: {_message(answer)}")
            if not answer.ok:
                raise REFUSALS.get(answer.status_code, FaultError)(
                    f"The API server answered {answer.status_code} to {what}: {_message(answer)}"
                )
            found: dict[str, Any] = answer.json()
            return found

    def _token(self) -> dict[str, str]:
        """Asked for anew each time: tokens are short-lived, and the package renews them."""
        signing = self._configuration.auth_settings().get("BearerToken")
        return {"Authorization": str(signing["value"])} if signing else {}

    @contextlib.contextmanager
    def _told(self, what: str, timeout_s: float = TIMEOUT_S) -> Iterator[None]:
        """Errors of the packages become ours, in words."""
        try:
            yield
        except FaultError:
            raise
        except requests.Timeout as error:
            raise FaultError(
                f"The API server at {self.url} did not answer {what} within {timeout_s:g} s."
            ) from error
        except (requests.RequestException, OSError, ValueError) as error:
            raise FaultError(f"The API server at {self.url}: {what}: {error}.") from error
        except Exception as error:
            # The package's websocket client raises what it likes.
            if type(error).__module__.partition(".")[0] not in ("kubernetes", "websocket"):
                raise
            raise FaultError(f"The API server at {self.url}: {what}: {error}.") from error


class _Tolerant(HTTPAdapter):
    """Verifies certificates as kubectl does: the chain and the name, not the letter of RFC 5280.

    From 3.13 on Python refuses authorities without extensions that many clusters' own lack.
    """

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Called by the adapter when it is made."""
        context = ssl.create_default_context()
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        super().init_poolmanager(*arguments, ssl_context=context, **options)


def _message(answer: requests.Response) -> str:
    """What the server says, of its ``Status`` if it sent one."""
    try:
        said = str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        said = answer.text
    return said.strip()[:_SHOWN]


def failure(status: str) -> str:
    """Why a run in a container failed, of the server's ``Status``; empty when it ended well."""
    try:
        told = json.loads(status)
        if told["status"] == "Success":
            return ""
        return str(told.get("message") or told["status"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return "nobody has told how it ended; perhaps its container has."
