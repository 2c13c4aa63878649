"""Brokers of the local stack: the settings of docker-compose.yml, on ports of this machine. Pure.

Each broker has a listener for each of its callers, the other brokers included, and tells it the
address of the proxy on that edge: a caller that was told the broker's own address would go past
the proxy.
"""

from __future__ import annotations

from harness.stacks.plan import HOST, PROXIED_BY, ServicePlan
from harness.stacks.reference.site import Site
from harness.stacks.reference.table import Call, Service

KIND = "kafka"
CLUSTER_ID = "aGFybmVzcy1yZWZlcmVuYw"
#: The small heap of compose; less compiling and fewer threads, so that three start sooner.
HEAP = "-Xms192m -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1"
#: Three of them start at once, on a machine that may be busy.
HEALTHY_WITHIN_S = 120.0

LOGGING = """\
Configuration:
  status: error
  Appenders:
    Console:
      name: STDOUT
      PatternLayout: {pattern: "[%d] %p %m (%c)%n"}
  Loggers:
    Root: {level: WARN, AppenderRef: {ref: STDOUT}}
"""
LOGGING_FILE = "kafka-log4j2.yaml"


def port_names(name: str, calls: tuple[Call, ...]) -> tuple[str, ...]:
    """The ports of one broker; the first, for this machine, is that of the service."""
    callers = tuple(upstream(call) for call in calls if call.callee == name)
    return (name, _controller(name), *callers)


def upstream(call: Call) -> str:
    """The name of the port behind the proxy of a call."""
    return f"{call.callee}-from-{call.caller}"


def plan(service: Service, site: Site) -> ServicePlan:
    """How one broker is formatted and run; it is a controller of the quorum, too."""
    config = str(site.folder / config_file(service))
    program = site.program(KIND)
    return ServicePlan(
        name=service.name,
        argv=(program, "kafka.Kafka", config),
        prepare=(
            *(program, "kafka.tools.StorageTool", "format"),
            *("--cluster-id", CLUSTER_ID, "--config", config),
        ),
        env={
            "JAVA_HOME": str(site.programs.servers["java"].parent.parent),
            "KAFKA_HEAP_OPTS": HEAP,
            "KAFKA_LOG4J_OPTS": f"-Dlog4j2.configurationFile={site.folder / LOGGING_FILE}",
            "LOG_DIR": str(site.folder / "logs"),
        },
        cwd=str(site.folder),
        port=site.ports[service.name],
        health_path=KIND,
        needs=(PROXIED_BY,),
        health_limit_s=HEALTHY_WITHIN_S,
    )


def config_file(service: Service) -> str:
    """The name of a broker's settings in the stack's folder."""
    return f"{service.name}.properties"


def files(service: Service, site: Site) -> dict[str, str]:
    """The files that a broker reads, by their names in the stack's folder."""
    text = "".join(f"{name}={value}\n" for name, value in _settings(service.name, site).items())
    return {config_file(service): text, LOGGING_FILE: LOGGING}


def _settings(name: str, site: Site) -> dict[str, str]:
    brokers = [s.name for s in site.services if s.kind == KIND]
    calls = [call for call in site.calls if call.callee == name]
    callers = {_listener(call): upstream(call) for call in calls}
    proxies = {_listener(call): call.proxy for call in calls}
    listen = {"CONTROLLER": _controller(name), "HOST": name, **callers}
    voters = (f"{_node(b)}@{site.address(_controller(b))}" for b in brokers)
    return {
        "process.roles": "broker,controller",
        "node.id": str(_node(name)),
        "controller.quorum.voters": ",".join(voters),
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "BROKERS",
        "listeners": _addresses(listen, site),
        "advertised.listeners": _addresses({"HOST": name, **proxies}, site),
        "listener.security.protocol.map": ",".join(f"{each}:PLAINTEXT" for each in listen),
        "log.dirs": str(site.data(name)),
        "auto.create.topics.enable": "false",
        "default.replication.factor": "3",
        "min.insync.replicas": "2",
        "offsets.topic.replication.factor": "3",
        "offsets.topic.num.partitions": "6",
        "transaction.state.log.replication.factor": "3",
        "transaction.state.log.min.isr": "2",
        "group.initial.rebalance.delay.ms": "500",
        # A broker that was away leads again soon, so that the next to be killed leads something.
        "leader.imbalance.check.interval.seconds": "10",
    }


def _addresses(ports: dict[str, str], site: Site) -> str:
    return ",".join(f"{name}://{HOST}:{site.ports[port]}" for name, port in ports.items())


def _listener(call: Call) -> str:
    return call.caller.upper().replace("-", "_")


def _node(name: str) -> int:
    return int(name.rpartition("-")[2])


def _controller(name: str) -> str:
    return f"{name}-controller"
