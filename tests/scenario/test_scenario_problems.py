"""One good scenario, one thing broken per row: what is said, and where."""

from __future__ import annotations

import pytest
from goodtext import GOOD, INLINE, changed, problems

from harness.scenario.faultkinds import FAULT_KINDS

# ruff: noqa: E501 - messages are compared in full

SLI_FORMS = "expected `query`, or `good` and `total`, or `bad` and `total`, or `histogram` and `quantile`; found "

WRITES = "durability: {orders: {writes: a, read: postgres.b, key: c}}"

IN_GOOD = [
    (
        "a misspelt key names the near one, and what is then missing",
        "profile: loadtests/orders.py",
        "profle: loadtests/orders.py",
        [
            "4:1: neither load.profile nor load.http is given; one is needed",
            "5:3: unknown key 'profle'; did you mean 'profile'?",
        ],
    ),
    (
        "an unknown version is refused",
        "version: 1",
        "version: 2",
        ["1:10: version: expected 1, found 2"],
    ),
    (
        "a version is a number",
        "version: 1",
        "version: '1'",
        ["1:10: version: expected 1, found '1'"],
    ),
    (
        "true is not a version",
        "version: 1",
        "version: true",
        ["1:10: version: expected 1, found true"],
    ),
    ("the version is needed", "version: 1\n", "", ["1:1: missing key 'version'"]),
    (
        "a name is lower case without spaces",
        "name: llm-timeout",
        "name: LLM timeout",
        ["2:7: name: 'LLM timeout' does not match ^[a-z0-9][a-z0-9._-]{0,63}$"],
    ),
    ("a name is text", "name: llm-timeout", "name: 7", ["2:7: name: expected text, found 7"]),
    (
        "a key without a value is not a default",
        "name: llm-timeout",
        "name:",
        ["2:1: name has no value"],
    ),
    (
        "an unknown driver names the near one",
        "driver: local",
        "driver: compse",
        ["3:17: stack.driver: unknown value 'compse'; did you mean 'compose'?"],
    ),
    (
        "an option of another driver would be without effect",
        "driver: local",
        "driver: local, namespace: shop",
        ["3:24: stack.namespace means nothing to the driver local; it is for kubernetes"],
    ),
    (
        "kubernetes is told which cluster and which namespace",
        "driver: local",
        "driver: kubernetes",
        [
            "3:17: the driver kubernetes needs stack.context, the kubeconfig's name for the cluster",
            "3:17: the driver kubernetes needs stack.namespace, the namespace's name",
        ],
    ),
    (
        "the stack is a mapping",
        "stack: {driver: local}",
        "stack: local",
        ["3:8: stack: expected a mapping of keys, found 'local'"],
    ),
    (
        "the driver compose guesses no project",
        "driver: local",
        "driver: compose, file: docker-compose.yml",
        ["3:17: the driver compose needs stack.project, the project's name"],
    ),
    (
        "the driver external waits",
        "driver: local",
        "driver: external, url: 'http://x'",
        ["3:17: stack driver external is not available in this version"],
    ),
    ("the timeout is needed", "  timeout: 2s\n", "", ["4:1: missing key 'timeout' in load"]),
    (
        "a duration has a unit",
        "timeout: 2s",
        "timeout: 2",
        ["7:12: load.timeout: expected a duration such as 15s, found 2"],
    ),
    (
        "a duration's unit is known",
        "timeout: 2s",
        "timeout: 2 sec",
        [
            "7:12: load.timeout: '2 sec' is not a duration; write a number and a unit, such as 250ms, 15s or 2m"
        ],
    ),
    (
        "a timeout of nothing is refused",
        "timeout: 2s",
        "timeout: 0s",
        ["7:12: load.timeout: must be longer than 0s"],
    ),
    (
        "a timeout of months is a slip",
        "timeout: 2s",
        "timeout: 60d",
        ["7:12: load.timeout: '60d' is too much; at most 30d"],
    ),
    (
        "a rate has a time",
        "arrivals: 100/s",
        "arrivals: 100",
        ["6:13: load.arrivals: expected arrivals such as 100/s, found 100"],
    ),
    (
        "a rate is above 0",
        "arrivals: 100/s",
        "arrivals: 0/s",
        ["6:13: load.arrivals: The arrival rate must be above 0 at some time"],
    ),
    (
        "a rate beyond any machine is a slip",
        "arrivals: 100/s",
        "arrivals: 2000000/s",
        [
            "6:13: load.arrivals 2000000/s is above max_rate 200/s",
            "6:13: load.arrivals: '2000000/s' is too much; at most 1000000/s",
        ],
    ),
    (
        "arrivals stay below the target's limit",
        "arrivals: 100/s",
        "arrivals: 300/s",
        ["6:13: load.arrivals 300/s is above max_rate 200/s"],
    ),
    (
        "the pool has a user",
        "timeout: 2s",
        "timeout: 2s\n  max_in_flight: 0",
        ["8:18: load.max_in_flight: 0 is below 1"],
    ),
    (
        "the pool is bounded",
        "timeout: 2s",
        "timeout: 2s\n  max_in_flight: 2001",
        ["8:18: load.max_in_flight: 2001 is above 2000"],
    ),
    (
        "text is not a number",
        "timeout: 2s",
        "timeout: 2s\n  max_in_flight: '9'",
        ["8:18: load.max_in_flight: expected a whole number, found '9'"],
    ),
    (
        "a locustfile or requests, not both",
        "timeout: 2s",
        "timeout: 2s\n  http: [GET /]",
        ["8:3: both load.profile and load.http are given; keep exactly one"],
    ),
    (
        "a locustfile or requests, one of them",
        "  profile: loadtests/orders.py\n",
        "",
        ["4:1: neither load.profile nor load.http is given; one is needed"],
    ),
    (
        "the locustfile exists",
        "loadtests/orders.py",
        "loadtests/odrers.py",
        ["5:12: load.profile: there is no file 'loadtests/odrers.py' in the project"],
    ),
    (
        "a path is relative to the project",
        "loadtests/orders.py",
        "/etc/passwd",
        [
            "5:12: load.profile: '/etc/passwd' must be a path inside the project, relative to its root"
        ],
    ),
    (
        "a path stays in the project",
        "loadtests/orders.py",
        "../orders.py",
        [
            "5:12: load.profile: '../orders.py' must be a path inside the project, relative to its root"
        ],
    ),
    (
        "the experiment exists",
        "experiments/llm-timeout.json",
        "experiments/none.json",
        ["9:13: experiment: there is no file 'experiments/none.json' in the project"],
    ),
    (
        "an experiment or faults, one of them; with needs the experiment",
        "experiment: experiments/llm-timeout.json\n",
        "",
        [
            "1:1: neither experiment nor faults is given; one is needed (faults: [] is a load test without any)",
            "9:1: with is only for experiment; faults say it directly",
        ],
    ),
    (
        "an experiment or faults, not both",
        "with: {hold: 20s}",
        "faults: []",
        ["10:1: both experiment and faults are given; keep exactly one"],
    ),
    (
        "an argument is a scalar",
        "with: {hold: 20s}",
        "with: {hold: [1]}",
        ["10:14: with.hold: expected text or a number, found a list"],
    ),
    (
        "an argument is not a truth value",
        "with: {hold: 20s}",
        "with: {hold: true}",
        ["10:14: with.hold: expected text or a number, found true"],
    ),
    (
        "an argument is finite",
        "with: {hold: 20s}",
        "with: {hold: .nan}",
        ["10:14: with.hold: nan is not a number that can be handed on"],
    ),
    (
        "an argument has a name",
        "with: {hold: 20s}",
        "with: {a b: 1}",
        ["10:8: with.a b: 'a b' does not match ^[A-Za-z_][A-Za-z0-9_-]*$"],
    ),
    (
        "a load is open or closed",
        "timeout: 2s",
        "timeout: 2s\n  users: 5",
        [
            "8:3: both load.arrivals and load.users are given; keep exactly one",
            "9:1: max_rate is only for load.arrivals; a closed loop has neither",
            "22:12: both load.arrivals and load.users are given; keep exactly one",
        ],
    ),
    (
        "a load has arrivals or users",
        "arrivals: 100/s",
        "workers: 2",
        ["4:1: neither load.arrivals nor load.users is given; one is needed"],
    ),
    (
        "a recording is inside the project",
        "arrivals: 100/s",
        "arrivals: replay ../secrets.txt",
        [
            "6:13: load.arrivals: '../secrets.txt' must be a path inside the project, "
            "relative to its root"
        ],
    ),
    (
        "a spike may not go above the highest rate either",
        "arrivals: 100/s",
        "arrivals: 10/s spike to 300/s at 60s for 10s",
        ["6:13: load.arrivals 10/s spike to 300/s at 60s for 10s is above max_rate 200/s"],
    ),
    (
        "no arrivals take for ever",
        "arrivals: 100/s",
        "arrivals: 0/s to 100/s over 99d",
        ["6:13: load.arrivals: '0/s to 100/s over 99d' is too long; at most 30d"],
    ),
    (
        "steady takes time",
        "steady: 60s",
        "steady: 0s",
        ["11:31: phases.steady: must be longer than 0s"],
    ),
    (
        "no phase is shorter than nothing",
        "steady: 60s",
        "steady: -1s",
        ["11:31: phases.steady: '-1s' is negative; a duration is 0 or more"],
    ),
    (
        "a misspelt phase names the near one",
        "steady: 60s",
        "steedy: 60s",
        ["11:23: unknown key 'steedy'; did you mean 'steady'?"],
    ),
    (
        "what is judged in a phase needs the phase",
        "steady: 60s",
        "steady: 60s, after: 0s",
        ["15:5: nothing can be judged during after: phases.after is 0s"],
    ),
    (
        "an SLI has a query",
        "{query: sum(kafka_consumer_lag)}",
        "{}",
        [f"13:8: slis.lag: {SLI_FORMS}none of them"],
    ),
    (
        "an SLI has one form",
        "{query: sum(kafka_consumer_lag)}",
        "{query: a, good: b}",
        [f"13:8: slis.lag: {SLI_FORMS}good, query"],
    ),
    (
        "a ratio has both parts",
        "{query: sum(kafka_consumer_lag)}",
        "{good: b}",
        [f"13:8: slis.lag: {SLI_FORMS}good"],
    ),
    (
        "good and bad are two ratios",
        "{query: sum(kafka_consumer_lag)}",
        "{good: a, bad: b, total: c}",
        [f"13:8: slis.lag: {SLI_FORMS}bad, good, total"],
    ),
    (
        "a quantile is a share",
        "{query: sum(kafka_consumer_lag)}",
        "{histogram: a, quantile: 99}",
        ["13:33: slis.lag.quantile: Input should be less than 1, found 99"],
    ),
    (
        "only a histogram is native",
        "{query: sum(kafka_consumer_lag)}",
        "{query: a, native: true}",
        ["13:8: slis.lag: `native` is for `histogram`; it says of which kind that one is"],
    ),
    (
        "native is yes or no",
        "{query: sum(kafka_consumer_lag)}",
        "{histogram: a, quantile: 0.5, native: 'on'}",
        ["13:46: slis.lag.native: expected true or false, found 'on'"],
    ),
    (
        "a witness is a statistic of the load",
        "{query: sum(kafka_consumer_lag)}",
        "{query: a, witness: orders}",
        [
            "13:8: slis.lag: witness 'orders' must name a statistic of the load, such as orders.p99 or orders.errors"
        ],
    ),
    (
        "an SLI is a mapping",
        "{query: sum(kafka_consumer_lag)}",
        "up",
        ["13:8: slis.lag: expected a mapping of keys, found 'up'"],
    ),
    (
        "an SLI cannot be named like the start of an objective",
        "  lag: {query",
        "  recovery: {query",
        [
            "13:3: an SLI cannot be called 'recovery': objectives begin with that word",
            "16:5: there is no SLI 'lag'; known: recovery",
        ],
    ),
    (
        "an SLI's name is one word",
        "lag: {query",
        "a b: {query",
        [
            "13:3: slis.a b: 'a b' does not match ^[A-Za-z_][A-Za-z0-9_-]*$",
            "16:5: there is no SLI 'lag'; known: a b",
        ],
    ),
    (
        "without metrics there are no SLIs",
        "max_rate: 200/s",
        "max_rate: 200/s\nmetrics: none",
        ["13:1: slis need Prometheus, but `metrics: none` says that there is none"],
    ),
    (
        "metrics has one value",
        "max_rate: 200/s",
        "max_rate: 200/s\nmetrics: some",
        ["9:10: metrics: unknown value 'some'; allowed: none"],
    ),
    (
        "a logical target is named by somebody",
        "max_rate: 200/s",
        "max_rate: 200/s\ntargets: {a: {local: b}}",
        [
            "9:11: targets.a: no fault and nothing under `with` names 'a'; "
            "an experiment takes its target from its configuration"
        ],
    ),
    (
        "a logical target has a name under the driver of the file",
        "with: {hold: 20s}",
        "with: {target: a}\ntargets: {a: {compose: b}}",
        ["11:11: targets.a: has no name for the driver local; it has compose"],
    ),
    (
        "a logical target has names for drivers only",
        "with: {hold: 20s}",
        "with: {target: a}\ntargets: {a: {local: b, compos: c}}",
        ["11:25: unknown key 'compos'; did you mean 'compose'?"],
    ),
    (
        "a series of writes has a key",
        "max_rate: 200/s",
        "max_rate: 200/s\ndurability: {orders: {writes: a, read: postgres.b}}",
        ["9:14: missing key 'key' in durability.orders"],
    ),
    (
        "writes are read back from a store that is known",
        "max_rate: 200/s",
        "max_rate: 200/s\ndurability: {orders: {writes: a, read: mysql.b, key: c}}",
        [
            "9:40: durability.orders.read: 'mysql.b' does not match ^(?:postgres|kafka|redis)\\.[A-Za-z_][A-Za-z0-9_.-]*$"
        ],
    ),
    (
        "a store is addressed in its own way",
        "max_rate: 200/s",
        "max_rate: 200/s\ndurability: {orders: {writes: a, read: kafka.b, key: c, dsn: redis://x}}",
        ["9:22: durability.orders: the dsn of kafka.b must begin with kafka://"],
    ),
    (
        "so is each of its replicas",
        "max_rate: 200/s",
        "max_rate: 200/s\ndurability: {orders: {writes: a, read: redis.b, key: c, "
        "replicas: [redis://x, kafka://x]}}",
        ["9:22: durability.orders: the replicas of redis.b must begin with redis:// or rediss://"],
    ),
    (
        "replicas of a topic are nobody's to ask",
        "max_rate: 200/s",
        "max_rate: 200/s\ndurability: {orders: {writes: a, read: kafka.b, key: c, "
        "replicas: [kafka://x]}}",
        ["9:22: durability.orders: `replicas` are asked one by one; those of kafka.b cannot be"],
    ),
    (
        "only tables need to be told their order",
        "max_rate: 200/s",
        "max_rate: 200/s\ndurability: {orders: {writes: a, read: redis.b, key: c, order: d}}",
        ["9:22: durability.orders: `order` is for tables; redis.b has an order of its own"],
    ),
    (
        "the order within a group of rows has a column",
        "max_rate: 200/s",
        "max_rate: 200/s\ndurability: {orders: {writes: a, read: postgres.b, key: c, group: d}}",
        [
            "9:22: durability.orders: `group` needs `order`: the column that says which row came first"
        ],
    ),
    (
        "an unknown SLI names the near one",
        "lag < 100 at end",
        "lagg < 100 at end",
        ["16:5: there is no SLI 'lagg'; did you mean 'lag'?"],
    ),
    (
        "an SLI has no load statistic",
        "lag < 100 at end",
        "lag.p99 < 100ms during steady",
        ["16:5: lag is an SLI; 'p99' is for load, an SLI has none or min, max, mean, last"],
    ),
    (
        "a journey has no SLI statistic",
        "lag < 100 at end",
        "orders.max < 100 during steady",
        ["16:5: there is no SLI 'orders'; known: lag"],
    ),
    (
        "an SLI is judged at some time",
        "lag < 100 at end",
        "lag < 100",
        [
            "16:5: lag needs `during` with one or more of warmup, steady, fault, recovery, after, or `at end`"
        ],
    ),
    (
        "a latency is judged in a phase",
        "lag < 100 at end",
        "orders.p99 < 1s at end",
        ["16:5: orders.p99 needs `during`; `at end` is for SLIs"],
    ),
    (
        "a latency is judged from above",
        "lag < 100 at end",
        "orders.p99 > 1s during steady",
        ["16:5: orders.p99 is a latency; only < and <= can be judged"],
    ),
    (
        "a misspelt phase of an objective names the near one",
        "lag < 100 at end",
        "orders.p99 < 1s during stedy",
        [
            "16:5: expected one of warmup, steady, fault, recovery, after before 'stedy'; did you mean 'steady'?"
        ],
    ),
    (
        "a misspelt statistic names the near one",
        "lag < 100 at end",
        "orders.erors < 1% during steady",
        [
            "16:5: orders.erors: unknown statistic 'erors'; known: p50, p95, p99, p999 (any quantile), errors, availability, degraded, truncated, goodput, failed, min, max, mean, last, lost, duplicated, corrupted, reordered, stale; did you mean 'errors'?"
        ],
    ),
    (
        "a misspelt first word names the near one",
        "lag < 100 at end",
        "recovry of orders < 3s",
        [
            "16:5: expected one of <, <=, >, >=, == before 'of orders < 3s'; did you mean 'recovery'?"
        ],
    ),
    (
        "a misspelt origin names the near one",
        "lag < 100 at end",
        "recovery < 30s from heel",
        ["16:5: expected one of injection, heal before 'heel'; did you mean 'heal'?"],
    ),
    (
        "only abort knows for",
        "lag < 100 at end",
        "orders.errors < 1% for 5s",
        ["16:5: `for` is for abort conditions; an objective says `during` or `at end`"],
    ),
    (
        "only an SLI can grow",
        "lag < 100 at end",
        "orders does not reach 512MB within 24h",
        ["16:5: there is no SLI 'orders'; known: lag"],
    ),
    (
        "recovery needs to know what well is",
        "lag < 100 at end",
        "recovery of order < 30s",
        [
            "16:5: nothing says when order is well; add an objective on its latency, errors or degraded during steady or after; did you mean 'orders'?"
        ],
    ),
    (
        "recovery of an SLI needs to know when it is well",
        "lag < 100 at end",
        "recovery of lag < 30s",
        [
            "16:5: nothing says when lag is well; add an objective on each of its samples, "
            "such as `lag < 100 during steady`"
        ],
    ),
    (
        "recovery takes time",
        "lag < 100 at end",
        "recovery < 0s",
        ["16:5: the limit of recovery must be longer than 0s"],
    ),
    (
        "an objective stands once, however it is spelt",
        "lag < 100 at end",
        "lag < 100 at end\n  - lag<100  at end",
        ["17:5: 'lag < 100 at end' is there twice; the first is on line 16"],
    ),
    (
        "an objective stands once, whatever its gate",
        "lag < 100 at end",
        "lag < 100 at end\n  - {check: lag < 100 at end, gate: warn}",
        ["17:13: 'lag < 100 at end' is there twice; the first is on line 16"],
    ),
    (
        "a misspelt gate names the near one",
        "lag < 100 at end",
        "{check: lag < 100 at end, gate: wran}",
        ["16:37: objectives[1].gate: unknown value 'wran'; did you mean 'warn'?"],
    ),
    (
        "a gated objective has a check",
        "lag < 100 at end",
        "{gate: warn}",
        ["16:5: missing key 'check' in objectives[1]"],
    ),
    (
        "an objective is text",
        "lag < 100 at end",
        "7",
        ["16:5: objectives[1]: expected an objective such as a.p99 < 1s during steady, found 7"],
    ),
    (
        "an objective is not empty",
        "lag < 100 at end",
        "''",
        ["16:5: objectives[1]: must not be empty"],
    ),
    ("an objective is not left out", "lag < 100 at end", "", ["16:4: objectives[1] has no value"]),
    (
        "an objective is a line, not a page",
        "lag < 100 at end",
        "lag < 99999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999 at end",
        ["16:5: this line is longer than 200 characters"],
    ),
    (
        "lost writes are those of a series",
        "lag < 100 at end",
        "orders.lost == 0",
        ["16:5: there is no series of writes 'orders'; define it under durability"],
    ),
    *(
        (
            f"what is allowed of lost writes has an upper limit: {limit}",
            "  - lag < 100 at end",
            f"  - orders.lost {limit}\n{WRITES}",
            ["16:5: orders.lost is harm; write == 0, or < or <= how much of it is allowed"],
        )
        for limit in ("> 3", ">= 1", "== 2")
    ),
    *(
        (
            f"what is allowed of failures has an upper limit: {limit}",
            "lag < 100 at end",
            f"orders.failed {limit}",
            ["16:5: orders.failed is harm; write == 0, or < or <= how much of it is allowed"],
        )
        for limit in ("> 3", ">= 1", "== 2")
    ),
    (
        "failures are counted once",
        "lag < 100 at end",
        "orders.failed <= 3 at end",
        ["16:5: orders.failed is counted once, after the load; say just orders.failed == 0"],
    ),
    (
        "an SLI has no failures",
        "lag < 100 at end",
        "lag.failed <= 3",
        ["16:5: lag is an SLI; 'failed' is for load, an SLI has none or min, max, mean, last"],
    ),
    (
        "a run is aborted for its errors, not for its failures",
        "abort: [orders.errors > 60% for 20s]",
        "abort: [orders.failed > 3 for 5s]",
        ["18:9: orders.failed is for objectives; abort on orders.errors > 60% for 20s"],
    ),
    (
        "duplicates are counted once",
        "  - lag < 100 at end",
        f"  - orders.duplicated == 0 at end\n{WRITES}",
        [
            "16:5: orders.duplicated is counted once, after the load; say just orders.duplicated == 0"
        ],
    ),
    (
        "what is corrupted is so by its fields",
        "  - lag < 100 at end",
        f"  - orders.corrupted == 0\n{WRITES}",
        ["16:5: orders.corrupted needs durability.orders.fields"],
    ),
    (
        "what is reordered is so within its group",
        "  - lag < 100 at end",
        f"  - orders.reordered == 0\n{WRITES}",
        ["16:5: orders.reordered needs durability.orders.group"],
    ),
    (
        "what is stale is so on a replica",
        "  - lag < 100 at end",
        f"  - orders.stale == 0\n{WRITES}",
        ["16:5: orders.stale needs durability.orders.replicas"],
    ),
    (
        "a loss is known too late to abort a run",
        "abort: [orders.errors > 60% for 20s]",
        f"abort: [orders.lost > 0 for 5s]\n{WRITES}",
        ["18:9: orders.lost is known only after the load: make it an objective"],
    ),
    (
        "a baseline objective of an SLI that there is not",
        "lag < 100 at end",
        "lagg <= baseline +5% during steady",
        ["16:5: there is no SLI 'lagg'; did you mean 'lag'?"],
    ),
    (
        "a goodput above the baseline is no worsening",
        "lag < 100 at end",
        "orders.goodput <= baseline +5% during steady",
        ["16:5: a baseline objective reads `orders.goodput >= baseline -10% during …`"],
    ),
    (
        "an abort condition lasts",
        "orders.errors > 60% for 20s",
        "orders.errors > 60% during steady",
        [
            "18:9: 'orders.errors > 60% during steady' cannot abort a run; write a threshold with `for`, such as orders.errors > 60% for 20s"
        ],
    ),
    (
        "an abort condition is a threshold",
        "orders.errors > 60% for 20s",
        "recovery < 3s",
        [
            "18:9: 'recovery < 3s' cannot abort a run; write a threshold with `for`, such as orders.errors > 60% for 20s"
        ],
    ),
    (
        "an abort condition lasts longer than nothing",
        "orders.errors > 60% for 20s",
        "orders.errors > 60% for 0s",
        ["18:9: `for` must be longer than 0s"],
    ),
    (
        "an abort condition knows its SLI",
        "orders.errors > 60% for 20s",
        "lagg > 60 for 5s",
        ["18:9: there is no SLI 'lagg'; did you mean 'lag'?"],
    ),
    (
        "an abort condition has the right unit",
        "orders.errors > 60% for 20s",
        "orders.errors > 60 for 20s",
        ["18:9: orders.errors is a ratio; its limit needs a percentage from 0% to 100%"],
    ),
    (
        "bystanders are a list",
        "only_affects: [orders]",
        "only_affects: orders",
        ["17:15: only_affects: expected a list, found 'orders'"],
    ),
    (
        "bystanders are text",
        "only_affects: [orders]",
        "only_affects: [1]",
        ["17:16: only_affects[0]: expected text, found 1"],
    ),
    (
        "a misspelt section names the near one",
        "only_affects: [orders]",
        "only_afects: [orders]",
        ["17:1: unknown key 'only_afects'; did you mean 'only_affects'?"],
    ),
    (
        "nothing near: what is known here",
        "driver: local",
        "driver: local, zzz: 1",
        [
            "3:24: unknown key 'zzz'; known here: driver, project, file, context, namespace, cluster, guardian_image, overlay, url, prometheus, profile"
        ],
    ),
    (
        "a profile that is not selected is checked",
        "    load: {arrivals: 20/s}",
        "    load: {arivals: 20/s}",
        ["21:12: unknown key 'arivals'; did you mean 'arrivals'?"],
    ),
    (
        "a profile's own values are checked with the file",
        "    load: {arrivals: 20/s}",
        "    load: {arrivals: 900/s}",
        ["21:22: load.arrivals 900/s is above max_rate 200/s"],
    ),
    (
        "a profile's objectives are checked with the file's SLIs",
        "    load: {arrivals: 20/s}",
        "    objectives: [lagg < 1 at end]",
        ["21:18: there is no SLI 'lagg'; did you mean 'lag'?"],
    ),
    (
        "a profile cannot change the name",
        "    load: {arrivals: 20/s}",
        "    name: other",
        ["21:5: a profile cannot change 'name'"],
    ),
    (
        "a profile is a mapping",
        "    load: {arrivals: 20/s}",
        "    7",
        ["20:3: profiles.ci: expected a mapping of keys, found 7"],
    ),
    (
        "profiles are a mapping",
        "  ci:\n    load: {arrivals: 20/s}",
        "  ci",
        ["19:1: profiles: expected a mapping of names, found 'ci'"],
    ),
    (
        "an unset variable is a problem of its own",
        "100/s",
        "${RATE}",
        ["6:13: the variable RATE is not set; set it, or give a default: ${RATE:-…}"],
    ),
    (
        "an unset variable may bring its message",
        "100/s",
        "${RATE:?say how many}",
        ["6:13: the variable RATE is not set; say how many"],
    ),
    (
        "a variable is closed",
        "100/s",
        "'${RATE'",
        ["6:13: cannot read the variable in '${RATE'; write ${NAME}, or $$ for a $"],
    ),
    (
        "there is no other operator",
        "100/s",
        "${RATE:5}",
        ["6:13: cannot read the variable in '${RATE:5}'; write ${NAME}, or $$ for a $"],
    ),
]
IN_INLINE = [
    (
        "a delay is above 0",
        "latency_ms: 100",
        "latency_ms: 0",
        ["6:74: faults[0].latency_ms: 0 is below 1"],
    ),
    (
        "a delay is in whole milliseconds",
        "latency_ms: 100",
        "latency_ms: 100ms",
        ["6:74: faults[0].latency_ms: expected a whole number, found '100ms'"],
    ),
    (
        "a delay's key has its unit",
        "latency_ms: 100",
        "latency: 100ms",
        [
            "6:5: missing key 'latency_ms' in faults[0]",
            "6:62: unknown key 'latency'; did you mean 'latency_ms'?",
        ],
    ),
    (
        "jitter is below the delay",
        "latency_ms: 100",
        "latency_ms: 100, jitter_ms: 100",
        ["6:5: faults[0]: jitter_ms 100 must be below latency_ms 100"],
    ),
    (
        "a misspelt kind names the near one",
        "kind: latency",
        "kind: latncy",
        ["6:12: unknown fault kind 'latncy'; did you mean 'latency'?"],
    ),
    (
        "a parameter belongs to its kind",
        "kind: latency",
        "kind: timeout",
        ["6:62: unknown key 'latency_ms'; known here: target, hold, toxicity, direction, kind"],
    ),
    (
        "an HTTP error is one",
        "kind: latency, target: gateway->recommender, hold: 20s, latency_ms: 100",
        "kind: http_error, target: gateway->recommender, hold: 20s, status: 200",
        ["6:73: faults[0].status: 200 is below 400"],
    ),
    (
        "a path begins with a slash",
        "kind: latency, target: gateway->recommender, hold: 20s, latency_ms: 100",
        "kind: http_429, target: gateway->recommender, hold: 20s, path: v1",
        ["6:69: faults[0].path: 'v1' does not match ^/[!-~]*$"],
    ),
    (
        "what is looked at is hit",
        "kind: latency, target: gateway->recommender, hold: 20s, latency_ms: 100",
        "kind: http_429, target: gateway->recommender, hold: 20s, path: /v1, look_path: /healthz",
        ["6:5: faults[0]: look_path /healthz must begin with path /v1"],
    ),
    (
        "a stall lasts",
        "kind: latency, target: gateway->recommender, hold: 20s, latency_ms: 100",
        "kind: stall_stream, target: a->b, hold: 20s, after_bytes: 5, stall_ms: 10",
        ["6:5: faults[0]: stall_ms 10 must be 0 (for good) or at least 50"],
    ),
    (
        "a stream breaks off somewhere",
        "kind: latency, target: gateway->recommender, hold: 20s, latency_ms: 100",
        "kind: truncate_stream, target: a->b, hold: 20s",
        ["6:5: missing key 'after_bytes' in faults[0]"],
    ),
    ("a fault has a kind", "kind: latency, ", "", ["6:5: missing key 'kind' in faults[0]"]),
    (
        "a kind is text",
        "kind: latency",
        "kind: 3",
        [f"6:12: unknown fault kind 3; known: {', '.join(FAULT_KINDS)}"],
    ),
    ("a held fault has a hold", "hold: 20s, ", "", ["6:5: missing key 'hold' in faults[0]"]),
    ("a hold lasts", "hold: 20s", "hold: 0s", ["6:57: faults[0].hold: must be longer than 0s"]),
    (
        "a fault has a target",
        "target: gateway->recommender, ",
        "",
        ["6:5: missing key 'target' in faults[0]"],
    ),
    (
        "a fault is a mapping",
        "  - {kind: latency, target: gateway->recommender, hold: 20s, latency_ms: 100}",
        "  - timeout",
        ["6:5: faults[0]: expected a mapping of keys, found 'timeout'"],
    ),
    (
        "a clock is off by more than can be told apart",
        "  - {kind: latency, target: gateway->recommender, hold: 20s, latency_ms: 100}",
        "  - {kind: clock, target: recommender, hold: 20s, offset_s: -9}",
        ["6:5: faults[0]: offset_s -9 must be at least 10, ahead or behind"],
    ),
    (
        "pods are counted in one way",
        "  - {kind: latency, target: gateway->recommender, hold: 20s, latency_ms: 100}",
        "  - {kind: pod_kill, target: app=x, count: 2, percent: 50.0}",
        ["6:5: faults[0]: count and percent both say how many pods; give one of them"],
    ),
    (
        "a share of pods is at most all of them",
        "  - {kind: latency, target: gateway->recommender, hold: 20s, latency_ms: 100}",
        "  - {kind: pod_kill, target: app=x, percent: 101.0}",
        ["6:46: faults[0].percent: 101.0 is above 100.0"],
    ),
    (
        "the first process of a container does not get KILL from inside",
        "  - {kind: latency, target: gateway->recommender, hold: 20s, latency_ms: 100}",
        "  - {kind: container_kill, target: x, signal: KILL}",
        ["6:47: faults[0].signal: unknown value 'KILL'; allowed: TERM, INT, QUIT, HUP, ABRT"],
    ),
    (
        "a Secret's value is not written down",
        "  - {kind: latency, target: gateway->recommender, hold: 20s, latency_ms: 100}",
        "  - {kind: config, target: secret/db, key: password, value: a, restart: gateway, hold: 20s}",
        ["6:5: faults[0]: value of a Secret's key is drawn at random; leave it out"],
    ),
    (
        "a ConfigMap's key gets a value",
        "  - {kind: latency, target: gateway->recommender, hold: 20s, latency_ms: 100}",
        "  - {kind: config, target: configmap/planted, key: limit, restart: gateway, hold: 20s}",
        ["6:5: faults[0]: value is needed for a key of a ConfigMap"],
    ),
    (
        "nobody could tell whether a key was read by pods from before",
        "  - {kind: latency, target: gateway->recommender, hold: 20s, latency_ms: 100}",
        "  - {kind: config, target: configmap/planted, key: limit, value: a, hold: 20s}",
        ["6:5: missing key 'restart' in faults[0]"],
    ),
    (
        "only ConfigMaps and Secrets are configuration",
        "  - {kind: latency, target: gateway->recommender, hold: 20s, latency_ms: 100}",
        "  - {kind: config, target: gateway, key: limit, value: a, restart: gateway, hold: 20s}",
        ["6:5: faults[0]: target gateway must be configmap/NAME or secret/NAME"],
    ),
    (
        "pressure on a node is of one kind",
        "  - {kind: latency, target: gateway->recommender, hold: 20s, latency_ms: 100}",
        "  - {kind: node_pressure, target: gateway, hold: 20s}",
        ["6:5: faults[0]: workers or megabytes, one of the two, says what is used up"],
    ),
    (
        "a drain is held",
        "  - {kind: latency, target: gateway->recommender, hold: 20s, latency_ms: 100}",
        "  - {kind: drain, target: node/worker-1}",
        ["6:5: missing key 'hold' in faults[0]"],
    ),
    (
        "a node stays without power for a time",
        "  - {kind: latency, target: gateway->recommender, hold: 20s, latency_ms: 100}",
        "  - {kind: node_stop, target: node/worker-1}",
        ["6:5: missing key 'hold' in faults[0]"],
    ),
    (
        "without a fault nothing is affected",
        "  - {kind: latency, target: gateway->recommender, hold: 20s, latency_ms: 100}",
        "  []\nonly_affects: [http]",
        ["7:1: only_affects needs a fault, and faults is empty"],
    ),
    (
        "with needs an experiment",
        "  - {kind: latency, target: gateway->recommender, hold: 20s, latency_ms: 100}",
        "  []\nwith: {a: 1}",
        ["7:1: with is only for experiment; faults say it directly"],
    ),
    (
        "only reading requests are built in",
        "GET /items",
        "POST /items",
        [
            "4:15: load.http[0]: 'POST /items' is not a request; write GET /path or HEAD /path, and a locustfile (load.profile) for anything else"
        ],
    ),
    (
        "a request has a method",
        "GET /items",
        "items",
        [
            "4:15: load.http[0]: 'items' is not a request; write GET /path or HEAD /path, and a locustfile (load.profile) for anything else"
        ],
    ),
    ("there is a request", "[GET /items]", "[]", ["4:14: load.http: needs at least one entry"]),
    (
        "built-in requests are called http",
        "http.errors",
        "orders.errors",
        ["9:5: load.http calls its requests 'http', not 'orders'"],
    ),
    (
        "recovery needs time to be seen",
        "metrics: none\nobjectives:",
        "metrics: none\nphases: {recovery: 0s}\nobjectives:\n  - recovery < 3s",
        ["10:5: recovery cannot be seen: phases.recovery is 0s"],
    ),
    (
        "without metrics no alert is seen",
        "http.errors < 2% during steady",
        "alert Down does not fire",
        ["9:5: alerts need Prometheus, but `metrics: none` says that there is none"],
    ),
    (
        "the journey that recovers is well at some time",
        "http.errors < 2% during steady",
        "recovery < 3s",
        [
            "9:5: nothing says when a journey is well; add an objective on latency, errors or degraded during steady or after"
        ],
    ),
]


