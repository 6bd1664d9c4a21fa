"""`hqd lessons new`: a lesson by hand, from an attempt of a task or from a bad and a good file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, cast

from hqd.cli import terminal
from hqd.cli.board.finding import Told, find
from hqd.cli.board.reading import View
from hqd.cli.call import Call
from hqd.cli.gate import written
from hqd.cli.lessons.book import Shelf, facts, now, shelf
from hqd.cli.words import person
from hqd.codec import layout
from hqd.codec.lesson import write_lesson
from hqd.core.batch import blob_id
from hqd.core.lessons.teaching import REVIEW_AFTER, WRONG_ACCEPTANCE, file_name, lesson_id, signature
from hqd.core.secret_scan import scan
from hqd.daemon.lessons.desk import Tried
from hqd.errors import EXIT_OK, Expected, SecretFound, Usage
from hqd.gates.registry import Registry
from hqd.model.failure import Outcome
from hqd.model.gate import GateSpec, GateStatus
from hqd.model.lesson import Lesson, LessonContext, LessonEvidence, LessonStatus, Scope
from hqd.model.record import EventKind, Record
from hqd.model.task import State


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for on the command line."""

    source: str | None = None  # TASK[/ATTEMPT]
    bad: Path | None = None
    good: Path | None = None
    kind: str | None = None
    settings: tuple[str, ...] = ()
    pick: int | None = None
    playbook: str | None = None
    step: str | None = None
    topic: str | None = None
    text: str | None = None  # for agents
    title: str | None = None


@dataclass(frozen=True, slots=True)
class _Pair:
    """A bad text, its correction, and what the lesson says of them."""

    bad: str
    good: str | None
    evidence: LessonEvidence
    files: tuple[tuple[str, bytes], ...]
    playbook: str | None
    step: str | None
    caught_at: str | None
    class_: str
    story: str
    signature: str | None = None


def new(call: Call, wanted: Wanted, *, as_json: bool) -> int:
    """Writes lessons/L-XXXX-slug.md into the working tree; a person commits it. Raises Usage, SecretFound."""
    if (wanted.source is None) == (wanted.bad is None):
        raise Usage("say where it comes from", remedy="--from TASK[/ATTEMPT], or --bad FILE --good FILE")
    with shelf(call) as found:
        taken = {lesson.id for lesson in found.book.values()}
        name = lesson_id(f"{wanted} {now().isoformat()}", taken)
        pair = _of_task(found, wanted) if wanted.source is not None else _of_files(found, wanted, name)
        lesson = _draft(found, wanted, pair, name)
        tried: list[Tried] = []
        if wanted.kind is not None:
            spec = written(wanted.kind, wanted.settings, cast(Registry, found.gates))
            lesson = lesson.model_copy(update={"gate": _named(spec, lesson), "variants": 1})
        elif pair.good is not None:
            count, tried = found.desk.suggest(lesson, pair.bad, pair.good)
            lesson = _picked(lesson, tried, wanted.pick, count)
        path = _write(found, lesson, pair)
        if as_json:
            rows = [
                {"gate": each.written, "passes": each.passes, "tested": each.tested, "why": each.why} for each in tried
            ]
            terminal.data({**facts(lesson), "path": path, "suggestions": rows})
            return EXIT_OK
        _print(found, lesson, path, pair, tried)
    return EXIT_OK


def _draft(found: Shelf, wanted: Wanted, pair: _Pair, name: str) -> Lesson:
    today = now().date()
    playbook = wanted.playbook or pair.playbook
    step = wanted.step or pair.step
    context = LessonContext(text=wanted.text) if wanted.text else None
    title = wanted.title or (f"{step}: {pair.class_}" if step else pair.class_)
    return Lesson(
        id=name,
        status=LessonStatus.RECORDED,
        class_=pair.class_,
        topic=wanted.topic,
        scope=Scope(playbooks=(playbook,) if playbook else ()),
        born_at=step,
        caught_at=pair.caught_at,
        signature=pair.signature,
        context=context,
        evidence=(pair.evidence,),
        owner=person(found.repo, found.call.env).name,
        created=today,
        review_after=_later(today, REVIEW_AFTER),
        account=f"# {title}\n\n{pair.story}",
    )


