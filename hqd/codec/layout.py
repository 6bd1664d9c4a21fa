"""Where things are in an HQ. Folder names live only here."""

from __future__ import annotations

import re
from datetime import date, datetime

from hqd.model.names import TASK_ID
from hqd.model.names import branch as branch
from hqd.model.names import review_ref as review_ref
from hqd.model.names import slug_of as slug_of
from hqd.model.task import State

WORKSPACE = "workspace"
INBOX = "workspace/inbox"
HOLDS = "workspace/holds"
RUNS = "workspace/runs"
DECISIONS = "workspace/decisions"
CONTEXT = "workspace/context"
SCHEDULES = "workspace/schedules"  # up to when each playbook's schedule is settled; made with the first one
AUTONOMY = "workspace/autonomy"  # playbooks whose full review an escape has restored; made with the first one
FILES = "workspace/files"
PAUSED = "workspace/PAUSED"
SETTINGS = "hqd.toml"
PLAYBOOKS = "playbooks"
LESSONS = "lessons"
LESSON_CASES = "lessons/cases"  # texts of lessons that came from no task
LESSON_BRANCH = "hqd/lesson-"
"""What branches of proposals begin with; the lesson's id follows."""

PRIVATE = "hqd"  # inside the git directory: .git/hqd
CACHE = ".hqd"

STATE_FOLDERS = {state: f"{WORKSPACE}/{state.value}" for state in State}
DATED_STATES = frozenset({State.DONE, State.DROPPED})
KEPT_FOLDERS = (*STATE_FOLDERS.values(), RUNS, DECISIONS, CONTEXT, FILES, HOLDS)
"""Folders that keep a tracked .gitkeep, so that an emptied one is no rename source for git."""

PROTECTED = ("workspace/", "playbooks/", "lessons/", "hqd.toml", ".gitattributes")
"""What no agent may change in an HQ (design section 4)."""

ATTRIBUTES = "** -text !filter !ident\n"

_DATED = re.compile(r"\d{4}/\d{2}/\d{2}/")
_RECORD = re.compile(r"(\d{3,})-([a-z_]+)\.toml")


def slug(name: str) -> str:
    """The slug of a file name: `[a-z0-9-]`, at most 60, never empty."""
    stem = name[:-3] if name.lower().endswith(".md") else name
    text = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:60].strip("-")
    return text or "task"


def task_id(name: str, day: date, random_hex: str) -> str:
    """`YYYYMMDD-slug-hhhhhh`; `random_hex` has six digits."""
    return f"{day:%Y%m%d}-{slug(name)}-{random_hex}"


def day_path(day: date) -> str:
    return f"{day:%Y/%m/%d}"


def task_path(task: str, state: State, day: date | datetime | None = None) -> str:
    """Where a task's file is in `state`; ended states need the day on which it ended."""
    folder = STATE_FOLDERS[state]
    if state in DATED_STATES:
        if day is None:
            raise ValueError(f"{state.value} needs a day")
        folder = f"{folder}/{day_path(day)}"
    return f"{folder}/{task}.md"


def note_path(task: str) -> str:
    return f"{STATE_FOLDERS[State.BLOCKED]}/{task}.note.md"


def is_note(path: str) -> bool:
    """Whether a path is that of a blocked task's note."""
    return path.startswith(STATE_FOLDERS[State.BLOCKED] + "/") and path.endswith(".note.md")


def result_path(task: str, day: date | datetime) -> str:
    return f"{STATE_FOLDERS[State.DONE]}/{day_path(day)}/{task}.result.md"


def runs_folder(task: str) -> str:
    """The folder of a task's records; it follows from the id alone."""
    return f"{RUNS}/{task[0:4]}/{task[4:6]}/{task[6:8]}/{task}"


def record_path(task: str, n: int, event: str) -> str:
    return f"{runs_folder(task)}/{n:03d}-{event}.toml"


def beside(task: str, n: int, role: str) -> str:
    """A file beside record `n`: `prompt.md`, `output.md`, `raw.txt`, `patch.diff`, `manifest.json`, …"""
    return f"{runs_folder(task)}/{n:03d}-{role}"


def record_number(name: str) -> int | None:
    """The number of a record by its file name; None for what is no record."""
    found = _RECORD.fullmatch(name)
    return int(found[1]) if found else None


def schedule_path(playbook: str) -> str:
    return f"{SCHEDULES}/{playbook}.toml"


def autonomy_path(playbook: str) -> str:
    return f"{AUTONOMY}/{playbook}.toml"


def hold_path(name: str) -> str:
    return f"{HOLDS}/{name}.md"


def lesson_of(path: str) -> str:
    """The id in the name of a lesson's file."""
    stem = path.rpartition("/")[2].removesuffix(".md")
    return "-".join(stem.split("-")[:2])


def locate(path: str) -> tuple[State, str] | None:
    """State and task id of a task file's path; None for everything else (notes, results, .gitkeep, …)."""
    for state, folder in STATE_FOLDERS.items():
        if state is State.INBOX or not path.startswith(folder + "/"):
            continue
        rest = path[len(folder) + 1 :]
        if state in DATED_STATES:
            dated = _DATED.match(rest)
            if dated is None:
                return None
            rest = rest[dated.end() :]
        if rest.endswith(".md") and TASK_ID.fullmatch(rest[:-3]):
            return state, rest[:-3]
    return None
