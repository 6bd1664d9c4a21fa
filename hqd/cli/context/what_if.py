"""`hqd context --what-if REV`: what other rules would have sent to all past attempts, without any model.

Each past attempt is gathered again at its own snapshot under the other rules, and compared with its manifest: the
newest MOST_TRIED of them, unless more are asked for. Where the rules of a commit do not know the playbook or step any
more, the attempt is passed over and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hqd.bootstrap import context_means, gate_registry, rules_loader
from hqd.cli import terminal
from hqd.cli.board.reading import View, view
from hqd.cli.call import Call
from hqd.cli.context.stats import read_manifests
from hqd.cli.edits import FolderReader
from hqd.cli.history.past import archive_of
from hqd.core.context.past import manifest_of
from hqd.core.context.tokens import ESTIMATE
from hqd.daemon.context.rebuild import CannotRebuild, again
from hqd.daemon.rulebook import pin_of
from hqd.daemon.work.gather import Means, MissingContext
from hqd.errors import EXIT_OK, ExpressionFault, Misconfigured
from hqd.model.board import Rules
from hqd.model.corpus import Attempt, Past
from hqd.ports import Tree

MOST_SHOWN = 40
MOST_TRIED = 5_000
"""Attempts that are gathered again unless `--last` asks for more; a thousand take about seven seconds."""

_AT_ONCE = 50
WORKING_TREE = "."


@dataclass(slots=True)
class Changes:
    """What came of it. Counters by source: attempts that it would have been dropped from, or added to.

    `touched`: source -> tasks whose accepted work then changed that very file.
    """

    attempts: int = 0
    changed: int = 0
    passed_over: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    added: Counter[str] = field(default_factory=Counter)
    tokens: int = 0
    tokens_then: int = 0
    touched: dict[str, set[str]] = field(default_factory=dict)


def what_if(call: Call, revision: str, *, last: int | None, as_json: bool) -> int:
    """Prints what the rules at `revision` (or of the working tree: `.`) would have changed."""
    with view(call) as seen:
        told = facts(seen, call, _rules(call, seen, revision), revision, last)
    if as_json:
        terminal.data(told)
    else:
        _print(told)
    return EXIT_OK


def _rules(call: Call, seen: View, revision: str) -> Rules:
    """The rules to try, lessons among them. Raises Misconfigured where they cannot be used."""
    load = rules_loader(gate_registry(call.env, None, None))
    if revision == WORKING_TREE:
        rules, problems = load(FolderReader(call.root()), pin_of(seen.tree))
        if rules is not None and seen.current is not None:  # lessons are read by blob: those of main
            rules = replace(rules, pin=seen.current.pin, lessons=seen.current.lessons)
    else:
        with view(call, revision) as then:
            rules, problems = load(then.tree, pin_of(then.tree))
    if rules is None:
        fault = next((problem for problem in problems if problem.stops), None)
        raise Misconfigured(f"the rules of {revision} cannot be used: {fault or 'no hqd.toml'}")
    return rules


def facts(seen: View, call: Call, rules: Rules, revision: str, last: int | None) -> dict[str, Any]:
    """As --json has it."""
    archive, found = archive_of(seen), Changes()
    means = context_means(call.root(), seen.history)
    with terminal.spinner("reading history") as say:
        past = archive.past(seen.tree.commit)
        attempts = [each for each in past.attempts() if _has_manifest(each, seen.tree)]
        chosen, work = attempts[-(last or MOST_TRIED) :], _work(past)
        for start in range(0, len(chosen), _AT_ONCE):
            say(f"gathering again: {start} of {len(chosen)} attempts")
            some = chosen[start : start + _AT_ONCE]
            _try(found, means, rules, some, dict(read_manifests(some, seen.tree, archive.texts)), work)
    return {
        "revision": revision,
        "attempts": found.attempts,
        "of": len(attempts),
        "changed": found.changed,
        "passed_over": dict(found.passed_over),
        "tokens": found.tokens,
        "tokens_then": found.tokens_then,
        "saved": found.tokens - found.tokens_then,
        "dropped": _sources(found.dropped, found.touched),
        "added": [{"source": source, "attempts": n} for source, n in found.added.most_common()],
    }


def _sources(dropped: Counter[str], touched: Mapping[str, set[str]]) -> list[dict[str, Any]]:
    return [
        {"source": source, "attempts": n, "touched_by": sorted(touched.get(source, ()))}
        for source, n in dropped.most_common()
    ]


def _work(past: Past) -> dict[str, list[tuple[int, frozenset[str]]]]:
    """Task -> (place in the line, files) of each landing of its accepted work."""
    found: dict[str, list[tuple[int, frozenset[str]]]] = {}
    for change in past.changes:
        if change.work is not None:
            files = frozenset(path for path, _before, _after in change.files)
            found.setdefault(change.work, []).append((change.order, files))
    return found


def _has_manifest(attempt: Attempt, tree: Tree) -> bool:
    path = manifest_of(attempt)
    return path is not None and tree.entry(path) is not None


def _try(
    found: Changes,
    means: Means,
    rules: Rules,
    attempts: Sequence[Attempt],
    manifests: Mapping[str, Mapping[str, Any]],
    work: Mapping[str, Sequence[tuple[int, frozenset[str]]]],
) -> None:
    """Gathers attempts again, and adds to `found` what comes of it."""
    for each in attempts:
        manifest = manifests.get(manifest_of(each) or "")
        if manifest is None:
            found.passed_over["its manifest cannot be read"] += 1
            continue
        try:
            made = again(means, manifest, rules)
            was = manifest if manifest["counter"] == ESTIMATE else again(means, manifest, None).manifest
        except (CannotRebuild, MissingContext, ExpressionFault, KeyError, ValueError) as fault:
            found.passed_over[_why(fault)] += 1
            continue
        then, now = set(_kept(manifest)), set(_kept(made.manifest))
        found.attempts += 1
        found.changed += then != now
        found.dropped.update(then - now)
        found.added.update(now - then)
        found.tokens += int(was["tokens"])
        found.tokens_then += int(made.manifest["tokens"])
        for order, files in work.get(each.end.task, ()):
            for source in (then - now) & files if order > each.end.order else ():
                found.touched.setdefault(source, set()).add(each.end.task)


def _kept(manifest: Mapping[str, Any]) -> Iterator[str]:
    for row in manifest["sources"]:
        if row["status"] != "dropped" and row["rule"] != "prompt":
            yield row["source"]


def _why(fault: Exception) -> str:
    if isinstance(fault, MissingContext):
        return "something required would have been missing"
    if isinstance(fault, CannotRebuild):
        return fault.message if "no step" in fault.message or "no playbook" in fault.message else "cannot be made again"
    return "cannot be made again"


def _print(told: dict[str, Any]) -> None:
    name = "the working tree" if told["revision"] == WORKING_TREE else told["revision"]
    terminal.title(f"With the rules of {name}: {told['changed']} of {told['attempts']} past attempts sent otherwise")
    terminal.say(
        f"{told['tokens']} tokens were sent; it would have been {told['tokens_then']}: {told['saved']:+d} saved"
    )
    rows = [["dropped", str(each["attempts"]), each["source"], _touched(each)] for each in told["dropped"][:MOST_SHOWN]]
    rows += [["added", str(each["attempts"]), each["source"], ""] for each in told["added"][:MOST_SHOWN]]
    terminal.rows(("", "ATTEMPTS", "SOURCE", "ACCEPTED WORK LATER CHANGED IT"), rows)
    tried = told["attempts"] + sum(told["passed_over"].values())
    if tried < told["of"]:
        terminal.say(f"the newest {tried} of {told['of']} attempts; --last {told['of']} tries all")
    for why, number in told["passed_over"].items():
        terminal.say(f"{number} attempts passed over: {why}")


def _touched(each: dict[str, Any]) -> str:
    tasks = each["touched_by"]
    return f"in {len(tasks)} task{'s' if len(tasks) > 1 else ''}: {tasks[0]}" if tasks else ""
