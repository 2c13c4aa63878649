"""Which cluster a context may lead to: by the names of the kubeconfig, and by its uid."""

from __future__ import annotations

import pytest

from harness.cluster_guards import ClusterEntry, entry_rulings, refuse_entry, refuse_uid
from harness.errors import InvalidError
from harness.guards import Guards

ARN = "arn:aws:eks:eu-west-1:1:cluster/shop-prod"
HARMLESS = ClusterEntry(context="staging", name="shop-test", server="https://api.test.example")
BY_NAME = ClusterEntry(context="staging", name=ARN, server="https://api.test.example")
BY_HOST = ClusterEntry(context="staging", name="c-1", server="https://API.prod.example:6443/k8s")
BY_BOTH = ClusterEntry(context="staging", name=ARN, server="https://api.prod.example")

ALLOWED: dict[str, tuple[Guards, ClusterEntry]] = {
    "names that say nothing": (Guards(contexts=("staging",)), HARMLESS),
    "an address": (
        Guards(contexts=("staging",)),
        ClusterEntry(context="staging", name="c", server="https://10.0.0.1:6443"),
    ),
    "the full name of the entry": (Guards(contexts=("staging", ARN.upper())), BY_NAME),
    "the full name of the host": (Guards(hosts=("api.prod.example",)), BY_HOST),
    "both in full": (Guards(contexts=(ARN,), hosts=("api.prod.example",)), BY_BOTH),
    "a context and an entry of one name": (
        Guards(contexts=("kind-prod",)),
        ClusterEntry(context="kind-prod", name="kind-prod", server="https://127.0.0.1:1"),
    ),
}


@pytest.mark.parametrize(("guards", "entry"), ALLOWED.values(), ids=ALLOWED)
def test_a_cluster_that_may_be_touched(guards: Guards, entry: ClusterEntry) -> None:
    refuse_entry(guards, entry)


NAMED = f"the cluster entry '{ARN}' looks like production"
HOSTED = "the API server's host 'api.prod.example' looks like production"
REFUSED: dict[str, tuple[Guards, ClusterEntry, tuple[str, ...]]] = {
    "the entry, where only the context is allowed": (
        Guards(contexts=("staging",)),
        BY_NAME,
        (NAMED, "only its full name allows it", f"'{ARN}' among `contexts`", "harness.toml"),
    ),
    "the entry, by a pattern": (Guards(contexts=("arn:*",)), BY_NAME, (NAMED,)),
    "the host, where only the context is allowed": (
        Guards(contexts=("staging",)),
        BY_HOST,
        (HOSTED, "'api.prod.example' among `hosts`"),
    ),
    "the host, by a pattern": (Guards(hosts=("*.example",)), BY_HOST, (HOSTED,)),
    "both": (
        Guards(),
        BY_BOTH,
        (NAMED, HOSTED, f"'{ARN}' among `contexts` and 'api.prod.example' among `hosts`"),
    ),
    "the host, where the entry is allowed": (Guards(contexts=(ARN,)), BY_BOTH, (HOSTED,)),
    "a host that nobody can tell": (
        Guards(),
        ClusterEntry(context="staging", name="c", server="https://${HOST}"),
        ("the API server's host cannot be told from the kubeconfig. Correct the kubeconfig.",),
    ),
}


@pytest.mark.parametrize(("guards", "entry", "words"), REFUSED.values(), ids=REFUSED)
def test_a_cluster_that_looks_like_production_is_refused(
    guards: Guards, entry: ClusterEntry, words: tuple[str, ...]
) -> None:
    with pytest.raises(InvalidError) as caught:
        refuse_entry(guards, entry)
    said = str(caught.value)
    assert "the cluster of the context 'staging'" in said
    for word in words:
        assert word in said


def test_only_what_looks_like_production_is_named() -> None:
    with pytest.raises(InvalidError) as caught:
        refuse_entry(Guards(), BY_HOST)
    assert "c-1" not in str(caught.value)


def test_a_refusal_never_repeats_the_credentials_of_a_url() -> None:
    entry = ClusterEntry(context="a", name="c", server="https://me:hunter22@api.prod.example/")
    with pytest.raises(InvalidError) as caught:
        refuse_entry(Guards(), entry)
    assert "hunter22" not in str(caught.value)


def test_what_lets_it_pass_is_told() -> None:
    told = entry_rulings(Guards(contexts=("staging",), hosts=("a.example",)), HARMLESS)
    assert [(r.guard, r.allows, r.asked, r.against) for r in told] == [
        ("contexts", "what does not look like production, staging", "cluster entry shop-test", ""),
        (
            "hosts",
            "what does not look like production, a.example",
            "API server's host api.test.example",
            "",
        ),
    ]


UIDS: dict[str, tuple[tuple[str, ...] | None, str]] = {
    "nobody says which": (None, ""),
    "it is one of them": (("u-1", "u-2"), ""),
    "it is none of them": (("u-1",), "leads to the cluster u-2, which is not allowed (allowed:"),
    "there is none": ((), "which is not allowed (allowed: none)"),
}


@pytest.mark.parametrize(("clusters", "words"), UIDS.values(), ids=UIDS)
def test_the_uid_of_a_cluster(clusters: tuple[str, ...] | None, words: str) -> None:
    guards = Guards(clusters=clusters)
    if not words:
        refuse_uid(guards, "staging", "u-2")
        return
    with pytest.raises(InvalidError) as caught:
        refuse_uid(guards, "staging", "u-2")
    assert words in str(caught.value)
    assert "`clusters`" in str(caught.value)
