"""`hqd try PLAYBOOK FILE`: a dry run by the real daemon in a throw-away clone. Nothing of it reaches the HQ."""

from __future__ import annotations

import shutil
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import tomli_w

from hqd.adapters.git import Git
from hqd.adapters.history import GitHistory
from hqd.adapters.repository import GitRepository
from hqd.bootstrap import daemon
from hqd.cli import terminal
from hqd.cli.add import drop
from hqd.cli.board.faults import check, faults
from hqd.cli.board.finding import Told, ended, told
from hqd.cli.board.reading import View, view
from hqd.cli.board.show import facts, last_outputs, what
from hqd.cli.call import Call
from hqd.cli.edits import FolderReader, edits
from hqd.cli.trial.repos import stand_in
from hqd.codec import layout
from hqd.codec.playbook import read_playbook
from hqd.codec.task import read_task
from hqd.daemon.lifecycle import Life
from hqd.daemon.sd_notify import Notifier
from hqd.errors import EXIT_FAILURE, EXIT_OK, EXIT_TEMPORARY, Misconfigured, Usage
from hqd.model.record import EventKind, Record
from hqd.model.task import OPEN_STATES, State

ANSWERS = "try-answers.jsonl"
PERSON = {
    "GIT_AUTHOR_NAME": "hqd try",
    "GIT_AUTHOR_EMAIL": "try@localhost",
    "GIT_COMMITTER_NAME": "hqd try",
    "GIT_COMMITTER_EMAIL": "try@localhost",
}
MOST_OUTPUT = 2_000
"""Characters of each output that are shown; --keep leaves the whole clone."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What is tried, and by whom it is answered: recorded answers, or with `live` the real agents."""

    playbook: str
    file: Path
    replay: Path | None
    live: bool
    max_usd: float


def try_(call: Call, trial: Trial, *, keep: bool, as_json: bool) -> int:
    """Runs one task through a playbook and prints what happened; exit 1 where it ends in blocked/ or dropped/."""
    with call.repository() as repo:
        data = _data(call.cwd / trial.file)
        answers = _answers(call.cwd / trial.replay) if trial.replay is not None else None
        with _folder(keep) as folder:
            root = clone(repo, folder / "hq", call)
            settings = _settings(root, trial, repo)
            stand_in(settings, _wanted(root, trial, data), folder / "repos", repo, call.env)
            (root / layout.SETTINGS).write_text(tomli_w.dumps(settings), "utf-8")
            if answers is not None:
                (root / ANSWERS).write_bytes(answers)
            _clear(root)
            _commit(root, call)
            _check(root, trial, call)
            drop(root / layout.INBOX / trial.playbook, trial.file.name, data)
            notes = run(root, folder / "cache", call)
            code = _told(root, trial, notes, call, as_json=as_json)
            if keep:
                terminal.say(f"kept: {root}")
    return code


def clone(repo: GitRepository, target: Path, call: Call) -> Path:
    """The HQ at main, with the person's edits of rules and documents on top; without a remote."""
    Git(repo.root, call.env).run("clone", "--quiet", "--local", "--branch", repo.branch, str(repo.root), str(target))
    Git(target, call.env).run("remote", "remove", "origin")
    for edit in edits(repo, GitHistory(repo).tree(repo.tip())):
        (target / edit.path).parent.mkdir(parents=True, exist_ok=True)
        if edit.kind == "deleted":
            (target / edit.path).unlink(missing_ok=True)
        else:
            shutil.copyfile(repo.root / edit.path, target / edit.path)
    return target


def run(root: Path, cache: Path, call: Call) -> list[str]:
    """The real loop until it is idle; what it had to say beside its events."""
    screen = _Progress()
    env = {**call.env, "CACHE_DIRECTORY": str(cache), **PERSON}
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "STATE_DIRECTORY"):
        env.pop(name, None)
    with terminal.spinner("trying"), daemon(root, env, screen, quiet=True) as loop:
        life = Life(loop, loop.parts.private, Notifier(""), None)
        loop.on_result = life.wake
        life.run(until_idle=True)
    return screen.notes


