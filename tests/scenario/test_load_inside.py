"""Load from inside the cluster, as a scenario asks for it."""

from __future__ import annotations

import pytest
from goodtext import GOOD, changed, load, problems

from harness.errors import InvalidError
from harness.model import Scenario
from harness.offered import LoadInside, LoadMaster, LoadSpec
from harness.preview import document, preview
from harness.report.preview import text as rendered
from harness.scenario.resolve import resolved
from harness.store import scenario_text

KUBERNETES = changed(GOOD, "{driver: local}", "{driver: kubernetes, context: rig, namespace: shop}")


def inside(section: str, base: str = KUBERNETES) -> str:
    return changed(base, "  timeout: 2s\n", f"  timeout: 2s\n  workers: 3\n  inside: {section}\n")


ASKED = {
    "nothing but defaults": ("{}", LoadInside()),
    "everything": (
        "{image: 'team/load:7', join_timeout: 5m, secret: shop-load, nodes: {pool: load}}",
        LoadInside(
            image="team/load:7",
            join_timeout_s=300.0,
            secret="shop-load",  # noqa: S106 - its name
            nodes={"pool": "load"},
        ),
    ),
    "an image by its digest": (
        "{image: 'load@sha256:0123'}",
        LoadInside(image="load@sha256:0123"),
    ),
}


@pytest.mark.parametrize(("section", "wanted"), ASKED.values(), ids=ASKED.keys())
def test_pods_are_asked_for_with(section: str, wanted: LoadInside) -> None:
    scenario = load(inside(section))
    assert scenario.load.inside == wanted
    assert (scenario.load.workers, scenario.load.shared) == (3, True)
    assert load(scenario_text(resolved(scenario))).load == scenario.load


def test_a_locustfile_and_the_service_that_it_goes_to_are_both_kept() -> None:
    scenario = load(changed(KUBERNETES, "timeout: 2s", "timeout: 2s\n  service: my-api:80"))
    assert load(scenario_text(resolved(scenario))).load.service == "my-api:80"


REFUSED = {
    "the driver has no pods": (
        inside("{}", GOOD),
        "9:3: error: load.inside needs the driver kubernetes; local has no pods",
    ),
    "there is a master too": (
        changed(inside("{}"), "  workers: 3\n", "  workers: 3\n  master: {}\n"),
        "10:3: error: both load.master and load.inside are given; keep one",
    ),
    "writes are to be reconciled": (
        inside("{}") + "durability:\n  o: {writes: a, read: postgres.b, key: c}\n",
        "durability together with load.inside is not available in this version",
    ),
    "the image has a space": (inside("{image: 'a b'}"), "load.inside.image: 'a b' does not match"),
    "the secret is no name": (inside("{secret: A_B}"), "load.inside.secret: 'A_B' does not match"),
    "a label is none": (inside("{nodes: {pool: 'a b'}}"), "load.inside.nodes.pool: 'a b' does not"),
    "no time to join": (inside("{join_timeout: 0s}"), "load.inside.join_timeout: must be longer"),
    "the driver is no name": (
        inside("{}", changed(GOOD, "{driver: local}", "{driver: [local]}")),
        "stack.driver: ",
    ),
    "a slip": (inside("{imgae: x}"), "unknown key 'imgae'; did you mean 'image'?"),
}


@pytest.mark.parametrize(("text", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_it_is_refused_where(text: str, words: str) -> None:
    (problem,) = problems(text)
    assert words in problem


def test_another_driver_runs_the_same_file_without_pods() -> None:
    assert load(inside("{}"), overrides=["stack.driver=local"]).load.inside is None


def test_the_same_driver_named_again_keeps_them() -> None:
    overrides = ["stack.driver=kubernetes"]
    assert load(inside("{}"), overrides=overrides).load.inside == LoadInside()


def test_more_workers_can_be_asked_for() -> None:
    assert load(inside("{}"), overrides=["load.workers=5"]).load.workers == 5


def preview_of(scenario: Scenario) -> str:
    one = preview(
        scenario, steps=(), undone_by={}, rulings=(), stack_id=None, stack=None, writes=()
    )
    return rendered(document([one]))


def test_a_dry_run_says_where_the_load_would_come_from() -> None:
    said = preview_of(load(inside("{}")))
    assert "sent by 3 workers in pods of the stack's namespace" in said


def test_workers_cannot_be_in_two_places() -> None:
    with pytest.raises(InvalidError, match="not both"):
        LoadSpec(
            profile=None,
            http=("GET /",),
            service=None,
            arrivals=None,
            users=4,
            timeout_s=1.0,
            max_in_flight=4,
            master=LoadMaster(),
            inside=LoadInside(),
        )


def test_nobody_is_waited_for_no_time_at_all() -> None:
    with pytest.raises(InvalidError, match="must be above 0"):
        LoadInside(join_timeout_s=0.0)
