"""`hqd demo`: the guided tour. A throw-away HQ, the real daemon, four tasks; told by what stands in git.

Exit 0 means that all that was told has happened: it is asserted at each turn, and once more at the end.
"""

from __future__ import annotations

import json
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from hqd.cli.demo.stage import DATA, News, NotAsTold, Stage
from hqd.cli.demo.words import comment, headline
from hqd.cli.teller import Teller
from hqd.codec import layout
from hqd.errors import EXIT_FAILURE, EXIT_OK, Usage
from hqd.model.failure import Failure, Outcome
from hqd.model.gate import GateResult, GateStatus
from hqd.model.record import EventKind, Record, Via
from hqd.model.task import State

EXIT_INTERRUPTED = 130
PRICES, PARCEL, NAMES, SHIPPING = "spring-prices", "late-parcel", "bakery-names", "island-shipping"
DAY = r"[Ff]rom \d{1,2} [A-Z][a-z]+ on"
DELIVERED = f"announcements/{PRICES}.md"


def demo(env: Mapping[str, str], *, keep: Path | None = None) -> int:
    """Runs the tour; the exit code. `keep`: a new folder for the HQ, left there. Raises Usage."""
    teller = Teller()
    with _one_interrupt(), _folder(keep, teller) as folder:
        stage = Stage(folder, env, calm=teller.on_terminal)
        try:
            _tour(stage, teller)
        except NotAsTold as fault:
            teller.chapter("This did not go as it should.")
            teller.show(str(fault).splitlines(), "red")
            teller.say("The daemon said:")
            teller.show(stage.daemon_output().splitlines())
            return EXIT_FAILURE
        except KeyboardInterrupt:
            teller.say("")
            teller.say("Stopped, the daemon too.")
            return EXIT_INTERRUPTED
    teller.say("")
    teller.say("Your own: hqd init ~/hq", "bold")
    return EXIT_OK


def _tour(stage: Stage, teller: Teller) -> None:
    teller.chapter("hqd demo: four tasks through a real daemon and real git. The agents' answers are recorded ones.")
    teller.chapter("1  An HQ is a git repository")
    laid = stage.make()
    teller.say(f"{stage.root}, commit {laid.commit[:7]}: hqd.toml, playbooks/, lessons/, workspace/")
    teller.command("hqd run")
    with stage.daemon():
        teller.say("The daemon looks at main and at workspace/inbox/.", "dim")
        _drop(stage, teller)
        _work(stage, teller)
        _board(stage, teller)
        _review(stage, teller)
        _blocked(stage, teller)
        _lesson(stage, teller)
        _all_of_it(stage, teller)


def _drop(stage: Stage, teller: Teller) -> None:
    teller.chapter("2  A task is a markdown file; to drop it is all that you do")
    teller.show((DATA / "tasks" / f"{PRICES}.md").read_text("utf-8").splitlines())
    names = (PRICES, PARCEL, NAMES)
    teller.wait(f"drop {len(names)} of them")
    for name in names:
        teller.command(f"mv {name}.md {layout.INBOX}/")
        stage.drop(f"{name}.md")


def _work(stage: Stage, teller: Teller) -> None:
    teller.chapter("3  The daemon works. Each change of state is one commit on main; here they are, as they come")
    states = {PRICES: State.REVIEW, PARCEL: State.BLOCKED, NAMES: State.DONE}
    _follow(stage, teller, states)
    attempts = _attempts(stage, PRICES, "write")
    outcomes = [record.outcome for record in attempts]
    _must(outcomes == [Outcome.FAILED, Outcome.PASSED, Outcome.PASSED], f"write failed, passed, passed: {outcomes}")
    routed = [record for record in stage.records[PRICES] if record.event is EventKind.ROUTED]
    _must(len(routed) == 1 and len(routed[0].findings) == 1, "the reviewer sent it back once, with one finding")
    told = (_red(_failed_attempt(stage)).message, routed[0].findings[0].text)
    for finding, record in zip(told, attempts[1:], strict=True):
        _must(finding in stage.read(record.prompt or ""), f"the finding is in the prompt of attempt {record.attempt}")
    _must(len(_attempts(stage, PRICES, "judge")) == 2, "the reviewer saw it twice")
    _must(_parked(stage).outcome is not Outcome.PASSED, "the gate step stopped the incomplete task")


def _board(stage: Stage, teller: Teller) -> None:
    teller.chapter("4  Where does it stand? The folder is the state; the board shows what needs you")
    teller.command("hqd status")
    teller.show(stage.hqd("status").splitlines())


