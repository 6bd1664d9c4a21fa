"""`hqd replay`: history decided again under another playbook, with the attempts that were recorded. Changes nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hqd.cli import terminal
from hqd.cli.call import Call
from hqd.cli.gate import open_registry
from hqd.cli.past import archive_of, many_values, remarks_of
from hqd.cli.reading import View, view
from hqd.cli.retold import Accepted, accepted, event_of, judging
from hqd.codec import layout
from hqd.codec.config import Reader, read_config
from hqd.codec.playbook import read_playbook
from hqd.core.replay.bounds import Rest, prices, rest, spent
from hqd.core.replay.router import Routing, reroute
from hqd.core.replay.walk import Past, Walked, World, walk
from hqd.daemon.rulebook import PinnedFiles
from hqd.errors import EXIT_OK, Misconfigured, Usage
from hqd.model.board import Rules
from hqd.model.change import Entry
from hqd.model.names import slug_of
from hqd.model.playbook import Playbook, Step
from hqd.model.record import Event, Pin

MOST_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Tried:
    """The playbook that is tried, and the files of its folder that its steps may name."""

    playbook: Playbook
    data: bytes
    folder: Path

    @property
    def name(self) -> str:
        return self.playbook.name


class Overlay:
    """The configuration of a pin with the tried playbook in its place."""

    def __init__(self, below: Reader, tried: Tried, path: str) -> None:
        self._below, self._tried, self._path = below, tried, path

    def read(self, path: str) -> bytes | None:
        return self._tried.data if path == self._path else self._below.read(path)

    def entries(self, folder: str) -> tuple[Entry, ...]:
        found = self._below.entries(folder)
        if folder != layout.PLAYBOOKS or any(f"{folder}/{entry.name}" == self._path for entry in found):
            return found
        return (*found, Entry(self._path.rpartition("/")[2], "100644", ""))


class Versions:
    """The rules of pins, as they were and with the tried playbook. Raises KeyError where they are not to be had."""

    def __init__(self, seen: View, tried: Tried) -> None:
        self._seen, self._tried = seen, tried
        self._new: dict[Pin, Rules] = {}
        self._prompts: dict[tuple[str, str], bytes | None] = {}

    def old(self, pin: Pin) -> Rules:
        found = self._seen.rules(pin)
        if found is None:
            raise KeyError(f"the rules {pin} are not to be had any more")
        return found

    def new(self, pin: Pin) -> Rules:
        found = self._new.get(pin)
        if found is None:
            old, tried = self.old(pin), self._tried
            mark = hashlib.sha256(tried.data + pin.playbooks.encode()).hexdigest()[: len(pin.playbooks)]
            playbooks = {**old.playbooks, tried.name: tried.playbook}
            named = pin.model_copy(update={"playbooks": mark})
            found = self._new[pin] = Rules(named, old.settings, playbooks, old.lessons)
        return found

    def old_prompt(self, rules: Rules, playbook: Playbook, step: Step) -> object:
        return _asked(playbook, step), [self._pinned(rules.pin, name) for name in _files(step)]

    def new_prompt(self, rules: Rules, playbook: Playbook, step: Step) -> object:
        """Of the tried playbook, the files that lie beside it count; else the pinned ones."""
        pin = next((pin for pin, found in self._new.items() if found is rules), rules.pin)
        texts = []
        for name in _files(step):
            beside = self._tried.folder / name
            mine = playbook.name == self._tried.name and beside.is_file()
            texts.append(beside.read_bytes() if mine else self._pinned(pin, name))
        return _asked(playbook, step), texts

    def _pinned(self, pin: Pin, name: str) -> bytes | None:
        key = (pin.playbooks, name)
        if key not in self._prompts:
            self._prompts[key] = PinnedFiles(self._seen.history, pin).read(f"{layout.PLAYBOOKS}/{name}")
        return self._prompts[key]


def _asked(playbook: Playbook, step: Step) -> object:
    return step.prompt_text, step.output, step.context, playbook.context, step.tools


def _files(step: Step) -> list[str]:
    return [name for name in (step.prompt, step.output) if isinstance(name, str)]


@dataclass(slots=True)
class Replayed:
    """Everything that a replay found."""

    name: str
    routing: Routing
    walked: list[Story]
    remarks: tuple[str, ...]
    recorded: tuple[int, float]

    @property
    def different(self) -> list[Story]:
        return [each for each in self.walked if each.way.differs is not None]

    @property
    def asked(self) -> list[Story]:
        """Tasks in which an agent would have been asked something else: recorded answers stand in."""
        return [each for each in self.walked if each.way.asked is not None]


@dataclass(frozen=True, slots=True)
class Story:
    """One task followed. `bounds`: from its first difference on; `stand_in`: from its first other decision on."""

    way: Walked
    bounds: Rest | None
    stand_in: Rest | None


def _sum(ends: Sequence[Rest | None]) -> tuple[tuple[int, float], tuple[int, float]]:
    """(attempts, dollars) saved over all, at least and at most."""
    saved = [each.saved for each in ends if each is not None]
    least = sum(low[0] for low, _high in saved), round(sum(low[1] for low, _high in saved), 6)
    return least, (sum(high[0] for _low, high in saved), round(sum(high[1] for _low, high in saved), 6))


def replay(call: Call, file: Path, *, since: str | None, as_json: bool) -> int:
    """Prints which decisions would have been others, and what that saves or costs."""
    tried = _tried(call.cwd / file, str(file))
    with view(call) as seen, ExitStack() as stack:
        found = replayed(call, seen, tried, since, stack)
    if as_json:
        terminal.data(_json(found, since))
    else:
        _print(found, since)
    return EXIT_OK


def replayed(
    call: Call, seen: View, tried: Tried, since: str | None, stack: ExitStack, *, walks: bool = True
) -> Replayed:
    """Routing of all tasks, then (`walks`) every task that the playbook takes, or took, event by event."""
    root = seen.repo.root
    with terminal.spinner("reading history"), many_values():
        past = archive_of(seen).past(seen.tree.commit)
        after = _after(seen, since)
        tasks = list(accepted(seen, past, after))
    versions = Versions(seen, tried)
    with terminal.spinner("deciding again"), many_values():
        known, lost = _with_rules(tasks, versions)
        routing = reroute(
            [(each.task, pin, _playbook(each)) for each, pin in known], versions.old, versions.new, tried.name
        )
        registry = open_registry(call, root, read_config(seen.tree), stack)
        world = World(
            old=versions.old,
            new=versions.new,
            values=seen.values,
            judge=judging(registry, seen.values),
            old_prompts=versions.old_prompt,
            new_prompts=versions.new_prompt,
        )
        stories = [(each.task, _events(each)) for each, _pin in known if walks and each.task.id in routing.taken]
        costs = prices(event for _task, events in stories for event in events)
        walked = []
        for task, events in stories:
            way = walk(Past(task, events), world)
            ends = [rest(each, events, costs) if each is not None else None for each in (way.first, way.differs)]
            walked.append(Story(way, *ends))
    totals = [spent(events) for _task, events in stories]
    recorded = (sum(count for count, _cost in totals), round(sum(cost for _count, cost in totals), 6))
    remarks = (*remarks_of(past), *((f"{lost} tasks left out: their rules are not to be had",) if lost else ()))
    return Replayed(tried.name, routing, walked, remarks, recorded)


def _tried(path: Path, shown: str) -> Tried:
    """Raises Usage, Misconfigured."""
    try:
        data = path.read_bytes()
    except OSError as fault:
        raise Usage(f"{shown} cannot be read: {fault.strerror or fault}") from fault
    return tried_of(data, shown, path.parent)


def tried_of(data: bytes, shown: str, folder: Path) -> Tried:
    """A playbook as it would be in force from now on. Raises Misconfigured."""
    read = read_playbook(data, shown)
    if read.playbook is None:
        raise Misconfigured(str(next(iter(read.problems), f"{shown} is no playbook")), remedy="`hqd check` says more")
    return Tried(read.playbook, data, folder)


def _after(seen: View, since: str | None) -> int:
    """The place of a commit on main's line; -1: from the beginning. Raises Usage."""
    if since is None:
        return -1
    try:
        return archive_of(seen).past(since).last
    except KeyError as fault:
        raise Usage(f"there is no commit {since!r}", remedy="name a commit, a tag, or main@{yesterday}") from fault


