"""`hqd report` and `hqd report recovery`: the numbers, from records alone."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from hqd.adapters.archive import no_collection
from hqd.cli import terminal
from hqd.cli.board.reading import View, now, view
from hqd.cli.call import Call
from hqd.cli.history.past import Told, told
from hqd.core.lessons.worth import Worth, worth
from hqd.core.report.html import page
from hqd.core.report.page import REACHED, Report, figures, headline, sections
from hqd.core.report.plain import markdown, plain
from hqd.core.report.recovery import Row, recovery
from hqd.errors import EXIT_OK, Usage
from hqd.model.duration import seconds
from hqd.model.spelling import meant

FORMATS = ("text", "md", "html", "json")


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for on the command line."""

    since: str | None = None
    form: str = "text"
    playbook: str | None = None
    without_lessons: bool = False


def report(call: Call, wish: Wish) -> int:
    """Prints the report in the form that was asked for."""
    if wish.form not in FORMATS:
        raise Usage(f"--format {wish.form}", remedy="one of: " + ", ".join(FORMATS))
    with no_collection(), view(call) as seen:
        begin = since_of(wish.since, seen)
        past = told(seen)
        _known_playbook(wish.playbook, past, seen)
        made = figures(
            past.stories,
            begin,
            wish.playbook,
            without=wish.without_lessons,
            remarks=past.remarks,
            worth=_worth(call) if seen.committed is not None and seen.committed.lessons else (),
        )
        name, where = seen.repo.root.name, _where(seen, wish, begin)
    title = f"{name}: report" + (f" of {wish.playbook}" if wish.playbook else "")
    if wish.form == "json":
        terminal.data(_json(made, wish, where))
    elif wish.form == "md":
        sys.stdout.write(markdown(made, title))
    elif wish.form == "html":
        sys.stdout.write(page(made, title, where))
    else:
        _print(made, title, where)
    return EXIT_OK


def _worth(call: Call) -> tuple[Worth, ...]:
    """What each lesson in force was worth, as `hqd lessons stats` says it."""
    from hqd.cli.lessons.book import shelf
    from hqd.cli.lessons.review import traces_of

    with shelf(call) as found:
        traces = traces_of(found)
        book = sorted((each for each in found.book.values() if each.in_force), key=lambda each: each.id)
        return tuple(
            worth(
                each,
                traces.seen.get(each.id, ()),
                traces.told.get(each.id, 0),
                traces.tokens.get(each.id, 0),
                traces.token_usd,
            )
            for each in book
        )


def _known_playbook(name: str | None, past: Told, seen: View) -> None:
    names = {story.playbook for story in past.stories if story.playbook}
    names |= set(seen.current.playbooks) if seen.current is not None else set()
    if name is not None and name not in names:
        raise Usage(f"no task of playbook {name!r}", remedy=meant(name, names))


def _where(seen: View, wish: Wish, begin: datetime | None) -> str:
    since = f"since {begin:%Y-%m-%d %H:%M} UTC ({wish.since}), " if begin is not None else ""
    return f"{since}as of {now():%Y-%m-%d %H:%M} UTC at {seen.repo.branch} {seen.tree.commit[:12]}"


def _json(made: Report, wish: Wish, where: str) -> dict[str, Any]:
    facts = plain(made)
    begin = facts.pop("since")
    return {"since": wish.since, "begin": begin, "made": where, "among": REACHED, **facts}


def _print(made: Report, title: str, where: str) -> None:
    terminal.title(title)
    terminal.say(where)
    terminal.say()
    terminal.rows((), [list(row) for row in headline(made)])
    for section in sections(made):
        terminal.say()
        terminal.title(section.title)
        for note in section.notes:
            terminal.say(f"  {note}")
        terminal.rows(section.heads, [list(row) for row in section.rows], indent=2)
    for place, remark in enumerate(made.remarks):
        if not place:
            terminal.say()
            terminal.title("What is missing")
        terminal.say(f"  {remark}")


def report_recovery(call: Call, *, since: str | None, as_json: bool) -> int:
    """Prints per failure class and rung: tried, accepted, cost; names the rungs that never help."""
    with view(call) as seen:
        begin = since_of(since, seen)
        facts = [story.facts for story in told(seen, labels=False).stories]
    rows = recovery([fact for fact in each if begin is None or fact.at >= begin] for each in facts)
    if as_json:
        terminal.data({"since": since, "rungs": [_facts(row) for row in rows]})
        return EXIT_OK
    if not rows:
        terminal.title("no failed attempt was tried again yet" + (f" since {since}" if since else ""))
        return EXIT_OK
    heads = ("class", "rung", "tried", "accepted", "95 % interval", "cost")
    terminal.rows(heads, [_cells(row) for row in rows])
    _never(rows)
    return EXIT_OK


def _never(rows: Sequence[Row]) -> None:
    for row in rows:
        if row.never:
            terminal.title(f"{row.rung} after {row.failure} has never helped: 0 of {row.tried}, at most {row.high:.0%}")


def _facts(row: Row) -> dict[str, Any]:
    return {
        "failure": row.failure,
        "rung": row.rung,
        "tried": row.tried,
        "accepted": row.accepted,
        "interval": [round(row.low, 4), round(row.high, 4)],
        "cost_usd": row.cost,
        "never_helps": row.never,
    }


def _cells(row: Row) -> list[str]:
    cost = terminal.dollars(row.cost) or "$0"
    return [row.failure, row.rung, str(row.tried), str(row.accepted), f"{row.low:.0%} to {row.high:.0%}", cost]


def since_of(text: str | None, seen: View) -> datetime | None:
    """When a day (midnight UTC), a time, a span before now (`30d`, `2w`) or a commit was. Raises Usage."""
    if text is None:
        return None
    for read in (_moment, _span):
        found = read(text)
        if found is not None:
            return found
    try:
        tree = seen.at(text)
    except Usage as fault:
        raise Usage(f"{text!r} is no day, no span of time and no commit", remedy=_SINCE) from fault
    return datetime.fromtimestamp(int(seen.repo.git.read("show", "-s", "--format=%ct", tree.commit).text), UTC)


_SINCE = "write it as 2026-11-22, 30d, 12h, or name a commit or a tag"
_WEEKS = re.compile(r"(\d{1,4})w")


def _moment(text: str) -> datetime | None:
    """`2026-11-22`, or with a time; UTC where it says no zone."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.astimezone(UTC) if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _span(text: str) -> datetime | None:
    weeks = _WEEKS.fullmatch(text)
    try:
        return now() - timedelta(seconds=7 * 86_400 * int(weeks[1]) if weeks is not None else seconds(text))
    except ValueError:
        return None
    except OverflowError as fault:
        raise Usage(f"{text!r} is before all history", remedy=_SINCE) from fault