def _review(stage: Stage, teller: Teller) -> None:
    task = stage.ids[PRICES]
    branch = layout.branch(task)
    teller.chapter(f"5  {PRICES} waits for your word: its work is on the branch {branch}")
    teller.command(f"git diff main...{branch}")
    difference = stage.git("diff", f"main...{branch}")
    _must(f"+++ b/{DELIVERED}" in difference, "the branch brings the announcement")
    teller.show(difference.splitlines()[4:])
    teller.wait(f"`hqd approve {PRICES}` (or run it yourself, in {stage.root})")
    stage.follow(lambda: True, "", lambda news: None)
    if stage.state(PRICES) is State.REVIEW:
        teller.command(f"hqd approve {PRICES}")
        teller.show(stage.hqd("approve", PRICES).splitlines())
    _follow(stage, teller, {PRICES: State.DONE})
    landed = [record.landed for record in stage.records[PRICES] if record.event is EventKind.LANDED]
    _must(len(landed) == 1 and landed[0] is not None, "the work landed once")
    _must("From 1 March on" in stage.read(DELIVERED), "the accepted text is on main")
    teller.say(f"{DELIVERED} is on main, with what the reviewer had missed in it.")


def _blocked(stage: Stage, teller: Teller) -> None:
    teller.chapter(
        f"6  {PARCEL} is in {layout.STATE_FOLDERS[State.BLOCKED]}/, with a note beside it: why, what is missing, who"
    )
    task = stage.ids[PARCEL]
    note = stage.read(layout.note_path(task)).split("## Findings")[0].rstrip()
    teller.show(note.splitlines())
    file = stage.root / stage.file_of(PARCEL)
    queue = stage.root / layout.task_path(task, State.QUEUE)
    addition = (DATA / "tasks" / f"{PARCEL}-order.md").read_text("utf-8")
    teller.wait("add the section to the file, move it to queue/: a person may act by files alone")
    teller.show([f"+{line}" for line in addition.strip().splitlines()])
    file.write_text(file.read_text("utf-8") + addition, "utf-8")
    teller.command(f"mv {layout.STATE_FOLDERS[State.BLOCKED]}/{file.name} {layout.STATE_FOLDERS[State.QUEUE]}/")
    file.rename(queue)
    _follow(stage, teller, {PARCEL: State.DONE})
    resumed = [record for record in stage.records[PARCEL] if record.event is EventKind.RESUMED]
    _must(len(resumed) == 1 and resumed[0].via is Via.FILES, "the move was understood as: try again")
    day = stage.records[PARCEL][-1].at
    text = stage.read(layout.result_path(task, day))
    _must("4711" in text, "the answer is in the result")
    teller.say(f"{layout.result_path(task, day)}:")
    teller.show(text.split("---\n", 1)[-1].strip().splitlines())


def _lesson(stage: Stage, teller: Teller) -> None:
    """A failure that no gate had caught becomes a test: red on the failure, put in force, it stops the repetition."""
    teller.chapter("7  What went wrong becomes a lesson: a test that is red on the failure and stops its repetition")
    teller.say(f"No gate had found what the reviewer missed in attempt 2 of {PRICES}: the day. One can look for it.")
    source = f"{PRICES}/write/2"
    title = "An announcement says from which day"
    shown = f"--kind regex --set 'pattern={DAY}' --topic dates --title '{title}'"
    teller.command(f"hqd lessons new --from {source} {shown}")
    words = ("--kind", "regex", "--set", f"pattern={DAY}", "--topic", "dates", "--title", title)
    made = stage.hqd("lessons", "new", "--from", source, *words, "--json")
    facts = json.loads(made)
    name, path = facts["id"], facts["path"]
    (case,) = facts["evidence"]
    _must("1 March" not in stage.git("cat-file", "blob", case["blob"]), "the evidence is the output without the day")
    _must("1 March" in stage.git("cat-file", "blob", case["corrected_blob"]), "the correction is what landed")
    teller.say(f"evidence   {case['path']}", indent="   ")
    teller.say(f"           blob {case['blob'][:12]}, corrected {case['corrected_blob'][:12]}")
    teller.command(f"hqd lessons check {name}")
    checked = stage.hqd("lessons", "check", name)
    _must("red on 1 of 1 failed outputs" in checked, "the lesson is red on its failure")
    _must("green on 1 of 1 corrections" in checked, "and green on the correction")
    teller.show(checked.splitlines())
    teller.say("`hqd lessons propose` would begin in shadow, with a backtest to read. You are sure: enforce.", "dim")
    teller.wait(f"write `status: enforce` into {path}, and put it in force")
    file = stage.root / path
    file.write_text(file.read_text("utf-8").replace('status: "recorded"', 'status: "enforce"'), "utf-8")
    teller.command(f"hqd apply -m 'Enforce lesson {name}'")
    teller.show(stage.hqd("apply", "-m", f"Enforce lesson {name}").splitlines())
    teller.command(f"mv {SHIPPING}.md {layout.INBOX}/")
    stage.drop(f"{SHIPPING}.md")
    _follow(stage, teller, {SHIPPING: State.REVIEW})
    first, second = _attempts(stage, SHIPPING, "write")
    red = [gate.name for gate in first.gates if gate.stops]
    _must(red == [f"lesson:{name}"], f"the lesson alone stops the repetition: {red}")
    _must(second.outcome is Outcome.PASSED, "and the second attempt passes")
    _must(_red(first).message in stage.read(second.prompt or ""), "with the lesson's finding in its prompt")
    teller.say(f"The same mistake, on another task: lesson {name} has stopped it before any person saw it.", "green")
    teller.command(f"hqd approve {SHIPPING}")
    teller.show(stage.hqd("approve", SHIPPING).splitlines())
    _follow(stage, teller, {SHIPPING: State.DONE})


