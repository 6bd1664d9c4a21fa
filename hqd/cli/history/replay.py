"""`hqd replay`: history decided again under another playbook, with the attempts that were recorded. Changes nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from hqd.adapters.archive import no_collection
from hqd.cli import terminal
from hqd.cli.board.reading import View, view
from hqd.cli.call import Call
from hqd.cli.gate import open_registry
from hqd.cli.history.past import archive_of, remarks_of
from hqd.cli.history.replay_check import check_tried
from hqd.cli.history.replay_tables import Replayed, Story, facts_of, show
from hqd.cli.history.retold import Accepted, accepted, event_of, judging
from hqd.codec import layout
from hqd.codec.config import read_config
from hqd.codec.playbook import read_playbook
from hqd.core.replay.bounds import prices, rest, spent, unpriced
from hqd.core.replay.reach import resting
from hqd.core.replay.router import reroute
from hqd.core.replay.walk import Past, World, walk
from hqd.daemon.rulebook import PinnedFiles
from hqd.errors import EXIT_OK, Misconfigured, Usage
from hqd.model.board import Rules
from hqd.model.playbook import Playbook, Step
from hqd.model.record import Event, Pin


@dataclass(frozen=True, slots=True)
class Tried:
    """The playbook that is tried, and the files of its folder that its steps may name."""

    playbook: Playbook
    data: bytes
    folder: Path

    @property
    def name(self) -> str:
        return self.playbook.name


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
    question = (step.ask.question, step.ask.choices) if step.ask is not None else None
    return step.prompt_text, step.output, step.context, playbook.context, step.tools, question, step.run


def _files(step: Step) -> list[str]:
    return [name for name in (step.prompt, step.output) if isinstance(name, str)]


def replay(call: Call, file: Path, *, since: str | None, as_json: bool) -> int:
    """Prints which decisions would have been others, and what that saves or costs."""
    tried = _tried(call, file)
    with view(call) as seen, ExitStack() as stack:
        found = replayed(call, seen, tried, since, stack)
    if as_json:
        terminal.data(facts_of(found, since))
    else:
        show(found, since)
    return EXIT_OK


def replayed(
    call: Call, seen: View, tried: Tried, since: str | None, stack: ExitStack, *, walks: bool = True
) -> Replayed:
    """Routing of all tasks, then (`walks`) every task that the playbook takes, or took, event by event."""
    root = seen.repo.root
    with terminal.spinner("reading history"), no_collection():
        past = archive_of(seen).past(seen.tree.commit)
        after = _after(seen, since)
        tasks = list(accepted(seen, past, after))
    versions = Versions(seen, tried)
    with terminal.spinner("deciding again"), no_collection():
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
    different = {each.way.task for each in walked if each.way.differs is not None}
    rests = resting((each.task for each in tasks), different) if different else ()
    untold = sum(unpriced(events) for _task, events in stories)
    return Replayed(tried.name, routing, walked, remarks, recorded, rests, untold)


def _tried(call: Call, file: Path) -> Tried:
    """A file, or a playbook of this HQ by its name, that could be in force as it is. Raises Usage, Misconfigured."""
    root, shown = call.root(), str(file)
    places = (call.cwd / file, root / file, root / layout.PLAYBOOKS / f"{file}.toml")
    path = next((place for place in places if place.is_file()), places[0])
    try:
        data = path.read_bytes()
    except OSError as fault:
        raise Usage(f"{shown} cannot be read: {fault.strerror or fault}") from fault
    tried = tried_of(data, shown, path.parent)
    check_tried(call, tried.name, data, path, shown)
    return tried


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
