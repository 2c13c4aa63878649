"""Objectives on acknowledged writes: lost, duplicated, corrupted, reordered, stale. Pure.

What is found wrong is a FAIL whatever else happened to the run; that nothing is wrong needs a
whole ledger, a store that was read, and a store that had come to rest.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.durability.ledger import Ledger
from harness.durability.reconciliation import Found, Reconciliation, reconcile, rpo_s
from harness.durability.series import WriteSeries
from harness.evidence import Evidence
from harness.judge import counted, unmet
from harness.model import Check, Objective, Threshold


@dataclass(frozen=True, slots=True)
class _Harm:
    """What one statistic counts, and the reason code when it is too much."""

    code: str
    words: str


_HARMS = {
    "lost": _Harm(code="writes_lost", words="are missing"),
    "duplicated": _Harm(code="writes_duplicated", words="are there more than once"),
    "corrupted": _Harm(code="writes_corrupted", words="differ from what was sent"),
    "reordered": _Harm(code="writes_reordered", words="stand before an earlier one of their group"),
    "stale": _Harm(code="reads_stale", words="are kept, and stale where they are read"),
}
#: What may still come right when the store is not at rest yet.
_MAY_COME = ("lost", "stale")


@dataclass(frozen=True, slots=True)
class _Doubt:
    """Why a count cannot be believed."""

    code: str
    why: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One series of writes of a run: what was counted, or why nothing could be.

    ``replica_problem`` is why nothing could be of the replicas.
    """

    series: WriteSeries
    counts: Reconciliation | None
    problem: str
    replica_problem: str
    settled: bool
    ledger_damage: str
    rpo: tuple[float, float] | None


def account_of(evidence: Evidence, series: WriteSeries) -> Account:
    """Reconcile one series of the run."""
    ledger, found = evidence.ledger, evidence.found.get(series.name)
    counts, problem = None, ""
    if ledger is None:
        problem = "the load left no ledger of its writes"
    elif found is None:
        problem = "it was not read back"
    elif found.problem:
        problem = found.problem
    else:
        mine = (a for a in ledger.attempts if a.series == series.name)
        counts = reconcile(mine, found.copies, (r.copies for r in found.replicas))
    return Account(
        series=series,
        counts=counts,
        problem=problem,
        replica_problem=_unread(series, found),
        settled=found is None or found.settled,
        ledger_damage=_damage(ledger, evidence),
        rpo=None if counts is None else rpo_s(counts, evidence.faults),
    )


def _unread(series: WriteSeries, found: Found | None) -> str:
    """Why not every replica was read; empty if each was."""
    reads = () if found is None else found.replicas
    problems = [f"{read.name}: {read.problem}" for read in reads if read.problem]
    if problems:
        return problems[0]
    return "" if len(reads) == len(series.replicas) else "a replica was not read"


def durability_check(objective: Objective, condition: Threshold, evidence: Evidence) -> Check:
    """One count of one series against its limit."""
    series = next((s for s in evidence.scenario.durability if s.name == condition.subject), None)
    if series is None:
        because = f"{condition.subject} is no series of writes"
        return unmet(objective, "", "not_judged", because, "Define it under `durability:`.")
    if condition.stat == "corrupted" and not series.fields:
        because = f"nothing says which fields of {series.name} must be kept"
        return unmet(objective, "", "not_judged", because, "List them: `fields: [item]`.")
    if condition.stat == "reordered" and not series.group:
        because = f"nothing says within what the order of {series.name} must be kept"
        return unmet(objective, "", "not_judged", because, "Name it: `group: customer_id`.")
    if condition.stat == "stale" and not series.replicas:
        because = f"nothing says where else {series.name} are read"
        return unmet(objective, "", "not_judged", because, "List it: `replicas: [postgresql://…]`.")
    account = account_of(evidence, series)
    if condition.stat == "stale" and account.replica_problem:
        remedy = f"See that the harness can read the replicas of {series.read} after the run."
        return unmet(objective, "", "durability_not_read", account.replica_problem, remedy)
    if account.counts is None:
        because = f"{series.read}: {account.problem}"
        remedy = f"See that the harness can read {series.read} after the run."
        return unmet(objective, "", "durability_not_read", because, remedy)
    return _counted(objective, condition, account, account.counts)


