"""Cron lines and what falls due, against APScheduler's trigger and by hand around the changes of the clock."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from apscheduler.triggers.cron import CronTrigger
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hqd.core.schedule import Due, between, fall_due, following, parse, scheduled_by, source_of, zone_of
from hqd.model.playbook import Schedule

BERLIN = ZoneInfo("Europe/Berlin")
NAMES = ["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def walls(line: str, begin: str, count: int, zone: ZoneInfo = BERLIN) -> list[str]:
    found, moment = [], at(begin)
    for _number in range(count):
        following_moment = following(parse(line), zone, moment)
        assert following_moment is not None
        moment = following_moment
        found.append(moment.astimezone(zone).isoformat(timespec="minutes"))
    return found


def number_field(least: int, most: int) -> st.SearchStrategy[str]:
    number = st.integers(least, most)
    pair = st.tuples(number, number).map(sorted)
    return st.one_of(
        st.just("*"),
        number.map(str),
        st.integers(2, 20).map(lambda step: f"*/{step}"),
        pair.map(lambda ends: f"{ends[0]}-{ends[1]}"),
        st.tuples(pair, st.integers(1, 7)).map(lambda each: f"{each[0][0]}-{each[0][1]}/{each[1]}"),
        st.lists(number, min_size=1, max_size=4).map(lambda found: ",".join(map(str, found))),
    )


week = st.one_of(
    st.just("*"),
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True).map(",".join),
    st.tuples(st.integers(0, 6), st.integers(0, 6)).map(sorted).map(lambda ends: f"{NAMES[ends[0]]}-{NAMES[ends[1]]}"),
)


@settings(max_examples=80, deadline=None)
@given(
    number_field(0, 59),
    number_field(0, 23),
    number_field(1, 28),
    number_field(1, 12),
    week,
    st.integers(0, 3 * 366 * 1440),
)
def test_moments_are_those_of_apscheduler(
    minute: str, hour: str, day: str, month: str, weekday: str, begin: int
) -> None:
    """In UTC, and with at most one of the two day fields restricted: there cron(5) and APScheduler part ways."""
    if weekday != "*":
        day = "*"
    line = f"{minute} {hour} {day} {month} {weekday}"
    try:
        trigger = CronTrigger(minute=minute, hour=hour, day=day, month=month, day_of_week=weekday, timezone=UTC)
    except ValueError:
        assume(False)  # it refuses a step longer than its range
    moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=begin)
    for _number in range(4):
        expected = trigger.get_next_fire_time(None, moment + timedelta(seconds=1))
        found = following(parse(line), zone_of("UTC"), moment)
        assert found == expected, line
        assert found is not None
        moment = found


@settings(max_examples=40, deadline=None)
@given(number_field(0, 59), number_field(0, 23), week, st.integers(0, 365 * 24), st.integers(1, 5))
def test_looking_back_finds_what_looking_forward_passed(
    minute: str, hour: str, weekday: str, begin: int, hours: int
) -> None:
    cron = parse(f"{minute} {hour} * * {weekday}")
    after = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=begin)
    until, forward = after + timedelta(hours=hours), []
    moment = following(cron, BERLIN, after)
    while moment is not None and moment <= until:
        forward.append(moment)
        moment = following(cron, BERLIN, moment)
    assert between(cron, BERLIN, after, until, 10_000) == tuple(forward)
    assert between(cron, BERLIN, after, until, 3) == tuple(forward[-3:])


def test_a_fixed_hour_comes_once_on_each_day_of_the_year() -> None:
    days = [wall[:10] for wall in walls("30 2 * * *", "2026-01-01T03:00+01:00", 364)]
    assert len(set(days)) == 364


def test_an_hour_that_the_clock_skips_comes_an_hour_later() -> None:
    assert walls("30 2 * * *", "2026-03-28T12:00+01:00", 2) == ["2026-03-29T03:30+02:00", "2026-03-30T02:30+02:00"]


def test_an_hour_that_the_clock_shows_twice_comes_the_first_time() -> None:
    assert walls("30 2 * * *", "2026-10-24T12:00+02:00", 2) == ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"]


def test_every_hour_goes_by_real_time() -> None:
    spring = walls("0 * * * *", "2026-03-29T00:30+01:00", 3)
    autumn = walls("0 * * * *", "2026-10-25T01:30+02:00", 3)
    assert spring == ["2026-03-29T01:00+01:00", "2026-03-29T03:00+02:00", "2026-03-29T04:00+02:00"]
    assert autumn == ["2026-10-25T02:00+02:00", "2026-10-25T02:00+01:00", "2026-10-25T03:00+01:00"]


@pytest.mark.parametrize(
    ("line", "first"),
    [
        ("0 7 * * MON", "2026-11-23T07:00+01:00"),
        ("0 7 * * 7", "2026-11-22T07:00+01:00"),
        ("0 7 * * 0", "2026-11-22T07:00+01:00"),
        ("0 7 * * monday", "2026-11-23T07:00+01:00"),
        ("0 7 * * FRI-SUN", "2026-11-20T07:00+01:00"),
        ("0 7 13 * FRI", "2026-11-20T07:00+01:00"),
        ("0 7 19 * FRI", "2026-11-19T07:00+01:00"),
        ("*/20 7-9 1 jan,jul *", "2027-01-01T07:00+01:00"),
        ("0 0 29 2 *", "2028-02-29T00:00+01:00"),
        ("@monthly", "2026-12-01T00:00+01:00"),
    ],
)
def test_fields_mean_what_cron_means(line: str, first: str) -> None:
    assert walls(line, "2026-11-18T12:00+01:00", 1) == [first]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("0 7 * *", "4 fields"),
        ("60 7 * * *", "minute: 60 is not between 0 and 59"),
        ("0 7 * * FUNDAY", "day of week: 'FUNDAY' is no number"),
        ("0 7 5-3 * *", "runs backwards"),
        ("0 7 30 2 *", "never comes"),
        ("*/0 * * * *", "minute: 0 is not between 1"),
        ("", "0 fields"),
        ("0 7 L * *", "day of month: 'L' is no number"),
        ("0 7 * * mon#1", "is no number"),
    ],
)
def test_a_bad_line_names_its_field(line: str, fault: str) -> None:
    with pytest.raises(ValueError, match=re.escape(fault)):
        parse(line)


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc/passwd", "/etc/localtime"])
def test_a_time_zone_that_is_none_is_said(name: str) -> None:
    with pytest.raises(ValueError, match="time zone"):
        zone_of(name)


def weekly(**keys: str) -> Schedule:
    return Schedule.model_validate({"cron": "0 7 * * MON", "tz": "Europe/Berlin", "template": "w.md", **keys})


FIRST, SECOND, THIRD = (at(f"2026-11-{day}T07:00+01:00") for day in ("09", "16", "23"))
SINCE = at("2026-11-04T00:00+01:00")
LATE = at("2026-11-25T12:00+01:00")


@pytest.mark.parametrize(
    ("keys", "now", "busy", "expected"),
    [
        ({}, THIRD, False, Due((THIRD,), (), THIRD)),
        ({}, LATE, False, Due((THIRD,), (), THIRD)),
        ({}, LATE, True, Due((), (THIRD,), THIRD)),
        ({"overlap": "allow"}, LATE, True, Due((THIRD,), (), THIRD)),
        ({"catch_up": "none"}, LATE, False, Due((), (THIRD,), THIRD)),
        ({"catch_up": "none"}, THIRD + timedelta(minutes=4), False, Due((THIRD,), (), THIRD)),
        ({"catch_up": "all", "overlap": "allow"}, LATE, True, Due((FIRST, SECOND, THIRD), (), THIRD)),
        ({"catch_up": "all"}, LATE, False, Due((FIRST,), (), FIRST)),
        ({"catch_up": "all"}, LATE, True, Due((), (), SINCE)),
        ({}, at("2026-11-08T00:00+01:00"), False, Due((), (), SINCE)),
    ],
)
def test_what_falls_due(keys: dict[str, str], now: datetime, busy: bool, expected: Due) -> None:
    assert fall_due(weekly(**keys), SINCE, now, busy=busy) == expected


def test_a_year_of_minutes_is_caught_up_in_part_and_at_once() -> None:
    each_minute = Schedule(cron="* * * * *", template="x.md", catch_up="all", overlap="allow")
    due = fall_due(each_minute, LATE - timedelta(days=365), LATE, busy=False)
    assert len(due.drop) == 100
    assert due.until == LATE


def test_the_source_tells_playbook_and_moment() -> None:
    source = source_of("newsletter", THIRD, weekly())
    assert source == "schedule:newsletter@2026-11-23T07:00+01:00"
    assert scheduled_by(source) == "newsletter"
    assert scheduled_by("workspace/inbox/x.md") is None
