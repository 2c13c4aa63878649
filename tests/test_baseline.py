"""A run against the accepted ones: regression, noise, or nothing that can be said."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.baseline import (
    MIN_RUNS,
    Difference,
    Standing,
    against,
    differences,
    drift_p,
    drifts,
    holm,
    judge_baseline,
    outliers,
    standings,
)
from harness.contrast import tail
from harness.evidence import BaselineRun
from harness.model import BaselineThreshold, Check, Gate, Outcome
from harness.scales import Scale
from tests.builders import checks_of, good_evidence, healthy_records, objective, samples, scenario

TEXT = "orders.p99 <= baseline +15% during steady"
STABLE = [0.100, 0.101, 0.099, 0.102, 0.098, 0.100, 0.101, 0.099, 0.100, 0.100]
MANY = STABLE * 10
NOISY = [0.05, 0.2, 0.08, 0.15, 0.1, 0.06, 0.18, 0.1, 0.12, 0.09]

PASS, FAIL, INCONCLUSIVE = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE


def judge(observed: float | None, known: list[float], gate: Gate = Gate.FAIL) -> Check:
    wanted = objective(TEXT, gate)
    assert isinstance(wanted.condition, BaselineThreshold)
    return judge_baseline(wanted, wanted.condition, "steady", observed, known)


CASES: dict[str, tuple[float | None, list[float], Outcome, str, Gate]] = {
    "as ever": (0.1, STABLE, PASS, "", Gate.FAIL),
    "better": (0.05, STABLE, PASS, "", Gate.FAIL),
    "worse, within the margin": (0.114, STABLE, PASS, "", Gate.FAIL),
    "worse than the margin, but a single run": (
        0.13,
        STABLE,
        INCONCLUSIVE,
        "single_run",
        Gate.FAIL,
    ),
    "a single run worse than each of 99 accepted ones": (
        0.13,
        MANY[:99],
        FAIL,
        "regression",
        Gate.FAIL,
    ),
    "a single run worse than each of 98 accepted ones": (
        0.13,
        MANY[:98],
        INCONCLUSIVE,
        "single_run",
        Gate.FAIL,
    ),
    "one of the accepted runs was as bad": (
        0.13,
        [*MANY, 0.13],
        INCONCLUSIVE,
        "single_run",
        Gate.FAIL,
    ),
    "worse than the margin, but so are accepted runs": (
        0.13,
        NOISY,
        INCONCLUSIVE,
        "within_noise",
        Gate.FAIL,
    ),
    "far worse than all that noise": (5.0, NOISY, INCONCLUSIVE, "single_run", Gate.FAIL),
    "accepted runs that never differed": (0.2, [0.1] * 10, INCONCLUSIVE, "single_run", Gate.FAIL),
    "many accepted runs that never differed": (0.2, [0.1] * 99, FAIL, "regression", Gate.FAIL),
    "nine accepted runs only warn, and say nothing": (
        0.5,
        STABLE[:9],
        INCONCLUSIVE,
        "too_few_runs",
        Gate.WARN,
    ),
    "nine accepted runs do not pass either": (
        0.1,
        STABLE[:9],
        INCONCLUSIVE,
        "too_few_runs",
        Gate.WARN,
    ),
    "one accepted run": (0.1, [0.1], INCONCLUSIVE, "too_few_runs", Gate.WARN),
    "no accepted run": (0.1, [], INCONCLUSIVE, "no_baseline", Gate.WARN),
    "nothing observed": (None, STABLE, INCONCLUSIVE, "no_samples", Gate.FAIL),
    "no number observed": (math.nan, STABLE, INCONCLUSIVE, "no_samples", Gate.FAIL),
    "everything infinite": (math.inf, STABLE, INCONCLUSIVE, "no_samples", Gate.FAIL),
    "a baseline of zero cannot be divided by": (
        0.1,
        [0.0] * 10,
        INCONCLUSIVE,
        "not_positive",
        Gate.FAIL,
    ),
    "a run of zero has no logarithm": (0.0, STABLE, INCONCLUSIVE, "not_positive", Gate.FAIL),
    "accepted values that are no numbers are no runs": (
        0.5,
        [*STABLE[:9], math.nan],
        INCONCLUSIVE,
        "too_few_runs",
        Gate.WARN,
    ),
    "accepted values without end do not raise the limit": (
        0.5,
        [*MANY, math.inf, math.inf],
        FAIL,
        "regression",
        Gate.FAIL,
    ),
}


@pytest.mark.parametrize(
    ("observed", "known", "outcome", "code", "gate"), CASES.values(), ids=CASES
)
def test_against_the_baseline(
    observed: float | None, known: list[float], outcome: Outcome, code: str, gate: Gate
) -> None:
    check = judge(observed, known)
    assert (check.outcome, check.code, check.gate) == (outcome, code, gate), check.because


def test_the_objectives_own_gate_is_kept() -> None:
    assert judge(0.13, STABLE, Gate.WARN).gate is Gate.WARN


def test_a_regression_in_full() -> None:
    assert judge(0.13, MANY) == Check(
        objective=TEXT,
        phase="steady",
        outcome=FAIL,
        because="0.13 against 0.1 (median), allowed 0.115; runs like the accepted ones would "
        "hardly ever do that",
        observed=0.13,
        low=0.13,
        high=0.13,
        limit=pytest.approx(0.115),
        samples=100,
        code="regression",
    )


def test_what_a_single_run_shows_in_full() -> None:
    assert judge(0.13, STABLE) == Check(
        objective=TEXT,
        phase="steady",
        outcome=INCONCLUSIVE,
        because="0.13 against 0.1 (median), allowed 0.115; runs like the accepted ones hardly "
        "ever do that, but a single run in a bad moment of the machine does",
        observed=0.13,
        low=0.13,
        high=0.13,
        limit=pytest.approx(0.115),
        samples=10,
        code="single_run",
        remedy="Run it with `--repeat 5`, or old and new in turn with "
        "`harness compare --interleave`.",
    )


def test_a_pass_asks_for_no_more_runs() -> None:
    assert judge(0.1, STABLE).remedy == judge(0.5, STABLE[:9]).remedy == ""
    assert "--repeat 5" in judge(0.13, NOISY).remedy


def hiccups(rng: np.random.Generator, runs: tuple[int, int]) -> np.ndarray:
    """Values of a machine that is much slower than usual in one of twenty runs."""
    slow = rng.random(runs) < 0.05
    return 0.1 * np.exp(rng.normal(0, 0.05, runs) + slow * rng.exponential(0.5, runs))


def judged_last(runs: np.ndarray) -> list[Check]:
    return [judge(float(r[-1]), [float(v) for v in r[:-1]]) for r in runs]


@pytest.mark.parametrize("accepted_runs", [10, 20, 99], ids=lambda n: f"{n} accepted runs")
def test_a_machine_with_hiccups_raises_no_more_false_alarms_than_promised(
    accepted_runs: int,
) -> None:
    found = judged_last(hiccups(np.random.default_rng(13), (1500, accepted_runs + 1)))
    assert np.mean([c.outcome is FAIL for c in found]) <= 0.016  # 1 %, two standard errors
    # By Student's t alone these would have been red, and the promise broken.
    assert np.mean([c.code in ("regression", "single_run") for c in found]) > 0.016


def test_a_fifth_more_is_shown_by_one_run_or_asks_for_more_of_them() -> None:
    rng = np.random.default_rng(17)
    few = 0.1 * np.exp(rng.normal(0, 0.05, (1000, MIN_RUNS + 1)))
    few[:, -1] *= 1.2
    found = judged_last(few)
    assert np.mean([c.code == "single_run" for c in found]) > 0.5
    assert np.mean([c.outcome is not PASS for c in found]) > 0.75
    many = 0.1 * np.exp(rng.normal(0, 0.05, (300, 100)))
    many[:, -1] *= 1.2
    assert np.mean([c.outcome is FAIL for c in judged_last(many)]) > 0.75


@given(
    st.floats(1e-4, 10), st.lists(st.floats(1e-4, 10), min_size=MIN_RUNS, max_size=20), st.randoms()
)
def test_the_order_of_accepted_runs_does_not_matter(
    observed: float,
    known: list[float],
    random: st.random.Random,  # type: ignore[name-defined]
) -> None:
    shuffled = list(known)
    random.shuffle(shuffled)
    assert judge(observed, known).outcome is judge(observed, shuffled).outcome


def accepted(*values: float) -> tuple[BaselineRun, ...]:
    key = ("orders.p99", "steady")
    return tuple(BaselineRun(run_id=f"r{i}", values={key: v}) for i, v in enumerate(values))


def check_of(evidence: object) -> Check:
    (found,) = [c for c in checks_of(evidence) if "baseline" in c.objective]  # type: ignore[arg-type]
    return found


def test_the_p99_of_the_run_is_compared() -> None:
    wanted = scenario([TEXT])
    evidence = good_evidence(scenario=wanted, baselines=accepted(*[0.03] * 10))
    check = check_of(evidence)
    assert (check.outcome, check.observed) == (PASS, pytest.approx(0.03, abs=0.001))


def test_a_run_twice_as_slow_is_a_regression() -> None:
    evidence = good_evidence(scenario=scenario([TEXT]), baselines=accepted(*[0.015] * 10))
    assert check_of(evidence).code == "single_run"


def test_a_run_twice_as_slow_as_a_hundred_is_a_regression() -> None:
    evidence = good_evidence(scenario=scenario([TEXT]), baselines=accepted(*[0.015] * 100))
    check = check_of(evidence)
    assert (check.outcome, check.code) == (FAIL, "regression")


def test_an_accepted_run_without_a_number_does_not_count() -> None:
    known = accepted(*[0.015] * 99, math.inf)
    assert check_of(good_evidence(scenario=scenario([TEXT]), baselines=known)).samples == 99


def test_one_of_several_repeats_only_shows_what_it_sees() -> None:
    found = [
        check_of(
            good_evidence(scenario=scenario([TEXT]), baselines=accepted(*[0.015] * 10), repeats=n)
        )
        for n in (1, 3)
    ]
    assert [(c.code, c.gate) for c in found] == [
        ("single_run", Gate.FAIL),
        ("single_run", Gate.WARN),
    ]
    assert "--repeat" in found[0].remedy
    assert found[1].remedy == ""
    assert found[1].because.endswith("judged with the other repeats, 3 runs in all")


def test_a_late_generators_regression_is_not_believed() -> None:
    found = healthy_records()
    found["sent"] += 0.2
    found["completed"] += 0.2
    evidence = good_evidence(
        scenario=scenario([TEXT]), samples=samples(found), baselines=accepted(*[0.03] * 10)
    )
    check = check_of(evidence)
    assert (check.outcome, check.code) == (INCONCLUSIVE, "load_saturated")


def test_ninety_nine_requests_have_no_p99_to_compare() -> None:
    found = healthy_records()
    kept = np.flatnonzero((found["series"] == 0) & (found["intended"] > found["intended"][2000]))
    evidence = good_evidence(
        scenario=scenario([TEXT]),
        samples=samples(found[kept[:99]]),
        baselines=accepted(*[0.03] * 10),
    )
    assert check_of(evidence).code == "no_samples"


def test_baselines_of_another_objective_do_not_count() -> None:
    other = BaselineRun(run_id="r", values={("browse.p99", "steady"): 0.1})
    evidence = good_evidence(scenario=scenario([TEXT]), baselines=(other,) * 10)
    assert check_of(evidence).code == "no_baseline"


def seen(observed: float | None) -> Check:
    return Check(
        objective="a", phase="steady", outcome=PASS, because="", observed=observed, samples=1
    )


def past(*values: float) -> tuple[BaselineRun, ...]:
    return tuple(BaselineRun(run_id="r", values={("a", "steady"): v}) for v in values)


DIFFERENCES: dict[str, tuple[float | None, tuple[float, ...], tuple[float, float | None] | None]]
DIFFERENCES = {
    "half more than the median": (0.15, (0.1, 0.1, 9.0), (0.1, 0.5)),
    "less": (0.05, (0.1,), (0.1, -0.5)),
    "nothing to divide by": (0.05, (0.0,), (0.0, None)),
    "nothing accepted": (0.05, (), None),
    "nothing observed": (None, (0.1,), None),
}


@pytest.mark.parametrize(("observed", "known", "expected"), DIFFERENCES.values(), ids=DIFFERENCES)
def test_differences(
    observed: float | None, known: tuple[float, ...], expected: tuple[float, float | None] | None
) -> None:
    found = differences([seen(observed)], past(*known))
    if expected is None:
        assert found == ()
        return
    assert found == (
        Difference(
            objective="a",
            phase="steady",
            observed=observed,  # type: ignore[arg-type]
            baseline=expected[0],
            change=None if expected[1] is None else pytest.approx(expected[1]),
            runs=len(known),
        ),
    )


def test_a_check_that_observed_nothing_hides_no_other() -> None:
    found = differences([seen(None), seen(0.2)], past(0.1))
    assert [d.observed for d in found] == [0.2]


#: A plain number such as an SLI's: observed, accepted; the margin of a fifth is of the median.
NUMBERS: dict[str, tuple[float, list[float], Outcome, str]] = {
    "as ever": (3.0, [3.0] * 10, PASS, ""),
    "no more than nothing": (0.0, [0.0] * 10, PASS, ""),
    "more than nothing": (1.0, [0.0] * 10, INCONCLUSIVE, "not_positive"),
    "more than less than nothing": (1.0, [-1.0] * 99, INCONCLUSIVE, "not_positive"),
    "twice as much": (6.0, [3.0] * 99, FAIL, "regression"),
    "at the limit": (6.0, [5.0] * 99, PASS, ""),
}


def number(observed: float, known: list[float]) -> Check:
    wanted = objective("lag <= baseline +20% during steady")
    assert isinstance(wanted.condition, BaselineThreshold)
    asked = wanted.condition
    return judge_baseline(wanted, asked, "steady", observed, known, scale=Scale.LINEAR)


@pytest.mark.parametrize("row", NUMBERS.values(), ids=NUMBERS)
def test_a_plain_number_may_be_nothing(row: tuple[float, list[float], Outcome, str]) -> None:
    observed, known, outcome, code = row
    check = number(observed, known)
    assert (check.outcome, check.code) == (outcome, code), check.because


#: What should be high: a rate of 100/s that scatters by half a per cent, five per cent allowed.
RATES = [100.0, 100.5, 99.5] * 33
FALLING: dict[str, tuple[float, list[float], Outcome, str]] = {
    "as ever": (100.0, RATES, PASS, ""),
    "more": (150.0, RATES, PASS, ""),
    "at the limit": (95.0, RATES, PASS, ""),
    "below each of 99": (90.0, RATES, FAIL, "regression"),
    "below each of ten": (90.0, RATES[:10], INCONCLUSIVE, "single_run"),
}


@pytest.mark.parametrize("row", FALLING.values(), ids=FALLING)
def test_what_should_be_high_has_a_floor(row: tuple[float, list[float], Outcome, str]) -> None:
    observed, known, outcome, code = row
    wanted = objective("orders.goodput >= baseline -5% during steady")
    assert isinstance(wanted.condition, BaselineThreshold)
    check = judge_baseline(wanted, wanted.condition, "steady", observed, known)
    assert (check.outcome, check.code) == (outcome, code), check.because


# -- a family of comparisons


@pytest.mark.parametrize(
    ("p_values", "expected"),
    [
        ([], ()),
        ([0.009], (True,)),
        ([0.011], (False,)),
        ([0.009, 0.5], (False, False)),
        ([0.004, 0.5], (True, False)),
        ([0.009, 0.004], (True, True)),
        ([0.006, 0.006], (False, False)),
        ([None, 0.009], (False, True)),
    ],
    ids=[
        "none",
        "one beyond chance",
        "one that is not",
        "two share the risk",
        "beyond a half of it",
        "the second may use all that is left",
        "the first must be beyond its half",
        "what could not be compared takes no risk",
    ],
)
def test_a_family_shares_its_risk(p_values: list[float | None], expected: tuple[bool, ...]) -> None:
    assert holm(p_values) == expected


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_finds_at_least_what_bonferroni_finds(p_values: list[float]) -> None:
    for p, beyond in zip(p_values, holm(p_values), strict=True):
        assert beyond or p > 0.01 / len(p_values)
        assert not beyond or p <= 0.01


def test_a_family_in_a_run_is_judged_together() -> None:
    """What one comparison alone would call a regression, one of many does not."""
    both = ["orders.p99 <= baseline +1% during steady", "browse.p99 <= baseline +1% during steady"]
    observed = checks_of(good_evidence())[0].observed
    assert observed is not None
    for place in range(200):
        known = [observed * (0.95 - place / 500) * (1 + n / 100) for n in range(10)]
        alone = against(observed, known, scale=Scale.RATIO)
        assert alone is not None
        p = tail(alone.gap, alone.error, alone.degrees)
        if 0.005 < p <= 0.01:
            break
    runs = tuple(
        BaselineRun(
            run_id=f"{n}",
            values={("orders.p99", "steady"): v, ("browse.p99", "steady"): observed * (1 + n / 50)},
        )
        for n, v in enumerate(known)
    )
    one = checks_of(good_evidence(scenario=scenario(both[:1]), baselines=runs))[0]
    two = checks_of(good_evidence(scenario=scenario(both), baselines=runs))[0]
    assert (one.code, two.code) == ("single_run", "within_noise")


FAMILIES: dict[str, tuple[list[tuple[float, list[float]]], list[Standing]]] = {
    "nothing to compare": ([], []),
    "as ever": ([(0.1, MANY)], [Standing.WITHIN]),
    "ten accepted runs prove nothing": ([(0.2, STABLE)], [Standing.BEYOND]),
    "a hundred do, for one value": ([(0.2, MANY)], [Standing.PROVEN]),
    "and not for one of two": (
        [(0.2, MANY), (0.1, MANY)],
        [Standing.BEYOND, Standing.WITHIN],
    ),
    "two hundred do": (
        [(0.2, MANY * 2), (0.1, MANY * 2)],
        [Standing.PROVEN, Standing.WITHIN],
    ),
    "what cannot be compared takes no part": (
        [(0.2, MANY), (0.0, MANY)],
        [Standing.PROVEN, Standing.WITHIN],
    ),
}


@pytest.mark.parametrize(("values", "expected"), FAMILIES.values(), ids=FAMILIES)
def test_where_the_values_of_a_family_stand(
    values: list[tuple[float, list[float]]], expected: list[Standing]
) -> None:
    family = [against(observed, known, scale=Scale.RATIO) for observed, known in values]
    assert list(standings(family)) == expected


def test_what_should_be_high_is_worse_when_it_falls() -> None:
    rising, falling = (against(0.2, STABLE, scale=Scale.RATIO, falling=f) for f in (False, True))
    assert rising is not None
    assert falling is not None
    assert rising.gap == pytest.approx(math.log(2), abs=0.01)
    assert falling.gap == pytest.approx(-rising.gap)


NOT_ON_THE_SCALE: dict[str, tuple[float, list[float], Scale, bool]] = {
    "a ratio of nothing": (0.0, STABLE, Scale.RATIO, False),
    "a ratio to nothing": (0.1, [0.0, 0.1], Scale.RATIO, False),
    "one accepted run has no noise": (0.1, [0.1], Scale.RATIO, False),
    "a number below 0 as it is": (-1.0, [0.0, 2.0], Scale.LINEAR, True),
    "a share that two scrapes put beyond all": (1.02, [0.9, 0.95], Scale.POINTS, True),
    "a share that two scrapes put below nothing": (0.1, [-0.01, 0.05], Scale.POINTS, True),
}


@pytest.mark.parametrize("row", NOT_ON_THE_SCALE.values(), ids=NOT_ON_THE_SCALE)
def test_what_can_be_held_against_each_other(row: tuple[float, list[float], Scale, bool]) -> None:
    observed, known, scale, comparable = row
    assert (against(observed, known, scale=scale) is not None) is comparable


def errors(observed: float, known: list[float]) -> Check:
    wanted = objective("orders.errors <= baseline +1% during steady")
    assert isinstance(wanted.condition, BaselineThreshold)
    return judge_baseline(wanted, wanted.condition, "steady", observed, known)


SHARE_CASES: dict[str, tuple[float, list[float], str]] = {
    "never an error, as ever": (0.0, [0.0] * 10, ""),
    "half a point more is within a margin of one": (0.005, [0.0] * 10, ""),
    "errors where there never were any": (0.02, [0.0] * 10, "single_run"),
    "errors where a hundred runs had none": (0.02, [0.0] * 100, "regression"),
    "more than ever": (0.06, [0.01, 0.012, 0.009, 0.011, 0.01] * 2, "single_run"),
    "accepted runs do that too": (0.06, [0.0, 0.09, 0.01, 0.05, 0.002] * 2, "within_noise"),
}


@pytest.mark.parametrize("row", SHARE_CASES.values(), ids=SHARE_CASES.keys())
def test_the_margin_of_a_share_is_in_points(row: tuple[float, list[float], str]) -> None:
    observed, known, code = row
    assert errors(observed, known).code == code


def test_errors_are_compared_in_a_run() -> None:
    wanted = scenario(["orders.errors <= baseline +1% during steady"])
    runs = tuple(
        BaselineRun(run_id=f"{n}", values={("orders.errors", "steady"): 0.0}) for n in range(10)
    )
    (check, *_) = checks_of(good_evidence(scenario=wanted, baselines=runs))
    assert (check.outcome, check.observed) == (PASS, 0.0)


# -- the accepted runs themselves


def test_a_run_unlike_the_others_is_listed() -> None:
    assert outliers([*STABLE, 0.2]) == (10,)
    assert outliers(STABLE) == ()
    assert outliers([1.0, 9.0]) == ()
    assert outliers([1.0, 1.1, 9.0]) == (2,)
    assert outliers([0.0] * 9 + [5.0]) == ()  # without any spread nothing can be said


RISING = [float(n) for n in range(1, 11)]
#: Values with Kendall's S and its variance, n(n-1)(2n+5)/18 less what ties take, by hand.
DRIFTS: dict[str, tuple[list[float], int, float]] = {
    "ten that rise": (RISING, 45, 125.0),
    "ten that fall": (RISING[::-1], -45, 125.0),
    "twelve that rise": ([*RISING, 11.0, 12.0], 66, 12 * 11 * 29 / 18),
    "two of them are alike": ([1.0, *RISING[:9]], 44, (2250 - 2 * 9) / 18),
    "three of them are alike": ([1.0, 1.0, *RISING[:8]], 42, (2250 - 3 * 2 * 11) / 18),
    "two pairs are alike": ([1.0, *RISING[:8], 8.0], 43, (2250 - 2 * 2 * 9) / 18),
    "one pair more up than down": ([7, 6, 5, 4, 3, 2, 1, 9, 8, 10], 1, 125.0),
    "three pairs more up than down": ([7, 6, 5, 4, 3, 2, 1, 8, 9, 10], 3, 125.0),
}


@pytest.mark.parametrize("row", DRIFTS.values(), ids=DRIFTS)
def test_how_likely_runs_that_do_not_drift_go_one_way(
    row: tuple[list[float], int, float],
) -> None:
    values, s, variance = row
    z = (abs(s) - 1) / math.sqrt(variance)
    assert drift_p(values) == pytest.approx(2 * NormalDist().cdf(-z))


def test_nine_runs_are_too_few_to_drift() -> None:
    assert drift_p(RISING[:9]) == 1.0


def test_a_baseline_that_goes_one_way_drifts() -> None:
    assert drifts([0.1 * 1.02**n for n in range(12)])
    assert drifts([0.1 / 1.02**n for n in range(12)])
    assert not drifts(STABLE)
    assert not drifts([0.1] * 20)
    assert not drifts([0.1, 0.2, 0.3])