def _later(day: date, span: timedelta) -> date:
    return day + span


def _picked(lesson: Lesson, tried: Sequence[Tried], pick: int | None, count: int) -> Lesson:
    """The gate that was asked for by number, else the first against which nothing speaks. Raises Usage."""
    update: dict[str, Any] = {"variants": count}
    if pick is not None:
        if not 1 <= pick <= len(tried):
            raise Usage(f"--pick {pick}: there are {len(tried)} suggestions")
        update["gate"] = _named(tried[pick - 1].spec, lesson)
    elif tried and tried[0].passes:
        update["gate"] = _named(tried[0].spec, lesson)
    return lesson.model_copy(update=update)


def _named(spec: GateSpec, lesson: Lesson) -> GateSpec:
    return GateSpec.model_validate({**spec.model_dump(exclude={"level", "name"}), "name": spec.kind})


def _of_files(found: Shelf, wanted: Wanted, name: str) -> _Pair:
    if wanted.bad is None or wanted.good is None:
        raise Usage("a lesson from files takes both", remedy="--bad FILE --good FILE")
    texts = {what: _file(found.call.cwd / path, path) for what, path in (("bad", wanted.bad), ("good", wanted.good))}
    paths = {what: f"{layout.LESSON_CASES}/{name}-{what}.md" for what in texts}
    blobs = {what: blob_id(data, found.repo.object_format) for what, data in texts.items()}
    evidence = LessonEvidence(
        path=paths["bad"], blob=blobs["bad"], corrected_path=paths["good"], corrected_blob=blobs["good"]
    )
    files = tuple((paths[what], data) for what, data in texts.items())
    bad, good = (texts[what].decode("utf-8", "replace") for what in ("bad", "good"))
    story = f"From two files: `{wanted.bad.name}` is wrong, `{wanted.good.name}` is right."
    return _Pair(bad, good, evidence, files, None, None, None, WRONG_ACCEPTANCE, story)