def _with_rules(tasks: Sequence[Accepted], versions: Versions) -> tuple[list[tuple[Accepted, Pin]], int]:
    """Tasks that were claimed, with the pin of their first claim; and how many have rules that cannot be read."""
    found, lost = [], 0
    for each in tasks:
        claim = each.first_claim
        pin = claim.pinned if claim is not None else None
        if pin is None:
            continue
        try:
            versions.old(pin)
        except KeyError:
            lost += 1
            continue
        found.append((each, pin))
    return found, lost


def _playbook(each: Accepted) -> str | None:
    claim = each.first_claim
    return claim.playbook if claim is not None else None


def _events(each: Accepted) -> list[Event]:
    found = []
    for past in each.events:
        try:
            found.append(event_of(past))
        except ValueError:
            break  # written by a newer hqd, or mended by hand: what follows rests on it
    return found


def _json(found: Replayed, since: str | None) -> dict[str, Any]:
    walked = [each.way for each in found.walked]
    return {
        "playbook": found.name,
        "from": since,
        "routing": {
            "tasks": found.routing.tasks,
            "unexplained": found.routing.unexplained,
            "moved": [
                {"task": each.task, "was": each.was, "would_be": each.would_be, "why": each.why}
                for each in found.routing.moved
            ],
        },
        "tasks": len(walked),
        "recorded": {"attempts": found.recorded[0], "cost_usd": found.recorded[1]},
        "decisions": {
            "same": sum(each.same for each in walked),
            "different": len(found.different),
            "outside": sum(each.outside for each in walked),
        },
        "asked_otherwise": len(found.asked),
        "gates": {
            "rerun": sum(each.rerun for each in walked),
            "unjudged": sorted({name for each in walked for name in each.unjudged}),
        },
        "saved": _saved(_sum([each.bounds for each in found.walked])),
        "saved_as_recorded": _saved(_sum([each.stand_in for each in found.walked])),
        "different": [_row(each) for each in found.different],
        "ends": [{"task": each.task, "why": each.ends} for each in walked if each.ends is not None],
        "remarks": list(found.remarks),
    }


