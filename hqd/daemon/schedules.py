"""Schedules of playbooks: drops the rendered template when a moment has come. What is settled stands in main's tree."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from hqd.codec import layout
from hqd.codec.schedule import read_until, write_until
from hqd.core.batch import blob_id
from hqd.core.decide import park
from hqd.core.language.expressions import compile_text
from hqd.core.moves import Park
from hqd.core.routing import choose
from hqd.core.schedule import Due, fall_due, following, parse, prefix_of, source_of, zone_of
from hqd.daemon.book import new_task
from hqd.daemon.draft import Draft
from hqd.daemon.people.intake import Door, free_id
from hqd.errors import ExpressionFault
from hqd.model.board import Rules
from hqd.model.change import Entry, Transition
from hqd.model.failure import ParkReason
from hqd.model.playbook import Schedule
from hqd.model.problem import Problem
from hqd.model.record import Event, EventKind
from hqd.model.task import State
from hqd.ports import History, Tree


@dataclass(slots=True)
class Schedules:
    """`next`: the earliest moment to come, of all schedules in force."""

    history: History
    next: datetime | None = None
    _coming: dict[str, datetime | None] = field(default_factory=dict)  # name -> next moment
    _read: dict[str, str] = field(default_factory=dict)  # name -> blob of the file that `_coming` rests on

    def alarms(self) -> tuple[datetime, ...]:
        """When a turn is wanted though nothing happens."""
        return (self.next,) if self.next is not None else ()

    def drop(self, draft: Draft, tree: Tree, rules: Rules, door: Door, touched: Collection[str], now: datetime) -> None:
        """Into the draft: tasks that are due, and what is settled by now. Call it once a turn.

        `touched`: paths that a person has in hand; schedules whose file is among them wait.
        """
        wanted = {name: book.schedule for name, book in rules.playbooks.items() if book.schedule is not None}
        files = {entry.name: entry for entry in tree.entries(layout.SCHEDULES)}
        for name, schedule in wanted.items():
            if layout.schedule_path(name) in touched:
                continue
            self._look(name, schedule, files.get(f"{name}.toml"), draft, tree, rules, door, now)
        for name in _gone(files, wanted):
            path = layout.schedule_path(name)
            if path not in touched:
                message = f"hqd: schedule {name}: not in force any more\n"
                draft.batch.plain(Transition(message=message, at=now, deletes=(path,)))
        self._coming = {name: at for name, at in self._coming.items() if name in wanted}
        self.next = min((at for at in self._coming.values() if at is not None and at > now), default=None)

    def _look(
        self,
        name: str,
        schedule: Schedule,
        entry: Entry | None,
        draft: Draft,
        tree: Tree,
        rules: Rules,
        door: Door,
        now: datetime,
    ) -> None:
        path = layout.schedule_path(name)
        since = read_until(tree.read(path) or b"", schedule) if entry is not None else None
        if since is None or entry is None:
            self._coming[name] = at = _following(schedule, now)
            first = f", first at {_spoken(at, schedule)}" if at is not None else ""
            draft.batch.plain(_settled(name, schedule, now, f"in force{first}", now))
            return
        if self._read.get(name) != entry.id:
            self._read[name], self._coming[name] = entry.id, _following(schedule, since)
        at = self._coming[name]
        if at is None or at > now:
            return
        busy = any((task.cursor.source or "").startswith(prefix_of(name)) for task in draft.tasks.values())
        due = fall_due(schedule, since, now, busy=busy)
        try:
            self._drop(name, schedule, due, draft, rules, door, now)
        except (ExpressionFault, KeyError) as fault:
            message = fault.message if isinstance(fault, ExpressionFault) else f"{schedule.template} is not there"
            path = f"{layout.PLAYBOOKS}/{name}.toml"
            draft.problems[path] = Problem(path, 0, "schedule.template", f"nothing was dropped: {message}", "mend it")
            return
        if not due.drop and due.until != since:
            why = "the one before is still open" if busy else "missed while hqd was not running"
            which = ", ".join(_spoken(moment, schedule) for moment in due.skipped[-3:])
            draft.batch.plain(_settled(name, schedule, due.until, f"{which} skipped: {why}", now))
        if due.until != since:
            del self._read[name]
            self._coming[name] = _following(schedule, due.until)

    def _drop(
        self, name: str, schedule: Schedule, due: Due, draft: Draft, rules: Rules, door: Door, now: datetime
    ) -> None:
        """One task for each moment. Raises ExpressionFault, KeyError; then the draft is as it was."""
        texts = [(moment, self._text(schedule, moment, rules, now)) for moment in due.drop]
        for moment, data in texts:
            source = source_of(name, moment, schedule)
            document, faults = door.book.document(f"{layout.PLAYBOOKS}/{schedule.template}", data, blob_id(data))
            task = new_task(free_id(draft, schedule.template, door, now), document, blob_id(data), source)
            chosen = choose(task, rules)
            event = Event(
                event=EventKind.ACCEPTED,
                to=State.QUEUE,
                at=now,
                source=source,
                playbook=chosen.name if not isinstance(chosen, Park) else None,
                message=f"due {_spoken(moment, schedule)}",
            )
            extra = ((layout.schedule_path(name), write_until(schedule, moment)),)
            accepted = draft.happen(task, event, body=data, source="", extra=extra)
            errors = [fault.text for fault in faults if fault.stops]
            if errors:
                draft.happen(accepted, park(ParkReason.BAD_TASK, "; ".join(errors[:3]), now, accepted))

    def _text(self, schedule: Schedule, moment: datetime, rules: Rules, now: datetime) -> bytes:
        """The template as the rules in force have it, rendered with `due` and `now` in the schedule's zone."""
        data = self.history.tree(rules.pin.playbooks).read(schedule.template)
        if data is None:
            raise KeyError(schedule.template)
        zone = zone_of(schedule.tz)
        facts = {"due": moment.astimezone(zone), "now": now.astimezone(zone)}
        return compile_text(data.decode("utf-8", "replace"), schedule.template).render(facts).encode()


def _gone(files: Mapping[str, Entry], wanted: Mapping[str, Schedule]) -> Iterator[str]:
    """Schedules that are no more: should one come back, it begins anew."""
    for name in files:
        if name.endswith(".toml") and name.removesuffix(".toml") not in wanted:
            yield name.removesuffix(".toml")


def _settled(name: str, schedule: Schedule, until: datetime, said: str, now: datetime) -> Transition:
    return Transition(
        message=f"hqd: schedule {name}: {said}\n",
        at=now,
        writes=((layout.schedule_path(name), write_until(schedule, until)),),
    )


def _following(schedule: Schedule, after: datetime) -> datetime | None:
    return following(parse(schedule.cron), zone_of(schedule.tz), after)


def _spoken(moment: datetime, schedule: Schedule) -> str:
    return moment.astimezone(zone_of(schedule.tz)).isoformat(timespec="minutes")