def _file(path: Path, shown: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as fault:
        raise Usage(f"{shown}: {fault.strerror or fault}") from fault
    secrets = scan(data, ())
    if secrets:
        raise SecretFound(f"{shown}:{secrets[0].line}: a secret ({secrets[0].kind}) stands in it", remedy="take it out")
    return data


def _of_task(found: Shelf, wanted: Wanted) -> _Pair:
    name, _, rest = (wanted.source or "").partition("/")
    told = find(View(found.repo, None), name)
    record, rejection = _attempt(told, rest, wanted.step)
    step = record.step or ""
    bad = _blob(found, record.output_blob) if record.output_blob is not None else None
    if bad is None or record.output is None:
        raise Expected(f"{told.id}: attempt {record.attempt} of {step} has no output that can be read")
    good = _accepted(told, record)
    evidence = LessonEvidence(
        task=told.id,
        attempt=record.attempt,
        path=record.output,
        blob=record.output_blob,
        corrected_blob=good.output_blob if good is not None else None,
        corrected_path=good.output if good is not None else None,
    )
    text = _blob(found, good.output_blob) if good is not None and good.output_blob is not None else None
    passed = record.outcome is Outcome.PASSED
    class_ = WRONG_ACCEPTANCE if passed else (record.failure.value if record.failure is not None else "gate")
    said = "; ".join(each.text for each in rejection.findings) if rejection is not None else record.message or ""
    story = f"Task `{told.id}`, attempt {record.attempt} of step `{step}`." + (f"\n\n> {said}" if said else "")
    caught = rejection.from_step if rejection is not None else step
    alike = signature(class_, record.cursor.playbook or "", step, _words(record, rejection))
    return _Pair(bad, text, evidence, (), record.cursor.playbook, step, caught, class_, story, alike)


def _words(record: Record, rejection: _Rejection | None) -> str:
    """What tells this failure from others, as where hqd records it by itself."""
    if rejection is not None:
        return " ".join(each.text for each in rejection.findings)
    red = [each for each in record.gates if each.stops and each.status is GateStatus.FAIL]
    return f"{red[0].name} {red[0].message}" if red else record.message or ""


@dataclass(frozen=True, slots=True)
class _Rejection:
    findings: tuple[Any, ...]
    from_step: str | None


def _attempt(told: Told, rest: str, step: str | None) -> tuple[Record, _Rejection | None]:
    """The attempt that is meant: named, else the one that a person turned down, else the last that failed."""
    finished = [each for each in told.finished() if each.output is not None and step in (None, each.step)]
    if not finished:
        raise Usage(f"{told.id} has no attempt with an output")
    named, _, number = rest.rpartition("/")
    if rest:
        fits = [each for each in finished if str(each.attempt) == number and named in ("", each.step)]
        if not fits:
            there = ", ".join(f"{each.step}/{each.attempt}" for each in finished)
            raise Usage(f"{told.id} has no attempt {rest}", remedy=f"there are: {there}")
        return fits[-1], _turned_down(told, fits[-1])
    for each in reversed(finished):
        rejection = _turned_down(told, each)
        if rejection is not None:
            return each, rejection
    failed = [each for each in finished if each.outcome is not Outcome.PASSED]
    if not failed:
        raise Usage(f"no attempt of {told.id} failed or was rejected", remedy="name one: --from TASK/STEP/ATTEMPT")
    return failed[-1], None


def _turned_down(told: Told, record: Record) -> _Rejection | None:
    """The person's word against this very output."""
    for each in told.records:
        ref = each.cursor.outputs.get(record.step or "")
        human = each.via is not None and ref is not None and ref.blob == record.output_blob
        back = each.event is EventKind.FEEDBACK and each.to is State.QUEUE and each.outcome is None
        rejected = each.event is EventKind.PARKED
        if human and (back or rejected) and each.n > record.n:
            return _Rejection(each.findings, each.findings[0].step if each.findings else None)
    return None


def _accepted(told: Told, record: Record) -> Record | None:
    """What the same step gave in the end, where the task got beyond it."""
    later = [
        each
        for each in told.finished()
        if each.step == record.step and each.n > record.n and each.outcome is Outcome.PASSED
    ]
    last = later[-1] if later else None
    return last if last is not None and last.output_blob not in (None, record.output_blob) else None


def _blob(found: Shelf, blob: str) -> str | None:
    from hqd.adapters.history import GitHistory

    try:
        return GitHistory(found.repo).blob(blob).decode("utf-8", "replace")
    except KeyError:
        return None


def _write(found: Shelf, lesson: Lesson, pair: _Pair) -> str:
    path = f"{layout.LESSONS}/{file_name(lesson)}"
    for name, data in (*pair.files, (path, write_lesson(lesson))):
        target = found.root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return path


def _why_none(pair: _Pair, tried: Sequence[Tried]) -> str:
    """With what a person can do about it."""
    if pair.good is None:
        return "no correction is known; name one with --kind K --set key=value"
    if tried:
        return "nothing shows that one of these is right; take one with --pick N"
    return "no simple gate tells the two apart; name one with --kind K --set key=value"


def _mark(each: Tried) -> str:
    """`-`: nothing speaks against it, and nothing for it."""
    if not each.passes:
        return "no"
    return "ok" if each.tested else "-"


def _print(found: Shelf, lesson: Lesson, path: str, pair: _Pair, tried: Sequence[Tried]) -> None:
    terminal.say(path)
    for each in found.book.values():
        if each.signature == lesson.signature is not None or each.evidence == lesson.evidence:
            terminal.say(f"{each.id} ({found.status(each)}) is about the same failure: hqd lessons show {each.id}")
    if tried:
        terminal.say(f"{lesson.variants} gates tried, {len(tried)} are red on the bad text and green on the good one:")
        rows = [[str(number), _mark(each), each.written, each.why] for number, each in enumerate(tried, 1)]
        terminal.rows(("", "", "gate", "on history"), rows, indent=2)
    if lesson.gate is None:
        terminal.say(f"no gate chosen: {_why_none(pair, tried)}, or write one into the file (docs/gates.md)")
    else:
        params = ", ".join(
            f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in lesson.gate.params.items()
        )
        terminal.say(f"its gate: {lesson.gate.kind}, {params}" + (" (not)" if lesson.gate.negate else ""))
    terminal.say(f"look at it, then: hqd lessons check {lesson.id}; hqd lessons propose {lesson.id}")
