"""The container engine, through the ``docker`` package: every call with a limit, read first.

The engine's operations are not idempotent (pausing twice, disconnecting twice, killing what
is dead are errors), so what is asked for is looked at before. Errors of the package become
ours, in words.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from typing import Any

from harness.containers import (
    NUMBER,
    ONE_OFF,
    PROJECT,
    SERVICE,
    Attachment,
    Container,
    parse,
)
from harness.errors import FaultError, InvalidError

#: Of one call, a grace included: below the patience of healers for the stack's lock, which is
#: held meanwhile. What the engine has begun goes on when nobody waits any more, and is asked
#: for again.
TIMEOUT_S = 4.5
GREETING_TIMEOUT_S = 2.0  # several entries must not wait one by one for an engine that hangs
INSTALL = "Install it with `pip install 'reliability-harness[compose]'`."
START = "Start Docker, or set DOCKER_HOST to where it answers."
JOIN = "Become a member of the group `docker`, or root."
UNIX = "unix://"


def connect(url: str = "", engine_id: str = "") -> DockerEngine:
    """The engine at a URL, or the one that Docker's own command line would use.

    Args:
        url: Such as ``unix:///var/run/docker.sock``; empty asks the environment.
        engine_id: What it must be; empty takes any.

    Raises:
        InvalidError: The package ``docker`` is missing.
        FaultError: No engine answers there in time, or another one.
    """
    engine = DockerEngine(url or _url())
    if engine_id and engine.id != engine_id:
        engine.close()
        raise FaultError(
            f"At {engine.url} answers the engine {engine.id}, not {engine_id}: nothing is touched."
        )
    return engine


class DockerEngine:
    """One Docker engine.

    Args:
        url: Where it answers.

    Raises:
        InvalidError: The package ``docker`` is missing.
        FaultError: It does not answer in time.
    """

    def __init__(self, url: str) -> None:
        try:
            import docker  # noqa: PLC0415 - an extra, and slow to import
        except ImportError as error:
            raise InvalidError("The package `docker` is missing.", INSTALL) from error
        self.url = url
        _knock(url)
        self._errors = docker.errors
        tls = docker.utils.kwargs_from_env() if url == os.environ.get("DOCKER_HOST") else {}
        settings = {**tls, "base_url": url, "timeout": GREETING_TIMEOUT_S, "version": "auto"}
        with self._told("greeting", START):
            self._client = docker.APIClient(**settings)
        try:
            with self._told("question for its id", START):
                self.id = str(self._client.info()["ID"])
            self._client.timeout = TIMEOUT_S
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Drop the connection."""
        self._client.close()

    def containers(self, project: str) -> tuple[Container, ...]:
        """All containers of a project, running or not, by service and number."""
        with self._told(f"question for the containers of {project}"):
            rows = self._client.containers(
                all=True, filters={"label": [f"{PROJECT}={project}", SERVICE, NUMBER]}
            )
        ids = [row["Id"] for row in rows if row["Labels"].get(ONE_OFF, "False") != "True"]
        found = [c for c in map(self.container, ids) if c is not None]
        return tuple(sorted(found, key=lambda c: (c.service, c.number)))

    def projects(self) -> tuple[str, ...]:
        """Names of all compose projects that have a container."""
        with self._told("question for its projects"):
            rows = self._client.containers(all=True, filters={"label": [PROJECT]})
        return tuple(sorted({row["Labels"][PROJECT] for row in rows}))

    def container(self, container_id: str) -> Container | None:
        """One container, None when it was removed."""
        try:
            with self._told(f"question for {container_id[:12]}"):
                return parse(self._client.inspect_container(container_id))
        except _MissingError:
            return None

    def start(self, container_id: str) -> None:
        """Ensure it is started; a running one is left as it is."""
        with self._told(f"start of {container_id[:12]}"):
            self._client.start(container_id)

    def stop(self, container_id: str, grace_s: int) -> None:
        """Ask it to end, SIGKILL after the grace; its restart policy does not apply."""
        with self._told(f"stop of {container_id[:12]}"), self._grace(grace_s):
            self._client.stop(container_id, timeout=grace_s)

    def kill(self, container_id: str, signal: str) -> None:
        """Signal it through the engine; its restart policy does not apply afterwards."""
        with self._told(f"kill of {container_id[:12]}"):
            self._client.kill(container_id, signal=signal)

    def restart(self, container_id: str, grace_s: int) -> None:
        """Stop and start it."""
        with self._told(f"restart of {container_id[:12]}"), self._grace(grace_s):
            self._client.restart(container_id, timeout=grace_s)

    def pause(self, container_id: str) -> None:
        """Freeze all its processes."""
        with self._told(f"pause of {container_id[:12]}"):
            self._client.pause(container_id)

    def unpause(self, container_id: str) -> None:
        """Ensure it is not frozen."""
        found = self.container(container_id)
        if found is not None and found.state == "paused":
            with self._told(f"unpause of {container_id[:12]}"):
                self._client.unpause(container_id)

    def set_restart_policy(self, container_id: str, policy: str) -> None:
        """Make this its restart policy, such as ``on-failure:3``, and read it back."""
        name, _, most = policy.partition(":")
        wanted = {"Name": name, "MaximumRetryCount": int(most or 0)}
        with self._told(f"restart policy of {container_id[:12]}"):
            self._client.update_container(container_id, restart_policy=wanted)
        found = self.container(container_id)
        if found is None or found.restart_policy != policy:
            raise FaultError(f"{container_id[:12]} did not take the restart policy {policy!r}.")

    def disconnect(self, container_id: str, network: str) -> None:
        """Ensure it is not attached to the network."""
        found = self.container(container_id)
        if found is not None and network in found.networks:
            with self._told(f"disconnection of {container_id[:12]} from {network}"):
                self._client.disconnect_container_from_network(container_id, network)

    def connect(self, container_id: str, attachment: Attachment) -> None:
        """Attach it to a network that it is not attached to, as it was before."""
        with self._told(f"connection of {container_id[:12]} to {attachment.network}"):
            self._client.connect_container_to_network(
                container_id,
                attachment.network,
                ipv4_address=attachment.fixed_ip or None,
                ipv6_address=attachment.fixed_ipv6 or None,
                aliases=list(attachment.aliases) or None,
                links=[tuple(link.split(":", 1)) for link in attachment.links] or None,
                link_local_ips=list(attachment.link_local_ips) or None,
                driver_opt=dict(attachment.driver_options) or None,
            )

    @contextlib.contextmanager
    def _grace(self, grace_s: int) -> Iterator[None]:
        """The package waits so much longer than its limit; together they stay within ours."""
        self._client.timeout = TIMEOUT_S - grace_s
        try:
            yield
        finally:
            self._client.timeout = TIMEOUT_S

    @contextlib.contextmanager
    def _told(self, what: str, next_step: str = "") -> Iterator[None]:
        """Make the package's errors ours; it raises those of three libraries."""
        try:
            yield
        except self._errors.NotFound as error:
            text = f"The engine at {self.url} misses what the {what} needs: {error.explanation}."
            raise _MissingError(text) from error
        except self._errors.APIError as error:
            text = f"The engine at {self.url} refused the {what}: {error.explanation}."
            raise FaultError(text) from error
        except (self._errors.DockerException, OSError) as error:
            raise FaultError(
                f"The engine at {self.url} did not answer the {what} in time "
                f"({type(error).__name__}).",
                next_step,
            ) from error


