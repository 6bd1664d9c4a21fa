"""The forge's own CI as a gate of a review, reminders, and webhooks that wake."""

from __future__ import annotations

import json
import socket
from functools import partial
from pathlib import Path

from hqd.model.board import Task
from hqd.model.failure import ParkReason
from hqd.model.task import State
from hqd.testing.forge_state import Event
from tests.daemon.forge_words import Ahead, events, last, news, place, review_of, reviewed, rounds, said, theirs, up
from tests.daemon.headquarters import make, only, settle
from tests.daemon.target_repository import site
from tests.forge_hq import TASK, Forged

CHECKED = """
name = "article"
accepts = { tags = ["article"] }
[[steps]]
name = "write"
agent = "worker"
deliver = "content/{{ task.slug }}.md"
[[steps]]
name = "approve"
review = { reviewers = ["tim"], land = "LAND" }
gates = [{ kind = "forge_checks", names = ["build"], wait = "WAIT" }, { kind = "diff_limits", max_files = 1 }]
"""


def checked(land: str = "on_merge", wait: str = "60s") -> str:
    return CHECKED.replace("LAND", land).replace("WAIT", wait)


def waits(at: Forged, task: Task) -> str:
    """What `hqd why` says that it waits for."""
    return news(at).reviews[task.id].waits if task.id in news(at).reviews else ""


def test_a_red_check_goes_to_the_agent_once_for_each_head(tmp_path: Path) -> None:
    with place(tmp_path, checked()) as at, at.hq.daemon() as loop:
        task = up(at, loop)
        head = str(task.cursor.head)
        assert task.cursor.gates["forge_checks"] == "skip"
        at.forge.set_status(head, "build", "pending")
        settle(loop, lambda: "build (pending)" in waits(at, task))
        assert events(at, task)[-1] == "review_opened"
        at.forge.set_status(head, "build", "failure", "2 tests failed")
        again = reviewed(at, loop, head)
        finding = last(at, task, "feedback").findings[0]
        assert (finding.source, "2 tests failed" in finding.text) == ("gate:forge_checks", True)
        at.forge.set_status(str(again.cursor.head), "build", "failure", "1 test failed")
        third = reviewed(at, loop, again.cursor.head)
        at.forge.set_status(str(third.cursor.head), "build", "success")
        settle(loop)
        assert events(at, task).count("feedback") == 2
        assert said(at, "Answered in") == []


def test_an_approval_waits_for_the_checks_and_counts_when_they_are_green(tmp_path: Path) -> None:
    with place(tmp_path, checked("never")) as at, at.hq.daemon() as loop:
        task = up(at, loop)
        at.forge.approve(1, by="tim")
        settle(loop, lambda: "build (not begun)" in waits(at, task))
        settle(loop)
        assert events(at, task)[-1] == "review_opened"
        at.forge.set_status(str(task.cursor.head), "build", "success")
        settle(loop, lambda: not loop.live.tasks)
        assert events(at, task)[-1] == "done"


def test_a_check_that_never_says_anything_ends_at_a_person(tmp_path: Path) -> None:
    clock = Ahead()
    with place(tmp_path, checked(wait="1h")) as at, at.hq.daemon() as loop:
        clock.given(loop)
        task = up(at, loop)
        settle(loop, lambda: "build (not begun)" in waits(at, task))
        assert only(loop).state is State.REVIEW
        clock.hours = 1.1
        settle(loop, lambda: only(loop).state is State.BLOCKED)
        parked = last(at, task, "parked")
        assert parked.reason is ParkReason.GATE_ERROR
        assert "build (not begun)" in (parked.missing or "")


def test_a_persons_commits_pass_the_reviews_gates_again(tmp_path: Path) -> None:
    with place(tmp_path, checked()) as at, at.hq.daemon() as loop:
        task = up(at, loop)
        made = theirs(at, task, f"hqd/{task.id}")
        settle(loop, lambda: review_of(loop).head == made and only(loop).state is State.REVIEW)
        assert events(at, task)[-3:] == ["feedback", "claimed", "review_opened"]
        assert list(at.forge.pulls) == [1]


def test_a_persons_commits_that_fail_the_reviews_gates_are_for_a_person(tmp_path: Path) -> None:
    with place(tmp_path, checked()) as at, at.hq.daemon() as loop:
        task = up(at, loop)
        theirs(at, task, f"hqd/{task.id}")
        from tests.forge_scene import commit

        commit(at.bare, f"hqd/{task.id}", {"more.md": "x\n"}, f"hqd/{task.id}", "Too much")
        settle(loop, lambda: only(loop).state is State.BLOCKED)
        assert "files" in (last(at, task, "finished").message or "")


# -- reminders ------------------------------------------------------------------------------------------------

REMINDED = """
name = "article"
accepts = { tags = ["article"] }
[[steps]]
name = "write"
agent = "worker"
deliver = "content/{{ task.slug }}.md"
[[steps]]
name = "approve"
review = { reviewers = ["tim"], remind = "PERIOD" }
"""


REMINDER = "Still waits for a review"


def reminded(at: Forged, times: int) -> bool:
    return len(said(at, REMINDER)) == times


