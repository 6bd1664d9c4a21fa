"""`hqd context TASK STEP`: what the next attempt at a step would be sent, source by source, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from hqd.bootstrap import context_means, counting_agents, mirrored
from hqd.cli import tell, terminal
from hqd.cli.board.finding import Told, find
from hqd.cli.board.reading import View, now, view
from hqd.cli.call import Call
from hqd.core.prompt import Prompt
from hqd.daemon.context.preview import preview
from hqd.daemon.rulebook import pin_of
from hqd.daemon.work.gather import MissingContext
from hqd.errors import EXIT_OK, Misconfigured, Usage
from hqd.model.board import Rules, Task

_KEYS = (
    "sources", "tokens", "other_tokens", "budget", "window", "reserved", "margin", "counter", "stable_tokens", "unsent",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for on the command line."""

    as_json: bool = False
    text: bool = False
    without: tuple[str, ...] = ()
    diff: str | None = None
    what_if: str | None = None
    last: int | None = None
    attempt: int | None = None


def asked(call: Call, words: Sequence[str], wish: Wish) -> int:
    """The command as it was typed. Raises Usage."""
    about_a_task = wish.text or wish.without or wish.diff is not None or wish.attempt is not None
    if wish.what_if is not None:
        from hqd.cli.context.what_if import what_if

        if tuple(words) not in ((), ("stats",)) or about_a_task:
            raise Usage("--what-if stands alone, or with --last and --json")
        return what_if(call, wish.what_if, last=wish.last, as_json=wish.as_json)
    if words[:1] and words[0] == "stats" and len(words) < 3:
        from hqd.cli.context.stats import stats

        if about_a_task:
            raise Usage("stats takes --json alone")
        return stats(call, words[1] if len(words) == 2 else None, as_json=wish.as_json)
    if len(words) != 2:
        raise Usage("context takes a task and a step", remedy="hqd context TASK STEP, or hqd context stats")
    if wish.text and (wish.as_json or wish.diff is not None):
        raise Usage("--text stands alone, or with --without or --attempt")
    if wish.attempt is not None:
        from hqd.cli.context.past import past

        if wish.without or wish.diff is not None:
            raise Usage("--attempt is about what was sent; --without and --diff are about what would be")
        return past(call, words[0], words[1], wish.attempt, as_json=wish.as_json, text=wish.text)
    own = {"as_json": wish.as_json, "text": wish.text}
    return context(call, words[0], words[1], **own, without=wish.without, diff=wish.diff)


def context(
    call: Call, name: str, step: str, *, as_json: bool, text: bool, without: Sequence[str], diff: str | None
) -> int:
    """Prints the manifest, with `text` the very bytes, with `diff` what the rules of another commit would change."""
    with view(call) as seen:
        task = _task(seen, find(seen, name))
        try:
            made = _prompt(call, seen, task, step, without)
        except MissingContext as fault:
            if text or fault.manifest is None:
                raise
            return _cannot(fault, {"task": task.id, "step": step, **facts(fault.manifest)}, as_json=as_json)
        if text:
            terminal.raw(made.text.encode("utf-8", "surrogatepass"))
            return EXIT_OK
        told = {"task": task.id, "step": step, **facts(made.manifest)}
        if diff is not None:
            told["diff"] = _diff(call, seen, task, step, diff, made, without)
    if as_json:
        terminal.data(told)
    else:
        show(told)
    return EXIT_OK


