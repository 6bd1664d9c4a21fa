"""`hqd lessons propose | accept | decline`: a lesson on its way to a person's merge.

A proposal is a branch `hqd/lesson-ID` with one commit on top of main: the lesson with its next status, and in the
message all that a person needs to decide. Merging it in any way lets it in; nothing else does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hqd.adapters.branches.proposal import propose as set_branch
from hqd.adapters.branches.proposal import withdraw
from hqd.adapters.history import GitHistory
from hqd.bootstrap.proposals import forge_desk
from hqd.cli import terminal
from hqd.cli.apply import commit_edits
from hqd.cli.call import Call
from hqd.cli.edits import Edit
from hqd.cli.lessons.book import Shelf, shelf
from hqd.cli.lessons.draft import drafted
from hqd.cli.lessons.lab import flagged
from hqd.cli.words import look, person
from hqd.codec import layout
from hqd.codec.lesson import flat_gate, read_lesson, write_lesson
from hqd.core.lessons.check import Mark, red, table, unmeasured
from hqd.core.lessons.proposal import body, raised, title
from hqd.core.secret_scan import redact
from hqd.errors import EXIT_FAILURE, EXIT_OK, Expected, Usage
from hqd.model.lesson import OPEN, Lesson, LessonEvidence, LessonStatus

_HQD = ("hqd", "hqd@localhost")


@dataclass(frozen=True, slots=True)
class Proposal:
    lesson: str
    branch: str
    commit: str
    title: str
    text: str
    url: str = ""


def propose(call: Call, names: Sequence[str], *, ready: bool, as_json: bool) -> int:
    """Sets a branch for each lesson that is named, or (`ready`) for each recording that can have a gate and passes."""
    if not names and not ready:
        raise Usage("name a lesson", remedy="hqd lessons propose L-XXXX, or --ready for all that are")
    with shelf(call) as found:
        made: list[Proposal] = []
        refused: list[tuple[str, str]] = []
        chosen = _ready(found, names) if ready else [found.find(name) for name in names]
        for path, lesson in chosen:
            try:
                made.append(proposal(found, path, lesson, raised(lesson), (), by_itself=ready))
            except Expected as fault:
                refused.append((lesson.id, fault.message))
        if made:
            look(found.repo, call.env)
        if as_json:
            turned_down = [{"id": name, "why": why} for name, why in refused]
            terminal.data({"proposed": [_facts(each) for each in made], "refused": turned_down})
        else:
            for each in made:
                terminal.say(f"{each.branch} at {each.commit[:12]}: {each.title}")
                local = f"read it: git show {each.branch}; merge it, or: hqd lessons accept {each.lesson}"
                terminal.say(f"  {each.url or local}")
            for name, why in refused:
                terminal.say(f"{name}: not proposed: {why}")
            if not made and not refused:
                terminal.say("nothing to propose")
    return EXIT_FAILURE if refused and not ready else EXIT_OK


def proposal(
    found: Shelf,
    path: str,
    lesson: Lesson,
    status: LessonStatus | None,
    why: Sequence[str],
    *,
    by_itself: bool = False,
) -> Proposal:
    """Sets the branch that changes a lesson to `status`. Raises Expected where its check is red; `by_itself` (no person
    has named it) also where `hqd backtest` would not let its gate in."""
    if status is None:
        raise Expected(f"{lesson.id} is {lesson.status.value}: there is nothing above that it may become")
    wanted = lesson if lesson.gate is not None or status is LessonStatus.RETIRED else _with_gate(found, lesson)
    if wanted.gate is None and wanted.context is None and status is not LessonStatus.RETIRED:
        raise Expected("it has no gate yet, and no simple one tells its output from the correction safely")
    wanted = wanted.model_copy(update={"status": status})
    findings, test = found.desk.check(wanted, list(found.book.values()))
    if status is not LessonStatus.RETIRED and red(findings):
        raise Expected("its check is red: " + "; ".join(each.text for each in findings if each.mark is Mark.RED))
    refused = found.desk.refused(test) if by_itself else ()
    if refused:
        told = "; ".join(refused)
        raise Expected(f"its gate is not to be let in: {told}", remedy=f"look at it: hqd lessons propose {lesson.id}")
    if test is not None:
        wanted = wanted.model_copy(update={"backtest": dict(table(test))})
    texts = found.desk.texts([judged.case.blob for judged in test.flagged]) if test is not None else {}
    if lesson.status in OPEN:
        wanted = drafted(found, wanted, found.desk.exhibits(wanted))
    head = title(wanted, status)
    gate = _gate_text(wanted)
    told = body(
        wanted.model_copy(update={"status": lesson.status}),
        status,
        gate,
        findings,
        found.desk.exhibits(wanted),
        test,
        flagged(test, texts) if test is not None else [],
        why,
    )
    clean = redact(told.encode("utf-8", "replace"), ())[0].decode("utf-8", "replace")
    branch = f"{layout.LESSON_BRANCH}{lesson.id}"
    message = f"{head}\n\n{clean}\n\nHqd-Lesson: {lesson.id}\n"
    files = {path: write_lesson(wanted), **_cases(found, wanted)}
    before = found.proposed.get(lesson.id)
    commit = set_branch(found.repo.git, branch, found.repo.tip(), files, message, _HQD)
    with forge_desk(found.repo.git, found.settings, found.call.env) as forge:
        url = forge.publish(branch, commit, before, head, clean) if forge is not None else ""
    return Proposal(lesson.id, branch, commit, head, clean, url)


def _facts(made: Proposal) -> dict[str, str]:
    return {"id": made.lesson, "branch": made.branch, "commit": made.commit, "title": made.title, "url": made.url}


def accept(call: Call, name: str, *, as_json: bool = False) -> int:
    """Lets a proposal in: its lesson is committed on main in the person's name, the branch goes. Raises Expected where
    its check is red by now."""
    with shelf(call) as found:
        busy = found.repo.occupied()
        if busy is not None:
            raise busy
        lesson_id = name if name.startswith("L-") else f"L-{name}"
        commit = found.proposed.get(lesson_id)
        if commit is None:
            there = ", ".join(found.proposed) or "hqd lessons propose"
            raise Usage(f"there is no proposal for {lesson_id}", remedy=there)
        if found.settings.forge.kind != "local":
            raise Usage("its pull request is on the forge", remedy="merge it there")
        tree = GitHistory(found.repo).tree(commit)
        paths = _paths(found, commit)
        here = {lesson.id: lesson for lesson in found.book.values()}
        files: dict[str, bytes] = {}
        words: list[str] = []
        for path in paths:
            files[path] = tree.read(path) or b""
            lesson, _faults = read_lesson(files[path], path) if path.endswith(".md") else (None, ())
            if lesson is not None and lesson.id in here:
                lesson = _with_cases(lesson, here[lesson.id].evidence)
                files[path] = write_lesson(lesson)
            if lesson is not None:
                words += _still_true(found, lesson)
        for path, data in files.items():
            target = found.root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        head = found.repo.git.quick("log", "-1", "--format=%s", commit).text.strip()
        main = GitHistory(found.repo).tree(found.repo.tip())
        changed = tuple(Edit(path, "added" if main.entry(path) is None else "modified") for path in paths)
        done = commit_edits(found.repo, changed, head, call)
        withdraw(found.repo.git, f"{layout.LESSON_BRANCH}{lesson_id}")
        message = f"{lesson_id}: in force as of {done[:12]}: {head}"
        facts = _said(lesson_id, "accept", message, done, words)
        terminal.answer(facts, [message, *(f"  {line}" for line in words)], as_json=as_json)
        look(found.repo, call.env)
    return EXIT_OK


def _still_true(found: Shelf, lesson: Lesson) -> list[str]:
    """What its person is told beside the acceptance. Raises Expected where its check is red."""
    if lesson.status is LessonStatus.RETIRED:
        return []
    findings, _test = found.desk.check(lesson, list(found.book.values()))
    if red(findings):
        why = "; ".join(each.text for each in findings if each.mark is Mark.RED)
        raise Expected(
            f"{lesson.id} is not let in, its check is red: {why}",
            remedy=f"mend its file, then: hqd lessons propose {lesson.id}; or: hqd lessons decline {lesson.id} -m WHY",
        )
    unknown = unmeasured(findings)
    if unknown is None:
        return []
    shadow = "; in shadow it is recorded, and stops nothing" if lesson.status is LessonStatus.SHADOW else ""
    return [f"not measured yet: {unknown}{shadow}"]


def _said(lesson: str, word: str, message: str, commit: str, notes: Sequence[str] = ()) -> dict[str, object]:
    """A person's word on a lesson, for --json: shaped as words on tasks are."""
    found = {"lesson": lesson, "word": word, "outcome": "done", "message": message, "commit": commit}
    return {**found, "notes": list(notes)}


