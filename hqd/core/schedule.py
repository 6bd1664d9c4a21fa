"""Schedules: a five-field cron line in a time zone, and which of its moments are to be dropped as tasks now. Pure.

`minute hour day-of-month month day-of-week`, each `*`, a number, a name (`MON`, `JAN`), a range `a-b`, a step
`*/n` or `a-b/n`, or a list of these with commas; `0` and `7` are both Sunday. Where both day fields are restricted,
either may fit, as in cron(5). `@hourly @daily @weekly @monthly @yearly` are known.

Moments are those of the wall clock. With fixed hours each comes exactly once: one that the clock skips in spring comes
as much later as the clock was put forward, one that it shows twice in autumn comes the first time. With `*` in the
hour field it goes by real time: what the clock skips does not come, what it shows twice comes twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from hqd.model.playbook import Schedule

PUNCTUAL = timedelta(minutes=5)
"""`catch_up = "none"`: so late may hqd be; what is older counts as missed."""

MOST_CAUGHT_UP = 100
"""`catch_up = "all"`: the newest so many."""

_HORIZON = 9 * 366  # days: from one 29 February to the next there may be eight years
_MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_MONTHS = (
    "january february march april may june july august september october november december".split()  # noqa: SIM905
)
_WEEKDAYS = "sunday monday tuesday wednesday thursday friday saturday".split()  # noqa: SIM905
"""Written in full or by their first three letters."""

_FIELDS: tuple[tuple[str, int, int, list[str]], ...] = (
    ("minute", 0, 59, []),
    ("hour", 0, 23, []),
    ("day of month", 1, 31, []),
    ("month", 1, 12, _MONTHS),
    ("day of week", 0, 7, _WEEKDAYS),
)


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron line as sets. `weekdays`: 0 is Sunday. `hourly`: the hour field begins with `*`."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool
    any_weekday: bool
    hourly: bool

    def on(self, day: date) -> bool:
        """Whether it comes at all on a day."""
        if day.month not in self.months:
            return False
        in_month, in_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        if self.any_day or self.any_weekday:
            return in_month and in_week
        return in_month or in_week


@lru_cache(maxsize=1000)
def parse(line: str) -> Cron:
    """Raises ValueError that names the field."""
    fields = _MACROS.get(line.strip().lower(), line).split()
    if len(fields) != len(_FIELDS):
        raise ValueError(f"{line!r} has {len(fields)} fields; cron has 5: minute hour day-of-month month day-of-week")
    minutes, hours, days, months, weekdays = (_field(text, *about) for text, about in zip(fields, _FIELDS, strict=True))
    cron = Cron(
        minutes=tuple(sorted(minutes)),
        hours=tuple(sorted(hours)),
        days=days,
        months=months,
        weekdays=frozenset(number % 7 for number in weekdays),
        any_day=fields[2].startswith("*"),
        any_weekday=fields[4].startswith("*"),
        hourly=fields[1].startswith("*"),
    )
    leap_year = date(2024, 1, 1)
    if not any(cron.on(leap_year + timedelta(days=number)) for number in range(366)) and cron.any_weekday:
        raise ValueError(f"{line!r} never comes: no month has such a day")
    return cron


def _field(text: str, name: str, least: int, most: int, names: list[str]) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        step = _number(step_text, name, 1, most, []) if slash else 1
        if span == "*":
            first, last = least, most - (1 if name == "day of week" else 0)
        else:
            begin, dash, end = span.partition("-")
            first = _number(begin, name, least, most, names)
            last = _number(end, name, least, most, names) if dash else (most if slash else first)
            if last < first and names is _WEEKDAYS:
                last += 7  # SAT-SUN, FRI-MON
        if last < first:
            raise ValueError(f"{name}: {span!r} runs backwards")
        found.update(number % 7 if names is _WEEKDAYS else number for number in range(first, last + 1, step))
    return frozenset(found)


def _number(text: str, name: str, least: int, most: int, names: list[str]) -> int:
    word = text.lower()
    for place, full in enumerate(names):
        if word in (full, full[:3]):
            return place + (least if names is _MONTHS else 0)
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{name}: {text!r} is no number" + (f" and no name of a {name}" if names else ""))
    if not least <= int(text) <= most:
        raise ValueError(f"{name}: {text} is not between {least} and {most}")
    return int(text)


def zone_of(name: str) -> ZoneInfo:
    """The time zone of that name. Raises ValueError."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as fault:
        raise ValueError(f"there is no time zone {name!r}") from fault