def _saved(ends: tuple[tuple[int, float], tuple[int, float]]) -> dict[str, Any]:
    least, most = ends
    return {"attempts": [least[0], most[0]], "cost_usd": [least[1], most[1]]}


def _row(each: Story) -> dict[str, Any]:
    differs, asked, ends = each.way.differs, each.way.asked, each.stand_in
    assert differs is not None and ends is not None and each.bounds is not None  # noqa: S101, PT018 - only those
    return {
        "task": each.way.task,
        "n": differs.n,
        "at": differs.at.isoformat(),
        "step": differs.step,
        "was": differs.was,
        "would_be": differs.would_be,
        "why": differs.why,
        "exact": asked is None and ends.exact,
        "asked_otherwise": {"n": asked.n, "why": asked.why} if asked is not None else None,
        "recorded_after": {"attempts": ends.recorded[0], "cost_usd": ends.recorded[1]},
        "saved": _saved(each.bounds.saved),
        "saved_as_recorded": _saved(ends.saved),
    }


def _tasks(count: int) -> str:
    return f"{count} task{'' if count == 1 else 's'}"


def _print(found: Replayed, since: str | None) -> None:
    facts = _json(found, since)
    decisions, gates = facts["decisions"], facts["gates"]
    terminal.title(f"replay of {found.name}" + (f" from {since}" if since else ""))
    terminal.say(
        f"{_tasks(found.routing.tasks)} routed again, {len(found.routing.moved)} would have gone elsewhere; "
        f"{_tasks(facts['tasks'])} of {found.name} decided again: {decisions['same']} decisions the same, "
        f"{decisions['different']} tasks differ"
    )
    if decisions["outside"]:
        terminal.say(f"{decisions['outside']} recorded acts follow from no rule of then, and were taken as they were")
    if gates["rerun"] or gates["unjudged"]:
        unknown = f"; not known, taken as held: {', '.join(gates['unjudged'])}" if gates["unjudged"] else ""
        terminal.say(f"{gates['rerun']} verdicts made anew on recorded outputs{unknown}")
    if found.different or found.asked:
        whole = f"of {found.recorded[0]} attempts and ${found.recorded[1]:.2f}"
        terminal.say(f"saved: {_words(facts['saved'])} {whole}")
    if found.asked:
        said = f"in {len(found.asked)} tasks an agent would have been asked something else"
        terminal.say(f"{said}; had it answered as recorded, saved: {_words(facts['saved_as_recorded'])}")
    if found.different:
        terminal.say()
        terminal.title("The first decision that differs; exact up to it, bounds after it")
        heads = ("TASK", "RECORD", "WAS", "WOULD BE", "SAVED", "WHY")
        terminal.rows(heads, [_cells(each) for each in found.different[:MOST_SHOWN]], indent=2)
        _more(len(found.different))
    if found.routing.moved:
        terminal.say()
        terminal.title("Tasks that would have gone elsewhere")
        rows = [[slug_of(each.task), each.was, each.would_be, each.why] for each in found.routing.moved[:MOST_SHOWN]]
        terminal.rows(("TASK", "WAS", "WOULD BE", "WHY"), rows, indent=2)
        _more(len(found.routing.moved))
    for remark in found.remarks:
        terminal.say(f"missing: {remark}")


def _more(count: int) -> None:
    if count > MOST_SHOWN:
        terminal.say(f"  and {count - MOST_SHOWN} more: --json has them all")


def _cells(each: Story) -> list[str]:
    row = _row(each)
    asked = row["asked_otherwise"]
    why = row["why"] + (f" (from record {asked['n']} on, {asked['why']})" if asked else "")
    return [slug_of(row["task"]), str(row["n"]), row["was"], row["would_be"], _words(row["saved"]), why]


def _words(saved: dict[str, Any]) -> str:
    low, high = saved["attempts"]
    attempts = f"{low} attempts" if low == high else f"{low} to {high} attempts"
    least, most = saved["cost_usd"]
    return f"{attempts}, " + (_dollars(least) if least == most else f"{_dollars(least)} to {_dollars(most)}")


def _dollars(cost: float) -> str:
    return f"-${-cost:.2f}" if cost < 0 else f"${cost:.2f}"