def decline(call: Call, name: str, message: str, *, as_json: bool = False) -> int:
    """Turns a lesson down: retired on main with the reason, so that it is not proposed again; its branch goes."""
    if not message.strip():
        raise Usage("say why", remedy="pass -m TEXT")
    with shelf(call) as found:
        path, lesson = found.find(name)
        who = person(found.repo, call.env)
        account = f"{lesson.account}\n\nDeclined by {who.name}: {' '.join(message.split())}"
        retired = lesson.model_copy(update={"status": LessonStatus.RETIRED, "account": account})
        (found.root / path).write_bytes(write_lesson(retired))
        main = GitHistory(found.repo).tree(found.repo.tip())
        cases = [case for case in _cases(found, lesson) if main.entry(case) is None]
        edits = [Edit(each, "added" if main.entry(each) is None else "modified") for each in (path, *cases)]
        commit = commit_edits(found.repo, tuple(edits), f"Decline lesson {lesson.id}", call)
        if lesson.id in found.proposed:
            branch = f"{layout.LESSON_BRANCH}{lesson.id}"
            with forge_desk(found.repo.git, found.settings, call.env) as forge:
                if forge is not None:
                    forge.withdraw(branch, found.proposed[lesson.id], f"Declined: {' '.join(message.split())}")
            withdraw(found.repo.git, branch)
        told = f"{lesson.id}: declined"
        terminal.answer(_said(lesson.id, "decline", told, commit), [told], as_json=as_json)
        look(found.repo, call.env)
    return EXIT_OK


