"""`hqd context stats [PLAYBOOK[/STEP]]`: what sources were sent and cost, how first tries went, and experiments."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hqd.adapters.agents.prices import price_of, table
from hqd.cli import terminal
from hqd.cli.board.reading import View, view
from hqd.cli.call import Call
from hqd.cli.history.past import archive_of, remarks_of
from hqd.core.context.calibration import OBSERVED, Observed, Sent, observe
from hqd.core.context.experiment import Comparison, Group, Result, key, result
from hqd.core.context.past import PriceOf, manifest_of, sent, units
from hqd.errors import EXIT_OK, Usage
from hqd.model.corpus import Attempt, Past
from hqd.model.playbook import Experiment, Playbook
from hqd.ports import Tree

MOST_SHOWN = 30
"""Sources of one step that a terminal is shown."""


def stats(call: Call, place: str | None, *, as_json: bool) -> int:
    """Prints, per playbook and step, every source with its figures; and each experiment as it stands."""
    with view(call) as seen:
        told = facts(seen, place)
    if as_json:
        terminal.data(told)
    else:
        _print(told)
    return EXIT_OK


def facts(seen: View, place: str | None) -> dict[str, Any]:
    """As --json has it. Raises Usage for a playbook or step that nobody has."""
    archive = archive_of(seen)
    with terminal.spinner("reading history"):
        past = archive.past(seen.tree.commit)
        manifests = dict(read_manifests(past.attempts(), seen.tree, archive.texts))
    attempts = list(sent(past, manifests, _prices(seen)))
    wanted = _wanted(place, attempts, seen)
    observed = {at: found for at, found in observe(attempts).items() if _within(at, wanted)}
    return {
        "kind": OBSERVED,
        "attempts": sum(_within((each.playbook, each.step), wanted) for each in attempts),
        "without_manifest": sum(manifest_of(each) not in manifests for each in past.attempts() if manifest_of(each)),
        "steps": [
            {"playbook": playbook, "step": step, "sources": [_source(each) for each in found]}
            for (playbook, step), found in observed.items()
        ],
        "experiments": [_experiment(each, attempts, past) for each in _experiments(seen, wanted)],
        "remarks": list(remarks_of(past)),
    }


def read_manifests(attempts: Iterable[Attempt], tree: Tree, texts: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(path, manifest) of past attempts; those that are gone or cannot be read are left out."""
    paths: dict[str, list[str]] = {}
    for each in attempts:
        path = manifest_of(each)
        entry = tree.entry(path) if path is not None else None
        if path is not None and entry is not None:
            paths.setdefault(entry.id, []).append(path)
    for blob, data in texts(list(paths)):
        try:
            manifest = json.loads(data or b"null")
        except ValueError:
            continue
        if isinstance(manifest, dict):
            yield from ((path, manifest) for path in paths[blob])


def _prices(seen: View) -> PriceOf:
    """At the uncached price of input: what a source costs where no cache hits."""
    settings = seen.current.settings if seen.current is not None else None
    prices = {**table(), **(settings.prices if settings is not None else {})}

    def price(agent: str | None, model: str | None) -> float | None:
        known = settings.agents.get(agent or "") if settings is not None else None
        found = price_of(model or known.model, known, prices) if known is not None else None
        return found.input / 1e6 if found is not None else None

    return price


def _wanted(place: str | None, attempts: Iterable[Sent], seen: View) -> tuple[str, str | None] | None:
    if place is None:
        return None
    playbook, _, step = place.partition("/")
    known = {(each.playbook, each.step) for each in attempts}
    books = {name for name, _step in known} | set(seen.current.playbooks if seen.current is not None else ())
    if playbook not in books:
        raise Usage(f"there is no playbook {playbook!r}", remedy="there are: " + (", ".join(sorted(books)) or "none"))
    steps = sorted(name for book, name in known if book == playbook)
    if step and step not in steps:
        raise Usage(f"{playbook} has no attempts at a step {step!r}", remedy=f"steps: {', '.join(steps) or 'none yet'}")
    return playbook, step or None


def _within(place: tuple[str, str], wanted: tuple[str, str | None] | None) -> bool:
    return wanted is None or (place[0] == wanted[0] and wanted[1] in (None, place[1]))