def test_a_reminder_is_one_comment_each_period_and_a_restart_does_not_remind_twice(tmp_path: Path) -> None:
    clock = Ahead()
    with place(tmp_path, REMINDED.replace("PERIOD", "1h")) as at:
        with at.hq.daemon() as loop:
            clock.given(loop)
            task = up(at, loop)
            for count in (1, 2):
                settle(loop)
                assert (events(at, task).count("feedback"), len(said(at, REMINDER))) == (count - 1, count - 1)
                before, clock.hours = review_of(loop).reminded, count * 1.1
                settle(loop, partial(reminded, at, count))
                assert review_of(loop).reminded != before
        told, asked = events(at, task), rounds(at)
        with at.hq.daemon() as loop:
            clock.given(loop)
            settle(loop, lambda: rounds(at) > asked + 1)
            settle(loop)
        assert events(at, task) == told
        assert reminded(at, 2)


def test_without_a_forge_a_reminder_is_a_notification(tmp_path: Path) -> None:
    told = tmp_path / "told.txt"
    from tests.daemon.headquarters import SETTINGS

    words = json.dumps(["sh", "-c", f'echo "$1" >> {told}', "-", "{{ reason }} {{ task.slug }}"])
    settings = f'{SETTINGS}\n[[notify]]\non = ["review"]\ncommand = {words}\n'
    hq = make(tmp_path, settings, article=REMINDED.replace("PERIOD", "1s"))
    with hq.daemon() as loop:
        hq.drop("a.md", TASK)
        settle(loop, lambda: told.exists() and "reminder a" in told.read_text())
        assert hq.events(only(loop).id)[-1] == "feedback"


# -- webhooks -------------------------------------------------------------------------------------------------


def test_a_webhook_wakes_and_a_forged_or_replayed_one_does_not(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with place(tmp_path, poll='"1h"') as at:
        text = (at.hq.root / "hqd.toml").read_text()
        at.hq.write("hqd.toml", f'{text}\n[webhook]\nlisten = "127.0.0.1:{port}"\nsecret = "secret:hook"\n')
        at.hq.commit()
        at.hq.env["HQD_SECRET_HOOK"] = "shared"
        url = f"http://127.0.0.1:{port}/"
        with at.hq.daemon() as loop:
            task = up(at, loop)
            settle(loop)
            at.forge.approve(1, by="tim")
            event = at.forge.outbox[-1]
            seen = len(at.server.requests)
            assert at.server.deliver(event, "guessed", url) == 401
            settle(loop)
            assert (len(at.server.requests), review_of(loop).approved) == (seen, False)
            assert at.server.deliver(event, "shared", url) == 204
            settle(loop, lambda: review_of(loop).approved)  # the next poll is an hour away
            settle(loop)
            seen = len(at.server.requests)
            assert at.server.deliver(event, "shared", url) == 202
            settle(loop)
            assert len(at.server.requests) == seen
            assert events(at, task)[-1] == "feedback"


def test_an_address_that_is_taken_is_told_and_does_not_stop_hqd(tmp_path: Path) -> None:
    with place(tmp_path) as at, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        text = (at.hq.root / "hqd.toml").read_text()
        listen = f'[webhook]\nlisten = "127.0.0.1:{taken.getsockname()[1]}"\nsecret = "secret:hook"\n'
        at.hq.write("hqd.toml", f"{text}\n{listen}")
        at.hq.commit()
        with at.hq.daemon() as loop:
            up(at, loop)
        assert any("cannot listen for webhooks" in note for note in at.hq.shown.notes)


def test_a_push_to_a_target_repository_is_fetched_when_a_webhook_names_it(tmp_path: Path) -> None:
    """Nothing of the payload is believed, and a push elsewhere fetches nothing here."""
    with place(tmp_path) as at, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        people = site(tmp_path, at.hq.env)
        text = (at.hq.root / "hqd.toml").read_text().replace("[hq]\n", '[hq]\nfetch = "1h"\n')
        text += f'[webhook]\nlisten = "127.0.0.1:{port}"\nsecret = "secret:hook"\n'
        text += f'[repos.site]\nurl = "{people.remote}"\nforge_repo = "acme/site"\n'
        at.hq.write("hqd.toml", text)
        page = (at.hq.root / "playbooks/article.toml").read_text()
        at.hq.write("playbooks/article.toml", page.replace("accepts", 'repo = "site"\naccepts'))
        at.hq.commit()
        at.hq.env["HQD_SECRET_HOOK"] = "shared"
        probe.close()
        with at.hq.daemon() as loop:
            at.hq.drop("a.md", TASK)
            settle(loop, lambda: "forge-site" in loop.live.holds)  # the fake serves acme/hq alone: the task waits
            settle(loop)
            before = loop.parts.places("site").branches.main()
            pushed = people.commit({"README.md": "More.\n"}, "By hand")
            for name, there in (("acme/other", before), ("Acme/Site", pushed)):
                at.forge.name = name
                told = Event(f"push-{name}", "push", "", None, "tim")
                assert at.server.deliver(told, "shared", f"http://127.0.0.1:{port}/") == 204
                at.forge.name = "acme/hq"
                settle(loop)
                assert loop.parts.places("site").branches.main() == there
