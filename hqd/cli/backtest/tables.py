"""A backtest as text for people and as one JSON object. Counts and intervals everywhere; never "0 %"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hqd.cli import terminal
from hqd.cli.backtest.run import Laboratory, Trial, labels
from hqd.core.history.admission import Admission, admit
from hqd.core.history.backtest import AMONG, UNMEASURABLE, Backtest, Counts, Figures, Judged, cause
from hqd.core.report.share import Share
from hqd.model.corpus import Label
from hqd.model.names import slug_of

MOST_SHOWN = 20
AUDIT = "needs an audit share (`audit`)"


def limit_of(bench: Laboratory) -> float:
    """The false-positive rate that this HQ allows a lesson."""
    current = bench.seen.current
    return current.settings.lessons.max_false_positive_rate if current is not None else 0.02


def facts_of(trial: Trial, bench: Laboratory, seed: str) -> dict[str, Any]:
    """For --json."""
    spec = trial.tested.spec
    return {
        "gate": {"name": spec.name, "kind": spec.kind, "params": spec.params, "version": trial.version},
        "scope": trial.tested.scope.model_dump(mode="json"),
        "lesson": trial.tested.label or None,
        **_common(trial.found, bench, seed),
        "cost": {"usd": trial.cost},
        "flagged": [_flagged(each, trial) for each in trial.found.flagged],
    }


def facts_of_many(
    name: str, whole: Backtest, trials: Sequence[Trial], bench: Laboratory, skipped: Sequence[str], seed: str
) -> dict[str, Any]:
    """For --json, of a playbook: all its gates as one at the top, each by itself below."""
    rows = [
        {
            "step": trial.tested.label,
            "name": trial.tested.spec.name,
            "kind": trial.tested.spec.kind,
            "version": trial.version,
            **_figures(trial.found.figures),
        }
        for trial in trials
    ]
    return {
        "playbook": name,
        **_common(whole, bench, seed),
        "gates": rows,
        "skipped": list(skipped),
        "flagged": [_flagged(each, None) for each in whole.flagged],
    }


def _common(found: Backtest, bench: Laboratory, seed: str) -> dict[str, Any]:
    corpus = bench.corpus
    verdict = admit(found, max_fpr=limit_of(bench))
    return {
        "tip": corpus.tip,
        "as_of": bench.revision,
        "label_days": corpus.facts.get("days"),
        "seed": seed,
        "among": AMONG,
        **_figures(found.figures),
        "marginal": found.marginal,
        "alarms_per_100": found.alarms,
        "fired_on": dict(found.fired),
        "labels": labels(corpus.cases),
        "audited": found.audited,
        "enforced": found.enforced,
        "agents": {name: _figures(each) for name, each in found.agents.items()},
        "playbooks": {name: _figures(each) for name, each in found.playbooks.items()},
        "warnings": [*silence(found.figures, bench), *found.warnings],
        "admission": {"admitted": verdict.admitted, "tested": verdict.tested, "reasons": list(verdict.reasons)},
        "remarks": [{"code": each.code, "message": each.message, "where": each.where} for each in corpus.remarks],
    }


def _figures(figures: Figures) -> dict[str, Any]:
    return {
        "precision": _rate(figures.precision),
        "recall": _rate(figures.recall),
        "fpr": _rate(figures.fpr),
        "counts": counts_of(figures.counts),
        "left_out": {name: getattr(figures.counts, name) for name in ("evidence", "errors", "elsewhere")},
        "precision_strict": figures.precision.facts(),
        "precision_lenient": figures.lenient.facts(),
        "precision_interval": figures.precision.facts(),
        "recall_interval": figures.recall.facts() if figures.recall is not None else UNMEASURABLE,
        "fpr_interval": figures.fpr.facts() if figures.fpr is not None else UNMEASURABLE,
        "fpr_strict": figures.strict_fpr.facts(),
        "caught": figures.caught.facts(),
        "base_rate": figures.base.facts(),
        "f05": _round(figures.f05),
        "lift": _round(figures.lift),
        "support": figures.counts.support,
    }


def counts_of(counts: Counts) -> dict[str, int]:
    """By name, as --json has them."""
    return {name: getattr(counts, name) for name in ("tp", "fp", "fn", "tn", "other", "gated", "unknown")}


def _rate(share: Share | None) -> float | None:
    return None if share is None else _round(share.rate)


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _flagged(judged: Judged, trial: Trial | None) -> dict[str, Any]:
    case = judged.case
    why = cause(judged, trial.tested.evidence) if trial is not None and case.label is not Label.ACCEPTED else None
    return {
        "task": case.task,
        "step": case.step,
        "attempt": case.attempt,
        "playbook": case.playbook,
        "agent": case.agent,
        "path": case.path,
        "blob": case.blob,
        "commit": case.commit,
        "label": case.label.value,
        "label_source": case.source,
        "reason": case.reason,
        "own_cause": why,
        "cluster": case.cluster,
        "message": judged.message,
        "excerpt": judged.excerpt,
        "caught_by": list(judged.caught),
    }


def show(trial: Trial, bench: Laboratory) -> None:
    """The whole of one gate's backtest."""
    spec = trial.tested.spec
    known = trial.tested.label or spec.name
    terminal.title(f"{known}  ({spec.kind}) on {len(trial.judged)} outputs, {AMONG}")
    terminal.rows((), _rows(trial.found), indent=2)
    _show_groups("agent", trial.found.agents)
    _show_groups("playbook", trial.found.playbooks)
    _show_flagged(trial.found.flagged)
    terminal.say("")
    terminal.say(f"  cost: ${trial.cost:.2f}, {trial.seconds:.1f} s; {trial.ran} verdicts were not known before")
    _show_admission(admit(trial.found, max_fpr=limit_of(bench)))
    _show_end(trial.found, bench)


