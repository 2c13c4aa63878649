"""Why the verdict is what it is, in one sentence that a manager understands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.report.words import clean, outcome_kind, phase_name, value

Result = Mapping[str, Any]
NOT_RESTORED = "not_restored"
REPAIR = "run `harness recover`"


def headline(result: Result) -> str:
    """One sentence: the verdict's name, then the reason for it."""
    sentence = f"{result['verdict']['name']}: {_why(result)}"
    caveats = []
    if result["scenario"]["client_side_only"]:
        caveats.append("client side only")
    if result["load"] is not None and result["load"]["loop"] == "closed":
        caveats.append("closed loop: a slow target lowered the load")
    return f"{sentence} ({'; '.join(caveats)})." if caveats else f"{sentence}."


def _why(result: Result) -> str:
    match result["verdict"]["name"]:
        case "PASS":
            return _passed(result)
        case "FAIL":
            return _failed(result)
        case "DIRTY":
            return f"{_left(result)}; {REPAIR} before anything else"
        case "ERROR":
            return f"{_first(result, 'error')}; the target is proven clean"
        case "ABORTED":
            return f"{_first(result, 'aborted')}; every fault is proven undone"
    return _undecided(result)


def _passed(result: Result) -> str:
    waived = [c["waiver"] for c in result["checks"] if c["waiver"] is not None]
    gated = [c for c in result["checks"] if c["gate"] == "fail" and c["waiver"] is None]
    words = f"all {len(gated)} checks held" if len(gated) != 1 else "the only check held"
    warned = [c for c in result["checks"] if c["gate"] == "warn" and c["outcome"] != "pass"]
    if warned:
        words += f", with {len(warned)} {'warning' if len(warned) == 1 else 'warnings'}"
    if waived:
        owners = ", ".join(dict.fromkeys(clean(w["owner"]) for w in waived))
        soonest = clean(min(w["expires"] for w in waived))
        words += f"; {len(waived)} waived until {soonest} by {owners}"
    recovered = [recovery_words(r) for r in result["recovery"]]
    return "; ".join([words, *recovered[:2]])


def _failed(result: Result) -> str:
    loose = [r for r in loose_reasons(result) if r["code"] == "abort_condition"]
    failed = [c for c in result["checks"] if outcome_kind(c) == "fail"]
    words = [clean(r["message"]) for r in loose] + [_told(c) for c in failed]
    if not words:
        return _first(result, "")
    rest = len(words) - 1
    more = "" if rest == 0 else f"; and {rest} more {'check' if rest == 1 else 'checks'} failed"
    return _without_stop(words[0]) + more


def _undecided(result: Result) -> str:
    reasons: Sequence[Mapping[str, str]] = result["verdict"]["reasons"]
    if not reasons:
        return "nothing was judged"
    first = next((r for r in reasons if r["remedy"]), reasons[0])
    words = _without_stop(clean(first["message"]))
    if first["remedy"]:
        remedy = _without_stop(clean(first["remedy"]))
        words += f"; what would decide it: {remedy[:1].lower()}{remedy[1:]}"
    rest = len(reasons) - 1
    return words + (f"; and {rest} more {'gap' if rest == 1 else 'gaps'}" if rest else "")


def _first(result: Result, code: str) -> str:
    reasons = result["verdict"]["reasons"]
    found = next((r for r in reasons if r["code"] == code), reasons[0] if reasons else None)
    return "no reason was recorded" if found is None else _without_stop(clean(found["message"]))


def _left(result: Result) -> str:
    left = [f for f in result["faults"] if f["heal_proven_at"] is None]
    if not left:
        return "the target was not read back as clean, so a fault may still be active"
    first = f"{clean(left[0]['kind'])} on {clean(left[0]['target'])}"
    more = f" and {len(left) - 1} more" if len(left) > 1 else ""
    return f"{first}{more} has no proven heal and may still be active"


def _told(check: Mapping[str, Any]) -> str:
    return f"{named(check)}: {_without_stop(clean(check['because']))}"


def named(check: Mapping[str, Any]) -> str:
    """The objective with the one phase that was judged instead of its list of phases."""
    objective, listed, _ = clean(check["objective"]).partition(" during ")
    return f"{objective} during {clean(check['phase'])}" if listed else objective


def short_objective(check: Mapping[str, Any]) -> str:
    """The objective without its list of phases, for use beside a column that has the phase."""
    objective = clean(check["objective"])
    return objective.partition(" during ")[0] if check["phase"] else objective


def loose_reasons(result: Result) -> tuple[Mapping[str, str], ...]:
    """Reasons that belong to no check, and a made one when restoration is not proven.

    A reason that cannot be matched counts as loose: shown twice is better than not at all.
    """
    told = {_sentence(c) for c in result["checks"] if c["gate"] == "fail" and not c["waiver"]}
    verdict = result["verdict"]
    loose = [r for r in verdict["reasons"] if r["message"] not in told]
    if verdict["restoration"] != "clean" and not any(r["code"] == NOT_RESTORED for r in loose):
        message = _left(result)
        loose.insert(0, {"code": NOT_RESTORED, "message": message, "remedy": _REPAIR})
    return tuple(loose)


_REPAIR = "Run `harness recover`, then look at `harness faults`."


def _sentence(check: Mapping[str, Any]) -> str:
    """How the verdict words the reason that a check gives."""
    where = f" ({check['phase']})" if check["phase"] else ""
    return f"{check['objective']}{where}: {check['because']}"


def recovery_words(recovery: Mapping[str, Any]) -> str:
    """When a subject was well again, as half a sentence."""
    name, origin = clean(recovery["sli"]), clean(recovery["from"])
    subject = "everything" if name == "all" else name
    span = f"{_plain(recovery['low'])} to {_plain(recovery['high'])} s after the {origin}"
    match recovery["state"]:
        case "recovered":
            return f"{subject} was well again {span}"
        case "not_degraded":
            return f"{subject} was never out of bounds"
        case "mitigated":
            return f"{subject} was well again before the {origin} was called for"
        case "relapsed":
            relapse = f"{subject} was well again {span}, but went out of bounds once more"
            settled = recovery.get("settled")
            if not settled:
                return relapse
            low, high = _plain(settled["low"]), _plain(settled["high"])
            return f"{relapse}, and was well for good {low} to {high} s after it"
    watched = value(recovery["low"], "s")
    return f"{subject} was still not well {watched} after the {origin}, when watching ended"


def _plain(seconds: float | None) -> str:
    return "?" if seconds is None else f"{seconds:.1f}"


def where(check: Mapping[str, Any]) -> str:
    """The phase of a check as people call it."""
    return phase_name(check["phase"]) if check["phase"] else "run"


def _without_stop(text: str) -> str:
    return text.rstrip(". ")