def _counted(
    objective: Objective, condition: Threshold, account: Account, counts: Reconciliation
) -> Check:
    count = int(getattr(counts, condition.stat))
    fails = not condition.op.holds(count, condition.limit.value)
    doubt = _doubt(condition, account, counts, violated=fails)
    because = sentence(account, condition.stat, counts)
    if doubt is not None:
        because += f"; but {doubt.why}"
        return unmet(objective, "", doubt.code, because, doubt.remedy)
    harm = _HARMS[condition.stat].code
    return counted(objective, condition, count, because, of=counts.acknowledged, code=harm)


def _doubt(
    condition: Threshold, account: Account, counts: Reconciliation, *, violated: bool
) -> _Doubt | None:
    """What keeps the count from being believed; None when nothing does.

    What is there twice, or wrong, stays so: only what is missing may still come.
    """
    if not account.settled and (condition.stat in _MAY_COME or not violated):
        return _Doubt(
            code="not_settled",
            why="the store was still changing when the time for it was over",
            remedy="See that its writers come to an end, or give `settle` longer.",
        )
    if violated:
        return None
    if account.ledger_damage:
        remedy = "Look at load.log and at the disk."
        return _Doubt(code="ledger_damaged", why=account.ledger_damage, remedy=remedy)
    if counts.without_key:
        return _Doubt(
            code="writes_without_key",
            why=f"{counts.without_key:,} acknowledged writes have no {account.series.key}",
            remedy="Correct `key`: a field of the request or of the answer.",
        )
    if counts.acknowledged == 0:
        return _Doubt(
            code="no_acknowledged_writes",
            why="so nothing is shown",
            remedy=f"Does the load send {account.series.writes}, and is the answer a 2xx?",
        )
    return None


def sentence(account: Account, stat: str, counts: Reconciliation) -> str:
    """A count in words, with what was neither acknowledged nor refused."""
    total = counts.acknowledged
    if stat not in _MAY_COME:
        total += counts.unknown + counts.refused
    kind = "acknowledged writes" if stat in _MAY_COME else "writes"
    text = f"{getattr(counts, stat):,} of {total:,} {kind} {_HARMS[stat].words}"
    if stat == "lost" and counts.lost:
        text += f" ({_some(counts.lost_keys, counts.lost)})"
        if account.rpo is not None:
            text += f"; RPO {account.rpo[0]:.1f} to {account.rpo[1]:.1f} s"
    if stat == "duplicated" and counts.duplicated:
        text += f" ({_some(counts.duplicated_keys, counts.duplicated)})"
        text += f", {counts.extra_copies:,} copies too many"
    if stat == "stale" and counts.stale:
        text += f" ({_some(counts.stale_keys, counts.stale)})"
    if counts.unknown:
        text += f"; {counts.unknown:,} of unknown outcome, {counts.unknown_present:,} of them there"
    if counts.refused_present:
        text += f"; {counts.refused_present:,} that were refused are there all the same"
    return text


def _some(keys: tuple[str, ...], count: int) -> str:
    shown = ", ".join(keys[:3])
    return f"{shown}, …" if count > len(keys[:3]) else shown


def _damage(ledger: Ledger | None, evidence: Evidence) -> str:
    """What is wrong with the ledger beyond what a killed load process leaves; empty if nothing."""
    if ledger is None:
        return ""
    if ledger.damaged:
        return f"{ledger.damaged:,} lines of the ledger of writes cannot be read"
    killed = evidence.samples is None or not evidence.samples.intact
    if (ledger.open_ended or ledger.torn) and not killed:
        return "the ledger of writes has no end, although the load lived to its own"
    return ""