def _ready(found: Shelf, names: Sequence[str]) -> list[tuple[str, Lesson]]:
    """Recordings with a correction and no open proposal; of `names`, where there are any."""
    return [
        (path, each)
        for path, each in sorted(found.book.items())
        if each.status is LessonStatus.RECORDED
        and each.id not in found.proposed
        and (not names or each.id in names)
        and any(case.corrected_blob is not None for case in each.evidence)
    ]


def _with_gate(found: Shelf, lesson: Lesson) -> Lesson:
    """The lesson with the first suggestion against which nothing on history speaks, if there is one."""
    for each in found.desk.exhibits(lesson):
        if each.bad is None or each.good is None:
            continue
        count, tried = found.desk.suggest(lesson, each.bad, each.good)
        best = next((one for one in tried if one.passes), None)
        if best is None:
            return lesson.model_copy(update={"variants": count})
        return lesson.model_copy(update={"gate": best.spec, "variants": count})
    return lesson


def _gate_text(lesson: Lesson) -> str:
    if lesson.gate is None:
        return ""
    flat = {key: value for key, value in flat_gate(lesson.gate).items() if key != "name"}
    return "\n".join(f"{key}: {value}" for key, value in flat.items())


def _cases(found: Shelf, lesson: Lesson) -> dict[str, bytes]:
    """Texts that stand beside the lesson as files, and may not be on main yet."""
    wanted = [path for each in lesson.evidence for path in (each.path, each.corrected_path) if path is not None]
    inside = [path for path in wanted if path.startswith(f"{layout.LESSON_CASES}/") and ".." not in path]
    return {path: data for path in inside if (data := found.reader.read(path)) is not None}


def _with_cases(lesson: Lesson, cases: Sequence[LessonEvidence]) -> Lesson:
    """Cases that main has got meanwhile are kept."""
    known = {(each.task, each.path) for each in lesson.evidence}
    more = tuple(each for each in cases if (each.task, each.path) not in known)
    return lesson.model_copy(update={"evidence": (*lesson.evidence, *more)})


def _paths(found: Shelf, commit: str) -> list[str]:
    out = found.repo.git.quick("diff-tree", "-r", "-z", "--name-only", "--no-commit-id", f"{commit}^", commit).text
    return [path for path in out.split("\0") if path.startswith(f"{layout.LESSONS}/")]