class _Progress:
    """Port Display: keeps what is no event."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def committed(self, written: object, commits: object) -> None:
        """Told at the end, from the records."""

    def note(self, text: str) -> None:
        self.notes.append(text)

    def doing(self, rows: object, waiting: int) -> None:
        """The spinner turns."""


@contextmanager
def _folder(keep: bool) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="hqd-try-"))
    try:
        yield folder
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def _data(file: Path) -> bytes:
    if not file.is_file():
        raise Usage(f"{file}: no such file")
    if file.suffix != ".md":
        raise Usage(f"{file.name} does not end in .md", remedy="a task is a markdown file")
    return file.read_bytes()


def _answers(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as fault:
        raise Usage(
            f"{file} cannot be read: {fault.strerror or fault}", remedy="--replay takes a file of recorded answers"
        ) from None


def _settings(root: Path, trial: Trial, repo: GitRepository) -> dict[str, Any]:
    """hqd.toml of the clone: recorded answers or a bounded purse; tells nobody, asks no forge. Raises Usage."""
    try:
        settings = tomllib.loads((root / layout.SETTINGS).read_text("utf-8"))
    except (OSError, ValueError) as fault:
        raise Misconfigured(f"{layout.SETTINGS}: {fault}", remedy="run `hqd check`") from fault
    agents = settings.get("agents", {})
    if trial.replay is not None:
        settings["agents"] = {name: {"provider": "replay", "answers": ANSWERS} for name in agents}
        purse: float = 1_000_000.0
    else:
        real = [
            name
            for name, agent in agents.items()
            if not isinstance(agent, Mapping) or agent.get("provider") != "replay"
        ]
        if real and not trial.live:
            remedy = "pass --replay FILE with recorded answers, or --live --max-usd 0.5 for real ones"
            raise Usage(f"agents would be called: {', '.join(sorted(real)[:5])}", remedy=remedy)
        purse = trial.max_usd
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    spent, _tokens = GitHistory(repo).spent_since(midnight)
    limits = settings.setdefault("limits", {})
    limits["cost_usd_per_day"] = spent + purse
    if trial.live:
        limits["cost_usd_per_task"] = min(purse, limits.get("cost_usd_per_task", purse))
    for key in ("notify", "webhook", "forge"):
        settings.pop(key, None)
    settings.setdefault("inbox", {})["settle"] = "0s"
    settings.setdefault("hq", {})["sparse"] = "off"
    settings["hq"].pop("hosts", None)
    return settings


def _wanted(root: Path, trial: Trial, data: bytes) -> frozenset[str]:
    """The target repositories that the trial may work on: the task's, the playbook's."""
    document = read_task(data, trial.file.name).document
    path = root / layout.PLAYBOOKS / f"{trial.playbook}.toml"
    playbook = read_playbook(path.read_bytes(), path.name).playbook if path.is_file() else None
    named = (document.header.repo if document is not None else None, playbook.repo if playbook is not None else None)
    return frozenset(name for name in named if name is not None)


def _clear(root: Path) -> None:
    """Other tasks, holds and the pause stay out of the trial."""
    for state in sorted(OPEN_STATES | {State.INBOX}):
        for file in (root / layout.STATE_FOLDERS[state]).rglob("*.md"):
            file.unlink()
    for file in (root / layout.HOLDS).glob("*.md"):
        file.unlink()
    (root / layout.PAUSED).unlink(missing_ok=True)


def _commit(root: Path, call: Call) -> None:
    git = Git(root, call.env)
    paths = (layout.SETTINGS, layout.PLAYBOOKS, layout.LESSONS, layout.WORKSPACE)
    git.run("add", "--all", "--force", "--", *(path for path in paths if (root / path).exists()), env=PERSON)
    git.run("commit", "--quiet", "--allow-empty", "--no-gpg-sign", "--message=hqd try", env=PERSON)


def _check(root: Path, trial: Trial, call: Call) -> None:
    """What is wrong with the playbook is said before anything runs. Raises Usage, Misconfigured."""
    known = sorted(path.stem for path in (root / layout.PLAYBOOKS).glob("*.toml"))
    if trial.playbook not in known:
        raise Usage(f"there is no playbook {trial.playbook!r}", remedy=f"there are: {', '.join(known) or 'none'}")
    red = [problem for problem in check(FolderReader(root), dict(call.env)) if problem.stops]
    if red:
        raise Misconfigured(str(red[0]), remedy=f"{len(red)} in all; run `hqd check`")


def _told(root: Path, trial: Trial, notes: list[str], call: Call, *, as_json: bool) -> int:
    inner = Call(call.env, call.cwd, root)
    with view(inner) as seen:
        story = _newest(seen, layout.slug(trial.file.name))
        if story is None:
            said = [str(problem) for problem in faults(seen, dict(call.env)) if problem.path.startswith(layout.INBOX)]
            raise Misconfigured(f"{trial.file.name} became no task", remedy="; ".join([*said, *notes][:3]))
        holds = list(seen.live.holds.values())
        if as_json:
            missing = [hold.missing for hold in holds]
            terminal.data({**facts(seen, story), "holds": missing, "notes": notes})
        else:
            _print(story, notes, [f"{hold.name}: {hold.missing}" for hold in holds])
    if holds:
        return EXIT_TEMPORARY
    return EXIT_OK if story.state in (State.DONE, State.REVIEW) else EXIT_FAILURE


def _newest(seen: View, slug: str) -> Told | None:
    stories = [told(seen.tree, each) for each in ended(seen.tree, slug)]
    return max(stories, key=lambda story: story.records[0].at, default=None)


def _print(story: Told, notes: list[str], holds: list[str]) -> None:
    last = story.last
    cursor = last.cursor if last is not None else None
    terminal.title(f"{story.document.title}: {story.state.value}")
    if cursor is not None:
        cost = terminal.dollars(cursor.cost) or "$0"
        terminal.say(f"  {len(story.finished())} attempts, {cost}, {cursor.tokens} tokens")
    for record in story.records:
        if record.event in _TOLD:
            _event(record, story)
    for line in (*holds, *notes):
        terminal.say(f"  {line}")
    for step, path in last_outputs(story).items():
        terminal.say()
        terminal.title(f"output of {step}")
        text = (story.tree.read(path) or b"").decode("utf-8", "replace")
        terminal.block(
            text[:MOST_OUTPUT] + (f"\n… {len(text) - MOST_OUTPUT} characters more" * (len(text) > MOST_OUTPUT))
        )


def _event(record: Record, story: Told) -> None:
    """An attempt with its gates; a route, a park, a review."""
    attempt = f" attempt {record.attempt}" if record.attempt is not None else ""
    by = f" by {record.agent}" if record.agent else ""
    said = what(record)
    terminal.say(f"  {record.step or ''}{attempt}{by}: {record.event.value}" + (f": {said}" if said else ""))
    for gate in record.gates:
        terminal.say(f"    {gate.status.value:<5} {gate.name}: {gate.message}")


_TOLD = frozenset(EventKind) - {EventKind.ACCEPTED, EventKind.CLAIMED, EventKind.EDITED}
