"""Schedules through the daemon: dropped when due, once, also after a restart, a clone, and a long sleep."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hqd.daemon.loop import Loop
from hqd.model.names import slug_of
from tests.daemon.headquarters import Headquarters, make, settle

BEFORE = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
MONDAY = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
WEEK = timedelta(days=7)
FILE = "workspace/schedules/weekly.toml"
TEMPLATE = "# News of {{ due.strftime('%d %B') }}\n\nWritten on {{ now.strftime('%Y-%m-%d') }}.\n"


@dataclass
class Clock:
    """Stands still until it is set."""

    at: datetime

    def now(self) -> datetime:
        return self.at


def weekly(tmp_path: Path, keys: str = "", step: str = 'agent = "worker"') -> Headquarters:
    schedule = f'schedule = {{ cron = "0 7 * * MON", tz = "Europe/Berlin", template = "weekly/news.md"{keys} }}'
    hq = make(tmp_path, weekly=f'name = "weekly"\n{schedule}\n[[steps]]\nname = "write"\n{step}\n')
    hq.write("playbooks/weekly/news.md", TEMPLATE)
    hq.commit("a template")
    return hq


@contextmanager
def at(hq: Headquarters, clock: Clock) -> Iterator[Loop]:
    with hq.daemon() as loop:
        loop.parts = replace(loop.parts, clock=clock)
        yield loop
        assert hq.clean() == ""


def done(hq: Headquarters) -> list[str]:
    return [name[:-3] for name in hq.folder("done")]


def commits(hq: Headquarters) -> int:
    return int(hq.git("rev-list", "--count", "main"))


def test_a_moment_that_comes_drops_the_rendered_template_once(tmp_path: Path) -> None:
    hq, clock = weekly(tmp_path), Clock(BEFORE)
    with at(hq, clock) as loop:
        settle(loop)
        assert not loop.live.tasks
        assert loop.schedules.next == MONDAY
        clock.at = MONDAY + timedelta(seconds=1)
        settle(loop)
        settle(loop)
    (task,) = done(hq)
    assert slug_of(task) == "news"
    accepted = hq.records(task)[0]
    assert (accepted.source, accepted.playbook) == ("schedule:weekly@2026-11-23T07:00+01:00", "weekly")
    text = next((hq.root / "workspace/done").rglob(f"{task}.md")).read_text()
    assert text == "# News of 23 November\n\nWritten on 2026-11-23.\n"
    assert "until = 2026-11-23 06:00:00+00:00" in (hq.root / FILE).read_text()


def test_neither_a_restart_nor_a_clone_drops_it_a_second_time(tmp_path: Path) -> None:
    hq, clock = weekly(tmp_path), Clock(BEFORE)
    with at(hq, clock) as loop:
        settle(loop)
        clock.at = MONDAY
        settle(loop)
    with at(hq, clock) as loop:
        settle(loop)
        settle(loop)
    assert len(done(hq)) == 1
    hq.git("clone", "-q", str(hq.root), str(tmp_path / "clone"))
    clone = Headquarters(tmp_path / "clone", {**hq.env, "XDG_CACHE_HOME": str(tmp_path / "other")})
    before = commits(clone)
    with at(clone, clock) as loop:
        settle(loop)
        assert not loop.live.tasks
    assert commits(clone) == before


def test_a_new_schedule_drops_nothing_for_the_past(tmp_path: Path) -> None:
    hq, clock = weekly(tmp_path), Clock(MONDAY + timedelta(hours=1))
    with at(hq, clock) as loop:
        settle(loop)
        assert loop.schedules.next == MONDAY + WEEK
    assert done(hq) == []
    assert "schedule weekly: in force, first at 2026-11-30T07:00+01:00" in hq.git("log", "--format=%s")


def missed(tmp_path: Path, keys: str, step: str = 'agent = "worker"', weeks: int = 3) -> tuple[Headquarters, Clock]:
    hq, clock = weekly(tmp_path, keys, step), Clock(BEFORE)
    with at(hq, clock) as loop:
        settle(loop)
    clock.at = MONDAY + (weeks - 1) * WEEK + timedelta(hours=3)
    return hq, clock


def sources(hq: Headquarters, tasks: list[str]) -> list[str]:
    return sorted((hq.records(task)[0].source or "")[16:26] for task in tasks)


def test_of_missed_moments_the_latest_is_caught_up(tmp_path: Path) -> None:
    hq, clock = missed(tmp_path, "")
    with at(hq, clock) as loop:
        settle(loop)
    assert sources(hq, done(hq)) == ["2026-12-07"]


def test_of_missed_moments_none_is_caught_up_where_it_is_said(tmp_path: Path) -> None:
    hq, clock = missed(tmp_path, ', catch_up = "none"')
    with at(hq, clock) as loop:
        settle(loop)
    assert done(hq) == []
    assert "schedule weekly: 2026-12-07T07:00+01:00 skipped: missed" in hq.git("log", "--format=%s")


def test_all_missed_moments_are_caught_up_where_it_is_said(tmp_path: Path) -> None:
    hq, clock = missed(tmp_path, ', catch_up = "all", overlap = "allow"')
    with at(hq, clock) as loop:
        settle(loop)
    assert sources(hq, done(hq)) == ["2026-11-23", "2026-11-30", "2026-12-07"]


def test_all_and_no_overlap_are_one_after_the_other(tmp_path: Path) -> None:
    hq, clock = missed(tmp_path, ', catch_up = "all"', 'ask = { question = "Well?" }')
    with at(hq, clock) as loop:
        for number in (1, 2, 3):
            settle(loop)
            (task,) = loop.live.tasks
            assert hq.ask(loop, "answer", task, text="yes").ok
            settle(loop, lambda number=number: len(done(hq)) == number)  # type: ignore[misc]
        settle(loop)
        assert not loop.live.tasks
    assert len(done(hq)) == 3


def test_while_one_is_open_the_next_is_skipped_and_said(tmp_path: Path) -> None:
    hq, clock = weekly(tmp_path, step='ask = { question = "Well?" }'), Clock(BEFORE)
    with at(hq, clock) as loop:
        settle(loop)
        for week in (0, 1):
            clock.at = MONDAY + week * WEEK
            settle(loop)
        assert len(loop.live.tasks) == 1
    assert "schedule weekly: 2026-11-30T07:00+01:00 skipped: the one before is still open" in hq.git(
        "log", "--format=%s"
    )


def test_overlap_is_allowed_where_it_is_said(tmp_path: Path) -> None:
    hq, clock = weekly(tmp_path, ', overlap = "allow"', 'ask = { question = "Well?" }'), Clock(BEFORE)
    with at(hq, clock) as loop:
        settle(loop)
        for week in (0, 1):
            clock.at = MONDAY + week * WEEK
            settle(loop)
        assert len(loop.live.tasks) == 2


def test_a_changed_schedule_begins_anew_and_one_that_is_gone_is_forgotten(tmp_path: Path) -> None:
    hq, clock = weekly(tmp_path), Clock(BEFORE)
    text = (hq.root / "playbooks/weekly.toml").read_text()
    with at(hq, clock) as loop:
        settle(loop)
        clock.at = MONDAY - timedelta(minutes=1)
        hq.write("playbooks/weekly.toml", text.replace("0 7 * * MON", "0 6 * * MON"))
        hq.git("commit", "-qam", "earlier")
        settle(loop)
        assert not loop.live.tasks
        assert loop.schedules.next == MONDAY + WEEK - timedelta(hours=1)
        hq.write("playbooks/weekly.toml", "\n".join(line for line in text.splitlines() if "schedule" not in line))
        hq.git("commit", "-qam", "never")
        settle(loop, lambda: not (hq.root / FILE).exists())
        assert loop.schedules.next is None
    assert done(hq) == []


def test_a_template_that_cannot_be_rendered_is_a_problem_and_is_dropped_once_it_is_mended(tmp_path: Path) -> None:
    hq, clock = weekly(tmp_path), Clock(BEFORE)
    hq.write("playbooks/weekly/news.md", "{{ 1 // (due.year - 2026) }}\n")
    hq.commit()
    with at(hq, clock) as loop:
        settle(loop)
        clock.at = MONDAY
        settle(loop, lambda: any("nothing was dropped" in problem.message for problem in loop.all_problems()))
        hq.write("playbooks/weekly/news.md", TEMPLATE)
        hq.git("commit", "-qam", "mended")
        settle(loop, lambda: bool(done(hq)))