def facts(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest as --json has it. What an older hqd did not write is null."""
    return {key: manifest.get(key) for key in _KEYS} | {
        key: manifest.get("made", {}).get(key) for key in ("agent", "attempt")
    }


def _cannot(fault: MissingContext, told: dict[str, Any], *, as_json: bool) -> int:
    """What there is where nothing could be sent, what is in the way first; the words for it go where errors go."""
    if as_json:
        error = {"message": fault.message, "remedy": fault.remedy, "exit_code": fault.exit_code}
        terminal.data({**told, "error": error})
    else:
        show(told)
    tell(fault)
    return fault.exit_code


def _prompt(
    call: Call, seen: View, task: Task, step: str, without: Sequence[str], rules: Rules | None = None
) -> Prompt:
    moment = now()
    board = seen.board(moment)
    with ExitStack() as stack:
        others = mirrored(seen.repo.private, call.env, stack)
        means = context_means(call.root(), seen.history, counting_agents(call.env, stack), others)
        made = preview(task, step, board, means, moment, rules, without)
    unknown = set(without) - {row["source"] for row in made.manifest["sources"]}
    if unknown and rules is None:
        remedy = "`hqd context` lists the sources; write one as it stands there"
        raise Usage(f"--without {min(unknown)}: no such source", remedy=remedy)
    return made


def _task(seen: View, story: Told) -> Task:
    """Open tasks, and ended ones as they ended."""
    found = seen.tasks.get(story.id)
    if found is not None:
        return found
    last = story.last
    if last is None:
        raise Usage(f"{story.id} has no record that can be read")
    return Task(story.id, story.state, story.document, "", last.cursor, last.n, last)


def _diff(
    call: Call, seen: View, task: Task, step: str, revision: str, made: Prompt, without: Sequence[str]
) -> dict[str, Any]:
    """How the rules of another commit would have done it, over the same documents."""
    with view(call, revision) as then:
        pin = pin_of(then.tree)
        config = then.committed
        if config is None or config.settings is None:
            raise Misconfigured(f"the rules of {revision} cannot be read")
        other = _prompt(call, seen, task, step, without, Rules(pin, config.settings, config.by_name))
    mine, theirs = _sent(made), _sent(other)
    return {
        "revision": revision,
        "tokens": other.manifest["tokens"],
        "budget": other.manifest["budget"],
        "added": sorted(mine.keys() - theirs.keys()),
        "removed": sorted(theirs.keys() - mine.keys()),
        "changed": [
            {"source": source, "tokens": mine[source]["tokens"], "tokens_then": theirs[source]["tokens"]}
            for source in sorted(mine.keys() & theirs.keys())
            if (mine[source]["tokens"], mine[source]["blob"]) != (theirs[source]["tokens"], theirs[source]["blob"])
        ],
    }


def _sent(made: Prompt) -> dict[str, dict[str, Any]]:
    return {row["source"]: row for row in made.manifest["sources"] if row["status"] != "dropped"}


def show(told: dict[str, Any]) -> None:
    """An account for people: each source, and with `diff` what other rules would change."""
    agent = told["agent"] or "nobody"
    sent = f"{told['tokens']} of {told['budget']} tokens"
    if told["unsent"] is not None:
        sent = f"nothing is sent; the budget is {told['budget']} tokens"
    terminal.title(f"{told['step']}, attempt {told['attempt']} by {agent}: {sent}")
    body = [
        [row["status"], "" if row["tokens"] is None else str(row["tokens"]), row["source"], row["rule"], _why(row)]
        for row in told["sources"]
    ]
    terminal.rows(("status", "tokens", "source", "rule", "why"), body)
    if told["unsent"] is None:
        _account(told)
    diff = told.get("diff")
    if diff is not None:
        terminal.title(f"against the rules of {diff['revision']}: {told['tokens'] - diff['tokens']:+d} tokens")
        rows = [["added", source, ""] for source in diff["added"]]
        rows += [["removed", source, ""] for source in diff["removed"]]
        rows += [
            ["changed", each["source"], f"{each['tokens_then']} to {each['tokens']} tokens"] for each in diff["changed"]
        ]
        terminal.rows((), rows)


def _account(told: dict[str, Any]) -> None:
    """What the sources do not add up to, and how it was counted."""
    other = told["other_tokens"]
    if other:
        what = "the task itself, what was wrong last time, the form of the answer"
        terminal.say(
            f"{other} tokens more: {what}"
            if other > 0
            else f"{-other} tokens less: a text as a whole has fewer than its parts counted one by one"
        )
    terminal.say(f"counted by {told['counter']}; {told['stable_tokens']} tokens are the same for all tasks of the step")


def _why(row: dict[str, Any]) -> str:
    flags = "; ".join(row.get("flags", ()))
    return str(row["why"]) + (f" (suspicious: {flags})" if flags else "")