class _MissingError(FaultError):
    """What was asked for is not there."""


def _knock(url: str) -> None:
    """See that somebody listens at a Unix socket; the package would not say why nobody does.

    Raises:
        FaultError: Nobody listens, or we may not connect.
    """
    if not url.startswith(UNIX):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(GREETING_TIMEOUT_S)
        try:
            connection.connect(url.removeprefix(UNIX))
        except OSError as error:
            raise FaultError(
                f"No container engine answers at {url}: {error.strerror or error}.",
                JOIN if isinstance(error, PermissionError) else START,
            ) from error


def _url() -> str:
    """Where Docker's own command line would go."""
    if host := os.environ.get("DOCKER_HOST"):
        return host
    try:
        from docker.context import ContextAPI  # noqa: PLC0415 - an extra, and slow to import
        from docker.errors import DockerException  # noqa: PLC0415
    except ImportError as error:
        raise InvalidError("The package `docker` is missing.", INSTALL) from error
    name = os.environ.get("DOCKER_CONTEXT")
    try:
        context: Any = ContextAPI.get_context(name)
    except (DockerException, OSError, ValueError) as error:
        raise InvalidError(f"Docker's context {name or ''} cannot be read: {error}.") from error
    if context is None:
        raise InvalidError(f"Docker has no context {name!r}.", "`docker context ls` lists them.")
    return str(context.Host)