@pytest.mark.parametrize(
    ("old", "new", "expected"), [row[1:] for row in IN_GOOD], ids=[r[0] for r in IN_GOOD]
)
def test_one_thing_broken(old: str, new: str, expected: list[str]) -> None:
    found = problems(changed(GOOD, old, new))
    assert [p.replace(": error: ", ": ", 1) for p in found] == expected


@pytest.mark.parametrize(
    ("old", "new", "expected"), [row[1:] for row in IN_INLINE], ids=[r[0] for r in IN_INLINE]
)
def test_one_thing_broken_in_an_inline_fault(old: str, new: str, expected: list[str]) -> None:
    found = problems(changed(INLINE, old, new))
    assert [p.replace(": error: ", ": ", 1) for p in found] == expected


NO_FAULT = """\
version: 1
name: pure-load
stack: {driver: local}
load: {http: [GET /items], arrivals: 50/s, timeout: 2s}
faults: []
objectives:
  - http.errors < 2% during steady
"""


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("http.errors < 2% during fault", "`during fault` needs a fault, and faults is empty"),
        (
            "http.errors < 2% during recovery",
            "`during recovery` needs a fault, and faults is empty",
        ),
        ("recovery < 3s", "recovery needs a fault, and faults is empty"),
        (
            "alert X fires within 5s",
            "an alert can be awaited only after a fault, and faults is empty",
        ),
    ],
)
def test_a_pure_load_test_cannot_promise_what_follows_a_fault(line: str, expected: str) -> None:
    assert problems(NO_FAULT) == []
    assert problems(NO_FAULT + f"  - {line}\n") == [f"8:5: error: {expected}"]


def test_all_problems_are_told_at_once_in_the_order_of_the_file() -> None:
    text = changed(GOOD, "version: 1", "version: 2")
    text = changed(text, "timeout: 2s", "timeout: 2")
    text = changed(text, "lag < 100 at end", "lagg < 100 at end")
    text = changed(text, "only_affects", "only_afects")
    assert [p.split(": ")[0] for p in problems(text)] == ["1:10", "7:12", "16:5", "17:1"]