def show_many(name: str, whole: Backtest, trials: Sequence[Trial], bench: Laboratory, skipped: Sequence[str]) -> None:
    """A playbook's gates, one line each, and all together."""
    terminal.title(f"{name}: {len(trials)} gate{'' if len(trials) == 1 else 's'}, {AMONG}")
    rows = [_line(f"{trial.tested.label}/{trial.tested.spec.name}", trial.found.figures) for trial in trials]
    terminal.rows(_HEADS, [*rows, _line("all together", whole.figures)], indent=2)
    for each in skipped:
        terminal.say(f"  {each}")
    _show_groups("agent", whole.agents)
    _show_flagged(whole.flagged)
    _show_end(whole, bench)


_HEADS = ("GATE", "TP", "FP", "FN", "TN", "OTHER", "PRECISION (STRICT)", "FALSE POSITIVES")


def _line(name: str, figures: Figures) -> list[str]:
    counts = figures.counts
    cells = [str(each) for each in (counts.tp, counts.fp, counts.fn, counts.tn, counts.other)]
    return [name, *cells, str(figures.precision), _or_not(figures.fpr)]


def _rows(found: Backtest) -> list[list[str]]:
    figures, counts = found.figures, found.figures.counts
    alarms = f"{found.alarms:.3g} per 100 decided" if found.alarms is not None else "none decided"
    lift = (
        f"{figures.lift:.2f} times the base rate of {figures.base}" if figures.lift is not None else str(figures.base)
    )
    return [
        ["counts", f"tp {counts.tp}, fp {counts.fp}, fn {counts.fn}, tn {counts.tn}, other {counts.other} (clusters)"],
        ["left out", f"{counts.gated} gated, {counts.unknown} unknown, {counts.evidence} evidence and its siblings, "
         f"{counts.errors} could not be judged (outputs)"],
        ["precision, strict", str(figures.precision)],
        ["precision, lenient", str(figures.lenient)],
        ["false positives", _or_not(figures.fpr)],
        ["recall", _or_not(figures.recall)],
        ["caught of the rejected", f"{figures.caught} {AMONG}"],
        ["F0.5", f"{figures.f05:.3f}" if figures.f05 is not None else "none yet"],
        ["lift", lift],
        ["support", f"{counts.support} clusters in which it fires"],
        ["alarms", alarms],
        ["beyond other gates", f"{found.marginal} of {counts.tp} true positives"],
    ]  # fmt: skip


def _or_not(share: Share | None) -> str:
    return str(share) if share is not None else f"{UNMEASURABLE}: {AUDIT}"


def _show_groups(kind: str, groups: Mapping[str, Figures]) -> None:
    if len(groups) < 2:
        return
    terminal.say("")
    terminal.rows((kind.upper(), *_HEADS[1:]), [_line(name or "-", each) for name, each in groups.items()], indent=2)


def _show_flagged(flagged: Sequence[Judged]) -> None:
    if not flagged:
        return
    terminal.say("")
    rows = [
        [
            each.case.label.value,
            slug_of(each.case.task),
            f"{each.case.step}/{each.case.attempt}",
            each.case.source,
            terminal.cut(each.excerpt or each.message, 80),
        ]
        for each in flagged[:MOST_SHOWN]
    ]
    terminal.rows(("FLAGGED", "TASK", "STEP", "BY", "EXCERPT"), rows, indent=2)
    if len(flagged) > MOST_SHOWN:
        terminal.say(f"  and {len(flagged) - MOST_SHOWN} more: --json lists all")


def _show_admission(verdict: Admission) -> None:
    terminal.say("")
    terminal.say("  may be let in" if verdict.admitted else f"  not to be let in: {'; '.join(verdict.reasons)}")


def silence(figures: Figures, bench: Laboratory) -> list[str]:
    """Why there are no figures, where there are none."""
    counts = figures.counts
    if counts.decided:
        return []
    if not bench.corpus.cases:
        return ["history has no output of an agent yet: there is nothing to test on"]
    if counts.evidence and not counts.gated + counts.unknown + counts.errors:
        return ["all outputs in scope are evidence of the lesson, or siblings of it: none is left to test on"]
    if not counts.gated + counts.unknown + counts.errors:
        return ["no output is in scope: there is nothing to test on"]
    return ["no output in scope has a label: nobody has yet accepted, edited or turned down what could be judged"]


def _show_end(found: Backtest, bench: Laboratory) -> None:
    for each in (*silence(found.figures, bench), *found.warnings):
        terminal.say(f"  note: {each}")
    remarks = bench.corpus.remarks
    for remark in remarks[:5]:
        terminal.say(f"  missing: {remark.message}" + (f" ({remark.where})" if remark.where else ""))
    if len(remarks) > 5:
        terminal.say(f"  and {len(remarks) - 5} more remarks: --json lists all")
