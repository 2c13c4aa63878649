"""Containers as the engine tells them, and what is told from them."""

from __future__ import annotations

from typing import Any

import pytest

from harness.containers import Attachment, Container, parse, sole
from harness.errors import FaultError

ID = "c03c48a76d44251ff5afa8def734872757ba475c9013de020ab8cc1c4d645a1c"


def inspected(**changes: Any) -> dict[str, Any]:
    """What Docker 20.10 says of a container that Compose 2.40 made, cut to what is read."""
    return {
        "Id": ID,
        "Name": "/shop-api-1",
        "State": {"Status": "running", "Pid": 14003, "StartedAt": "2026-11-21T10:42:00.41Z"},
        "HostConfig": {
            "RestartPolicy": {"Name": "unless-stopped", "MaximumRetryCount": 0},
            "PortBindings": {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]},
        },
        "Config": {
            "Image": "shop/api:1",
            "ExposedPorts": {"8000/tcp": {}, "9000/tcp": {}, "53/udp": {}},
            "Labels": {
                "com.docker.compose.project": "shop",
                "com.docker.compose.service": "api",
                "com.docker.compose.container-number": "2",
            },
        },
        "NetworkSettings": {
            "Ports": {
                "8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "32768"}],
                "9000/tcp": None,
            },
            "Networks": {
                "shop_default": {
                    "IPAMConfig": {},
                    "Links": ["shop-db-1:db"],
                    "Aliases": ["shop-api-1", "api", "www", ID[:12]],
                    "IPAddress": "172.18.0.2",
                    "GlobalIPv6Address": "",
                    "DriverOpts": None,
                }
            },
        },
        **changes,
    }


def test_all_that_the_engine_says_is_read() -> None:
    found = parse(inspected())
    assert found == Container(
        id=ID,
        name="shop-api-1",
        image="shop/api:1",
        project="shop",
        service="api",
        number=2,
        state="running",
        started_at="2026-11-21T10:42:00.41Z",
        pid=14003,
        restart_policy="unless-stopped",
        networks={
            "shop_default": Attachment(
                network="shop_default",
                ip="172.18.0.2",
                aliases=("shop-api-1", "api", "www"),
                links=("shop-db-1:db",),
            )
        },
        published={8000: 32768},
        chosen=(8000,),
        exposed=(8000, 9000),
        labels=inspected()["Config"]["Labels"],
    )
    assert (found.identity, found.health_port) == (f"{ID}:2026-11-21T10:42:00.41Z", 8000)
    assert found.address(8000) == "127.0.0.1:32768"
    assert found.address(9000) == "172.18.0.2:9000"


@pytest.mark.parametrize("part", ["Id", "State", "HostConfig", "Config", "NetworkSettings"])
def test_a_description_that_lacks_something_is_refused(part: str) -> None:
    raw = inspected()
    del raw[part]
    with pytest.raises(FaultError, match="cannot be read"):
        parse(raw)


def host(**changes: Any) -> dict[str, Any]:
    return {"HostConfig": {**inspected()["HostConfig"], **changes}}


def settings(**changes: Any) -> dict[str, Any]:
    return {"NetworkSettings": {**inspected()["NetworkSettings"], **changes}}


def labelled(labels: dict[str, str] | None) -> dict[str, Any]:
    return {"Config": {"Image": "a", "Labels": labels}}


ON_ANOTHER_ADDRESS = {"8000/tcp": [{"HostIp": "10.0.0.5", "HostPort": "80"}]}
FIXED = {"8000/tcp": [{"HostIp": "", "HostPort": "8080"}]}


@pytest.mark.parametrize(
    ("changes", "attribute", "expected"),
    [
        (host(RestartPolicy={"Name": "on-failure", "MaximumRetryCount": 3}), "restart_policy",
         "on-failure:3"),
        (host(RestartPolicy={"Name": ""}), "restart_policy", "no"),
        (host(PortBindings=FIXED), "chosen", ()),
        (host(PortBindings=None), "chosen", (8000,)),
        (settings(Ports={}), "published", {}),
        (settings(Ports=ON_ANOTHER_ADDRESS), "published", {}),
        (settings(Networks=None), "ips", ()),
        ({"State": {"Status": "exited", "Pid": 0, "StartedAt": "x"}}, "identity", ""),
        ({"State": {"Status": "paused", "Pid": 7, "StartedAt": "x"}}, "identity", f"{ID}:x"),
        (labelled({"harness.health_port": "9000"}), "health_port", 9000),
        (labelled(None), "project", ""),
    ],
    ids=[
        "a policy with a bound reads as on the command line",
        "an empty policy is none",
        "a port that the file fixes is not chosen",
        "a port that nobody asked for is chosen",
        "a container that does not run publishes nothing",
        "what is published elsewhere is not reached by loopback",
        "a container without a network has no address",
        "a container that ended has no identity",
        "a frozen container is who it was",
        "a label names the port that is asked",
        "a container without labels is of no project",
    ],
)  # fmt: skip
def test_what_is_told_from_a_container(
    changes: dict[str, Any], attribute: str, expected: object
) -> None:
    assert getattr(parse(inspected(**changes)), attribute) == expected


def container(service: str, number: int = 1, **changes: Any) -> Container:
    name = f"shop-{service}-{number}"
    fields: dict[str, Any] = {
        "id": name,
        "name": name,
        "image": "x",
        "project": "shop",
        "service": service,
    }
    return Container(
        **{**fields, "number": number, "state": "running", "started_at": "t", **changes}
    )


PROJECT = (container("api", 1), container("api", 2), container("db"))


@pytest.mark.parametrize(
    ("target", "name"), [("db", "shop-db-1"), ("db.1", "shop-db-1"), ("api.2", "shop-api-2")]
)
def test_a_target_means_one_container(target: str, name: str) -> None:
    assert sole(PROJECT, target).name == name


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("api", "api has 2 containers; name one of them: api.1, api.2"),
        ("api.3", "no container of a service 'api.3'; it has api, db"),
        ("web", "no container of a service 'web'; it has api, db"),
    ],
)
def test_a_target_that_means_none_or_several_is_refused(target: str, words: str) -> None:
    with pytest.raises(FaultError, match=words):
        sole(PROJECT, target)