def _source(each: Observed) -> dict[str, Any]:
    low, high = each.interval
    known = each.difference is not None
    return {
        "source": each.source,
        "attempts": each.attempts,
        "tokens": each.tokens,
        "dollars": each.dollars,
        "first_pass_with": [each.passed_with, each.n_with],
        "first_pass_without": [each.passed_without, each.n_without],
        "difference": round(each.difference, 4) if each.difference is not None else None,
        "interval": [round(low, 4), round(high, 4)] if known else None,
    }


def _experiments(seen: View, wanted: tuple[str, str | None] | None) -> list[tuple[Playbook, Experiment]]:
    books = seen.current.playbooks.values() if seen.current is not None else ()
    return [
        (book, book.experiment)
        for book in sorted(books, key=lambda one: one.name)
        if book.experiment is not None and (wanted is None or wanted[0] == book.name)
    ]


def _experiment(of: tuple[Playbook, Experiment], attempts: list[Sent], past: Past) -> dict[str, Any]:
    playbook, experiment = of
    name = key(experiment, playbook.name)
    found = result(experiment, units(attempts, name, past))
    return {
        "playbook": playbook.name,
        "key": name,
        "source": experiment.source,
        "holdout": experiment.holdout,
        "effect": experiment.effect,
        "power": experiment.power,
        "alpha": experiment.alpha,
        "done": found.done,
        "arms": [_arm(group) for group in found.groups],
        "comparisons": [_comparison(each) for each in found.comparisons],
        "verdict": _verdict(found),
    }


def _arm(group: Group) -> dict[str, Any]:
    return {"arm": group.arm.value, "tasks": group.tasks, "needed": group.needed, "passed": group.passed}


def _comparison(each: Comparison) -> dict[str, Any]:
    return {
        "with_against": each.arm.value,
        "difference": round(each.difference, 4),
        "interval": [round(each.low, 4), round(each.high, 4)],
        "p": round(each.p, 6),
        "alpha": each.alpha,
        "verdict": each.verdict,
    }


def _verdict(found: Result) -> str:
    if not found.done:
        return "none yet: it is said at the end only, whatever it looks like on the way"
    return "; ".join(f"against {each.arm.value}: {each.verdict}" for each in found.comparisons)


def _print(told: dict[str, Any]) -> None:
    terminal.title(f"Context of {told['attempts']} attempts ({told['kind']})")
    if not told["steps"]:
        terminal.say("no attempt with a manifest yet")
    for step in told["steps"]:
        terminal.say()
        terminal.title(f"{step['playbook']}/{step['step']}")
        heads = ("SOURCE", "SENT", "TOKENS", "COST", "FIRST TRY WITH", "WITHOUT", "DIFFERENCE")
        terminal.rows(heads, [_cells(each) for each in step["sources"][:MOST_SHOWN]], indent=2)
        if len(step["sources"]) > MOST_SHOWN:
            terminal.say(f"  and {len(step['sources']) - MOST_SHOWN} more; --json has all")
    for each in told["experiments"]:
        terminal.say()
        terminal.title(f"Experiment of {each['playbook']} on {each['source']}: effect {each['effect']:g}")
        rows = [
            [
                arm["arm"],
                f"{arm['tasks']} of {arm['needed']} tasks",
                "" if arm["passed"] is None else f"{arm['passed']} passed",
            ]
            for arm in each["arms"]
        ]
        terminal.rows((), rows, indent=2)
        for one in each["comparisons"]:
            low, high = one["interval"]
            terminal.say(
                f"  with against {one['with_against']}: {one['difference']:+.3f} [{low:+.3f} to {high:+.3f}],"
                f" Fisher p = {one['p']:.4f} (alpha {one['alpha']:g}): {one['verdict']}"
            )
        if not each["done"]:
            terminal.say(f"  verdict: {each['verdict']}")
    for remark in told["remarks"]:
        terminal.say(f"missing: {remark}")


def _cells(each: dict[str, Any]) -> list[str]:
    apart = ""
    if each["difference"] is not None:
        low, high = each["interval"]
        apart = f"{each['difference']:+.2f} [{low:+.2f} to {high:+.2f}]"
    cost = "" if each["dollars"] is None else terminal.dollars(each["dollars"])
    shares = ["{} of {}".format(*each[name]) for name in ("first_pass_with", "first_pass_without")]
    return [each["source"], str(each["attempts"]), str(each["tokens"]), cost, *shares, apart]