def _all_of_it(stage: Stage, teller: Teller) -> None:
    teller.chapter(f"8  All of it is git. The ledger of {PRICES}:")
    teller.command(f"git log --oneline --reverse --grep 'Hqd-Task: {stage.ids[PRICES]}'")
    log = stage.git("log", "--oneline", "--reverse", "--fixed-strings", f"--grep=Hqd-Task: {stage.ids[PRICES]}", "main")
    teller.show(log.splitlines())
    board = json.loads(stage.hqd("status", "--all", "--json"))
    states = {task["slug"]: task["state"] for task in board["tasks"]}
    _must(states == dict.fromkeys((PRICES, PARCEL, NAMES, SHIPPING), "done"), f"all four tasks are done: {states}")
    _must(board["holds"] == [] and board["problems"] == [], f"nothing is held or wrong: {board['problems']}")
    _must(stage.git("status", "--porcelain") == "", "the working tree is clean")
    records = sum(len(each) for each in stage.records.values())
    attempts = sum(len([r for r in each if r.event is EventKind.FINISHED]) for each in stage.records.values())
    teller.say(
        f"Four tasks done, {attempts} attempts, {records} records, one commit each; git knows why, at every step."
    )


def _follow(stage: Stage, teller: Teller, states: Mapping[str, State]) -> None:
    """Tells main's commits until these tasks are where they should be."""
    names = ", ".join(f"{slug} in {state.value}/" for slug, state in states.items())

    def reached() -> bool:
        return all(stage.state(slug) is state for slug, state in states.items())

    def tell(news: News) -> None:
        line, style = headline(news)
        teller.say(line, style)
        for text, style_of_it in comment(news):
            teller.say(text, style_of_it, indent=" " * 12)

    stage.follow(reached, names, tell)


def _attempts(stage: Stage, slug: str, step: str) -> list[Record]:
    finished = (record for record in stage.records[slug] if record.event is EventKind.FINISHED)
    return [record for record in finished if record.step == step]


def _failed_attempt(stage: Stage) -> Record:
    """The attempt that the gate caught. Raises NotAsTold."""
    for record in _attempts(stage, PRICES, "write"):
        if record.outcome is Outcome.FAILED and record.failure is Failure.GATE:
            return record
    raise NotAsTold("no attempt was caught by a gate")


def _red(record: Record) -> GateResult:
    """The gate that caught an attempt. Raises NotAsTold."""
    for gate in record.gates:
        if gate.status is GateStatus.FAIL and gate.message:
            return gate
    raise NotAsTold("a failed attempt names no gate")


def _parked(stage: Stage) -> Record:
    for record in stage.records[PARCEL]:
        if record.event is EventKind.PARKED:
            return record
    raise NotAsTold(f"{PARCEL} was not parked")


def _must(held: bool, what: str) -> None:
    if not held:
        raise NotAsTold(f"expected: {what}")


@contextmanager
def _folder(keep: Path | None, teller: Teller) -> Iterator[Path]:
    """The demo's folder: a temporary one, or one that is left to the person."""
    if keep is None:
        folder = Path(tempfile.mkdtemp(prefix="hqd-demo-"))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return
    folder = keep.expanduser().absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Usage(f"--keep {keep}: is there already, and not empty", remedy="name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    yield folder
    shutil.rmtree(folder / "cache", ignore_errors=True)
    teller.say("")
    teller.say(f"Kept: {folder / 'hq'}")


@contextmanager
def _one_interrupt() -> Iterator[None]:
    """The first Ctrl-C or SIGTERM interrupts; what follows cannot disturb the tidying up."""
    told: list[int] = []

    def interrupt(number: int, _frame: FrameType | None) -> None:
        told.append(number)
        if len(told) == 1:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
