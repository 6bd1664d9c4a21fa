"""Lessons in force: shadow is recorded and seen by nobody, warn is told, enforce stops; the last good version stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from hqd.codec.lesson import write_lesson
from hqd.daemon.loop import Loop
from hqd.model.gate import GateSpec
from hqd.model.lesson import Lesson, LessonContext, LessonEvidence, LessonStatus, Scope
from hqd.model.record import EventKind, Record
from tests.daemon.headquarters import SETTINGS, Headquarters, make, only, settle

BAD, GOOD = "You get your money back at once.", "Write to us and we will see."
GATES = """
name = "general"
[[steps]]
name = "work"
agent = "worker"
on_fail = [{ retry = 1 }, "human"]
gates = [{ kind = "word_count", min = 3 }]
prompt_text = "Do it. {% for name in gates %}{{ name }}={{ gates[name] }} {% endfor %}"
"""


def lesson(status: LessonStatus, id_: str = "L-0001", **fields: object) -> Lesson:
    whole = {
        "id": id_,
        "status": status,
        "topic": "refunds",
        "scope": Scope(playbooks=("general",)),
        "born_at": "work",
        "gate": GateSpec(name="g", kind="must_not_include", params={"values": ["money back"]}),
        "context": LessonContext(text="Never promise refunds."),
        "evidence": (LessonEvidence(path="lessons/cases/x.md"),),
        "account": "# No refunds\n\nWhat happened.",
        **fields,
    }
    return Lesson.model_validate(whole)


@pytest.fixture
def hq(tmp_path: Path) -> Headquarters:
    return make(tmp_path, SETTINGS + "[lessons]\nrecord = false\n", general=GATES)


def put(hq: Headquarters, each: Lesson) -> str:
    path = f"lessons/{each.id}-x.md"
    hq.write(path, write_lesson(each).decode())
    hq.commit(f"{each.id} {each.status.value}")
    return path


def attempts(hq: Headquarters, task: str) -> list[Record]:
    return [record for record in hq.records(task) if record.event is EventKind.FINISHED]


def done(hq: Headquarters, loop: Loop, name: str) -> str:
    hq.drop(f"{name}.md")
    settle(loop)
    found = [file for state in ("done", "blocked") for file in hq.folder(state) if f"-{name}-" in file]
    return found[0].removesuffix(".md")


def test_a_lesson_in_shadow_is_recorded_and_stands_in_no_prompt_finding_note_or_message(hq: Headquarters) -> None:
    hq.answers({"attempt": 1, "text": "money back"}, {"text": "the money back please"})
    put(hq, lesson(LessonStatus.SHADOW))
    with hq.daemon() as loop:
        task = done(hq, loop, "one")
    first, second = attempts(hq, task)
    verdicts = [(each.name, each.level.value, each.status.value) for each in first.gates]
    assert ("lesson:L-0001", "shadow", "fail") in verdicts
    assert second.outcome is not None
    assert second.outcome.value == "passed"
    assert [finding.source for finding in first.findings] == ["gate:word_count"]
    for record in (first, second):
        prompt = hq.git("show", f"main:{record.prompt}")
        assert "lesson:" not in prompt
        assert "refunds" not in prompt
    assert "lesson:" not in hq.git("log", "--format=%B", "main")
    assert "lesson:L-0001" not in first.cursor.gates


def test_a_warning_lesson_tells_the_agent_and_stops_nothing(hq: Headquarters) -> None:
    hq.answers({"attempt": 1, "text": "money back"}, {"text": "the money back please"})
    put(hq, lesson(LessonStatus.WARN))
    with hq.daemon() as loop:
        task = done(hq, loop, "one")
    first, second = attempts(hq, task)
    assert "gate:lesson:L-0001" in [finding.source for finding in first.findings]
    assert "Never promise refunds." in hq.git("show", f"main:{first.prompt}")
    manifest = hq.git("show", f"main:{first.manifest}")
    assert '"rule": "lesson:L-0001"' in manifest
    assert [each.level.value for each in second.gates if each.name == "lesson:L-0001"] == ["warn"]
    assert second.outcome is not None
    assert second.outcome.value == "passed"


def test_an_enforcing_lesson_stops_the_attempt_and_the_retry_is_told(hq: Headquarters) -> None:
    hq.answers({"attempt": 1, "text": BAD}, {"attempt": 2, "text": GOOD})
    put(hq, lesson(LessonStatus.ENFORCE))
    with hq.daemon() as loop:
        task = done(hq, loop, "one")
    first, second = attempts(hq, task)
    assert (first.outcome, first.failure) == ("failed", "gate")
    assert [finding.source for finding in first.findings] == ["gate:lesson:L-0001"]
    assert "money back" in hq.git("show", f"main:{second.prompt}")
    assert second.outcome == "passed"


def test_scope_decides_which_steps_agents_tags_and_playbooks_a_lesson_is_for(hq: Headquarters) -> None:
    hq.answers({"text": BAD})
    put(hq, lesson(LessonStatus.ENFORCE, "L-0001", scope=Scope(playbooks=("article",))))
    put(hq, lesson(LessonStatus.ENFORCE, "L-0002", scope=Scope(agents=("strong",))))
    put(hq, lesson(LessonStatus.ENFORCE, "L-0003", born_at="other"))
    put(hq, lesson(LessonStatus.SHADOW, "L-0004", scope=Scope(tags=("money",))))
    with hq.daemon() as loop:
        plain = attempts(hq, done(hq, loop, "plain"))[0]
        assert [each.name for each in plain.gates] == ["word_count"]
        hq.drop("tagged.md", "---\ntags: [money]\n---\n# T\n")
        settle(loop)
        tagged = next(file for file in hq.folder("done") if "-tagged-" in file).removesuffix(".md")
        assert [each.name for each in attempts(hq, tagged)[0].gates] == ["word_count", "lesson:L-0004"]


def test_the_pin_names_the_lessons_in_scope_and_a_change_counts_from_the_next_claim_or_round(hq: Headquarters) -> None:
    hq.answers({"text": BAD})
    path = put(hq, lesson(LessonStatus.ENFORCE))
    put(hq, lesson(LessonStatus.ENFORCE, "L-0002", scope=Scope(playbooks=("article",))))
    blob = hq.git("rev-parse", f"main:{path}")
    with hq.daemon() as loop:
        hq.drop("one.md")
        settle(loop)
        task = only(loop)
        assert task.state.value == "blocked"
        assert task.cursor.pin is not None
        assert task.cursor.pin.lessons == (blob,)
        put(hq, lesson(LessonStatus.RETIRED))
        hq.ask(loop, "retry", task.id)
        settle(loop)
        last = attempts(hq, task.id)[-1]
        assert last.cursor.pin is not None
        assert last.cursor.pin.lessons == ()
        assert (last.outcome, [each.name for each in last.gates]) == ("passed", ["word_count"])


def test_a_lesson_edited_into_nonsense_stays_in_force_as_it_was_also_after_a_restart(hq: Headquarters) -> None:
    hq.answers({"text": BAD})
    path = put(hq, lesson(LessonStatus.ENFORCE))
    with hq.daemon() as loop:
        assert only_lessons(loop) == ["L-0001"]
        hq.write(path, "---\nid: L-0001\nstatus: enforced\n---\nnonsense\n")
        hq.write("playbooks/general.toml", GATES.replace("retry = 1", "retry = 2"))
        hq.commit("nonsense")
        settle(loop)
        assert only_lessons(loop) == ["L-0001"]
        told = [str(each) for each in loop.all_problems()]
        assert any(line.startswith(f"{path}:3: status: has to be") for line in told), told
        assert any("L-0001 stays in force (enforce) as it was before" in line for line in told), told
        rungs = loop.parts.rulebook.current.playbooks["general"].steps[0].on_fail
        assert rungs is not None
        assert rungs[0].retry == 2
        assert attempts(hq, done(hq, loop, "one"))[0].failure == "gate"
    with hq.daemon() as loop:
        assert only_lessons(loop) == ["L-0001"]
        hq.git("rm", "-q", path)
        hq.git("commit", "-qm", "away")
        settle(loop)
        assert only_lessons(loop) == []


def test_of_two_files_with_one_id_the_first_counts_and_the_other_is_named(hq: Headquarters) -> None:
    put(hq, lesson(LessonStatus.ENFORCE))
    hq.write("lessons/L-0001-y.md", write_lesson(lesson(LessonStatus.WARN)).decode())
    hq.commit("twice")
    with hq.daemon() as loop:
        settle(loop)
        assert [each.status for each in loop.parts.rulebook.current.lessons] == [LessonStatus.ENFORCE]
        told = [str(each) for each in loop.all_problems()]
        assert any("lessons/L-0001-y.md:2: id: L-0001 is the id of lessons/L-0001-x.md already" in e for e in told), (
            told
        )


def test_of_two_that_contradict_on_a_topic_the_second_stays_out_of_force_and_is_named(hq: Headquarters) -> None:
    put(hq, lesson(LessonStatus.ENFORCE))
    wants = GateSpec(name="g", kind="must_include", params={"values": ["your money back"]})
    put(hq, lesson(LessonStatus.SHADOW, "L-0002", gate=wants))
    with hq.daemon() as loop:
        settle(loop)
        assert only_lessons(loop) == ["L-0001"]
        told = [str(each) for each in loop.all_problems()]
        assert any("L-0002-x.md" in line and "contradicts L-0001 on refunds" in line for line in told), told


@pytest.mark.parametrize(("name", "status"), [("L-0000", "shadow"), ("L-0001", "warn")])
def test_what_was_in_force_first_stays_whatever_the_names_of_files_say(
    hq: Headquarters, name: str, status: str
) -> None:
    """Ids follow from no order: one that contradicts, or takes the same id, may stand before it in the folder."""
    put(hq, lesson(LessonStatus.ENFORCE))
    with hq.daemon() as loop:
        assert only_lessons(loop) == ["L-0001"]
        wants = GateSpec(name="g", kind="must_include", params={"values": ["your money back"]})
        hq.write("lessons/L-0000-a.md", write_lesson(lesson(LessonStatus(status), name, gate=wants)).decode())
        if name == "L-0001":
            (hq.root / "lessons/L-0000-a.md").rename(hq.root / "lessons/L-0001-a.md")
        hq.commit("a second one")
        settle(loop)
        assert only_lessons(loop) == ["L-0001"]
        assert [each.status.value for each in loop.parts.rulebook.current.lessons] == ["enforce"]
        told = [str(each) for each in loop.all_problems()]
        if name == "L-0000":
            assert any("L-0000 stays out of force: L-0001 was there before it" in line for line in told), told
    with hq.daemon() as loop:
        assert [each.status.value for each in loop.parts.rulebook.current.lessons] == ["enforce"], "after a restart too"


def test_texts_of_lessons_are_capped_together_and_what_leaves_is_named_in_the_manifest(tmp_path: Path) -> None:
    hq = make(tmp_path, SETTINGS + "[lessons]\nrecord = false\ncontext_tokens = 14\n", general=GATES)
    put(hq, lesson(LessonStatus.WARN, "L-0001", gate=None, context=LessonContext(text="Say nothing of the weather.")))
    put(hq, lesson(LessonStatus.ENFORCE, "L-0002", gate=None, context=LessonContext(text="Say nothing of the moon.")))
    with hq.daemon() as loop:
        record = attempts(hq, done(hq, loop, "one"))[0]
    prompt, manifest = hq.git("show", f"main:{record.prompt}"), hq.git("show", f"main:{record.manifest}")
    assert "moon" in prompt
    assert "weather" not in prompt
    assert "lessons take at most 14 tokens of a prompt here" in manifest
    assert "lesson:L-0001" in manifest


def test_a_warning_is_hidden_on_the_held_out_share_of_tasks(tmp_path: Path) -> None:
    hq = make(tmp_path, SETTINGS + "[lessons]\nrecord = false\nholdout = 0.99\n", general=GATES)
    put(hq, lesson(LessonStatus.WARN))
    hq.answers({"text": BAD})
    with hq.daemon() as loop:
        record = attempts(hq, done(hq, loop, "one"))[0]
    assert [each.level.value for each in record.gates if each.name == "lesson:L-0001"] == ["shadow"]


def only_lessons(loop: Loop) -> list[str]:
    return [each.id for each in loop.parts.rulebook.current.lessons]
