"""Where the store of a series of writes is reached: at its own address, past every proxy. Pure."""

from __future__ import annotations

import re

from harness.descriptor import StackDescriptor
from harness.durability.series import SCHEMES, WriteSeries
from harness.errors import InvalidError

_DSN = re.compile(r"(?P<scheme>\w+)://(?:(?P<user>[^/@]*)@)?(?P<hosts>[^/?#]+)(?P<rest>.*)")


def address_of(series: WriteSeries, stack: StackDescriptor) -> str:
    """The URL of its store; hosts that are services of the stack become their own addresses.

    Raises:
        InvalidError: Nothing says where it is.
    """
    if series.dsn:
        return _resolved(series, stack)
    names = [s for s in stack.services if re.fullmatch(rf"{series.engine}(-\d+)?", s)]
    urls = [stack.services[name].url for name in names if stack.services[name].url]
    if series.engine != "kafka":
        urls = urls[:1]
    if not urls:
        raise InvalidError(
            f"durability.{series.name}: the stack {stack.id} has no service {series.engine} with "
            "a port.",
            f"Say where {series.read} is: `dsn: {SCHEMES[series.engine][0]}://…`.",
        )
    if urls[0].partition("://")[0] in SCHEMES[series.engine]:
        return urls[0]
    places = ",".join(url.partition("://")[2] for url in urls)
    return f"{SCHEMES[series.engine][0]}://{places}"


def _resolved(series: WriteSeries, stack: StackDescriptor) -> str:
    found = _DSN.fullmatch(series.dsn)
    if found is None:
        raise InvalidError(
            f"durability.{series.name}.dsn names no host.",
            f"Write it as {SCHEMES[series.engine][0]}://user:password@host:port/…",
        )
    hosts = ",".join(_host(host, stack) for host in found["hosts"].split(","))
    user = "" if found["user"] is None else f"{found['user']}@"
    return f"{found['scheme']}://{user}{hosts}{found['rest']}"


def _host(host: str, stack: StackDescriptor) -> str:
    """A service's published address; a port beside its name is the container's, and not ours."""
    service = stack.services.get(host.partition(":")[0])
    if service is None or not service.url:
        return host
    return service.url.partition("://")[2].rpartition("@")[2].partition("/")[0]