def following(cron: Cron, zone: ZoneInfo, after: datetime) -> datetime | None:
    """The first moment after `after`, in UTC; None where there is none in nine years."""
    day = after.astimezone(zone).date() - timedelta(days=1)
    for _number_of_day in range(_HORIZON):
        if cron.on(day):
            for moment in _moments(cron, zone, day):
                if moment > after:
                    return moment
        day += timedelta(days=1)
    return None


def between(cron: Cron, zone: ZoneInfo, after: datetime, until: datetime, most: int) -> tuple[datetime, ...]:
    """The newest `most` moments in (after, until], oldest first, in UTC."""
    found: list[datetime] = []
    day, first = until.astimezone(zone).date() + timedelta(days=1), after.astimezone(zone).date() - timedelta(days=1)
    while day >= first and len(found) < most:
        if cron.on(day):
            found += [moment for moment in reversed(_moments(cron, zone, day)) if after < moment <= until]
        day -= timedelta(days=1)
    return tuple(sorted(set(found)))[-most:]


def _moments(cron: Cron, zone: ZoneInfo, day: date) -> list[datetime]:
    return sorted(set(_of_day(cron, zone, day)))


def _of_day(cron: Cron, zone: ZoneInfo, day: date) -> Iterator[datetime]:
    midnight, next_one = (datetime.combine(each, time(), zone) for each in (day, day + timedelta(days=1)))
    if midnight.utcoffset() == next_one.utcoffset():
        start = midnight.astimezone(UTC)
        yield from (start + timedelta(hours=hour, minutes=minute) for hour in cron.hours for minute in cron.minutes)
        return
    for hour in cron.hours:
        for minute in cron.minutes:
            shown = datetime.combine(day, time(hour, minute))
            first, second = (shown.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
            exists = first.astimezone(zone).replace(tzinfo=None, fold=0) == shown
            if exists or not cron.hourly:
                yield first
            if exists and cron.hourly:
                yield second  # the same moment but in the hour that comes twice


@dataclass(frozen=True, slots=True)
class Due:
    """What falls due: `drop` oldest first, `skipped` by overlap or as missed, and up to when all is settled now."""

    drop: tuple[datetime, ...]
    skipped: tuple[datetime, ...]
    until: datetime


def fall_due(schedule: Schedule, since: datetime, now: datetime, *, busy: bool) -> Due:
    """What to drop now, if all up to `since` is settled. `busy`: a task of this schedule is still open.

    `catch_up` says what becomes of moments that passed meanwhile: `none` (later than five minutes is too late),
    `latest` (one task for all of them), `all` (each its own, the newest 100). `overlap = "skip"`: while one is open,
    others are passed over; with `catch_up = "all"` they wait for it instead. Raises ValueError.
    """
    cron, zone = parse(schedule.cron), zone_of(schedule.tz)
    most = MOST_CAUGHT_UP if schedule.catch_up == "all" else 1
    passed = between(cron, zone, since, now, most)
    if not passed:
        return Due((), (), since)
    if schedule.catch_up == "none" and now - passed[-1] > PUNCTUAL:
        return Due((), passed, passed[-1])
    if schedule.overlap == "allow":
        return Due(passed, (), passed[-1])
    if schedule.catch_up == "all":
        return Due((), (), since) if busy else Due(passed[:1], (), passed[0])
    return Due((), passed, passed[-1]) if busy else Due(passed, (), passed[-1])


def source_of(playbook: str, due: datetime, schedule: Schedule) -> str:
    """The source of a scheduled task, which tells it from all others: `schedule:NAME@2026-11-23T07:00+01:00`."""
    return f"{prefix_of(playbook)}{due.astimezone(zone_of(schedule.tz)).isoformat(timespec='minutes')}"


def prefix_of(playbook: str) -> str:
    """What the sources of all tasks of a playbook's schedule begin with."""
    return f"schedule:{playbook}@"


def scheduled_by(source: str | None) -> str | None:
    """The playbook whose schedule a task came from."""
    if source is None or not source.startswith("schedule:"):
        return None
    return source.removeprefix("schedule:").rpartition("@")[0] or None
