"""What the Prometheus of the local stack scrapes, evaluates and tells. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path

from harness.stacks.plan import HOST
from harness.stacks.reference.table import PYTHON, Service

FILE = "prometheus.yml"
RULE_FILES = ("alerts.yml", "slo.yml", "slo-scaled.yml")
KAFKA_RULES = ("kafka.yml",)


def rule_files(services: Iterable[Service]) -> tuple[str, ...]:
    """The files of ``stack/prometheus`` whose rules these services can feed."""
    kinds = {service.kind for service in services}
    return (*RULE_FILES, *(KAFKA_RULES if "kafka" in kinds else ()))


def config(services: Iterable[Service], ports: Mapping[str, int], rules: Iterable[Path]) -> str:
    """The configuration; JSON, which is YAML too. Services of one group are one job."""

    def at(name: str) -> str:
        return f"{HOST}:{ports[name]}"

    scraped = [s for s in services if s.kind in (PYTHON, "prometheus")]
    jobs = {
        group: [at(s.name) for s in members]
        for group, members in groupby(scraped, key=lambda s: s.caller)
    }
    document = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(path) for path in rules],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [at("alertmanager")]}]}]},
        "scrape_configs": [
            {"job_name": group, "static_configs": [{"targets": targets}]}
            for group, targets in jobs.items()
        ],
    }
    return json.dumps(document, indent=2) + "\n"
