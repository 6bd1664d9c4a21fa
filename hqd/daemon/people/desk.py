"""The desk: requests of people (`spool`) become words in the draft, with an answer each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

from hqd.codec import layout
from hqd.core.secret_scan import scan
from hqd.daemon import landings
from hqd.daemon.draft import Draft
from hqd.daemon.people import words
from hqd.daemon.people.spool import Reply, Request
from hqd.daemon.people.words import Speaker
from hqd.errors import Expected, HqdError, Usage
from hqd.model.board import Task
from hqd.model.change import Transition
from hqd.model.failure import ParkReason
from hqd.model.names import slug_of
from hqd.model.record import Via
from hqd.model.task import State


def find(tasks: dict[str, Task], name: str) -> Task:
    """An open task by id, unique prefix of its id, slug, or alias. Raises Usage naming what fits."""
    if name in tasks:
        return tasks[name]
    fits = [task for task in tasks.values() if task.id.startswith(name) or slug_of(task.id) == name]
    fits = fits or [task for task in tasks.values() if name in task.document.header.aliases]
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise Usage(f"{name!r} fits {len(fits)} tasks", remedy=", ".join(task.id for task in fits[:5]))
    raise Usage(f"no open task {name!r}", remedy="`hqd status` lists them")


def serve(draft: Draft, request: Request, now: datetime, in_the_way: Mapping[str, str] = MappingProxyType({})) -> None:
    """Does what is asked, in the draft; the reply leaves when the batch is durable.

    `in_the_way`: tasks that cannot move now, and the path at which a person's file keeps them from it.
    """
    try:
        if request.task is not None and in_the_way:
            _refuse_stuck(find(draft.tasks, request.task), in_the_way)
        message = _serve(draft, request, now)
    except HqdError as fault:
        draft.replies[request.id] = Reply(False, fault.message, fault.remedy, fault.exit_code)
    else:
        draft.replies[request.id] = Reply(True, message)


def _refuse_stuck(task: Task, in_the_way: Mapping[str, str]) -> None:
    path = in_the_way.get(task.id)
    if path is not None:
        raise Expected(f"{path} stands in the way of {task.id}", remedy="move that file away, or commit it")


def _serve(draft: Draft, request: Request, now: datetime) -> str:
    for name, value in request.fields.items():
        if isinstance(value, str) and scan(value):
            raise Usage(f"a secret stands in {name}; it is not committed", remedy="say it without the secret")
    speaker = Speaker(request.person, Via.CLI)
    serve_hq = _FOR_HQ.get(request.word)
    if serve_hq is not None:
        return serve_hq(draft, request.fields, speaker, now)
    serve_task = _FOR_TASK.get(request.word)
    if serve_task is None:
        raise Usage(
            f"this daemon does not know the word {request.word!r}", remedy="are hqd and its daemon of one version?"
        )
    return serve_task(draft, find(draft.tasks, request.task or ""), request.fields, speaker, now)


def _retry(draft: Draft, task: Task, fields: dict[str, Any], speaker: Speaker, now: datetime) -> str:
    return words.retry(draft, task, speaker, now, step=fields.get("from"))


def _drop(draft: Draft, task: Task, fields: dict[str, Any], speaker: Speaker, now: datetime) -> str:
    return words.drop(draft, task, speaker, now, why=fields.get("message") or "")


def _answer(draft: Draft, task: Task, fields: dict[str, Any], speaker: Speaker, now: datetime) -> str:
    return words.answer(draft, task, speaker, now, fields.get("text") or "")


def _changes(draft: Draft, task: Task, fields: dict[str, Any], speaker: Speaker, now: datetime) -> str:
    return words.request_changes(draft, task, speaker, now, fields.get("message") or "", to=fields.get("to"))


def _reject(draft: Draft, task: Task, fields: dict[str, Any], speaker: Speaker, now: datetime) -> str:
    return words.reject(draft, task, speaker, now, fields.get("message") or "")


def _approve(draft: Draft, task: Task, fields: dict[str, Any], speaker: Speaker, now: datetime) -> str:
    """What is left for the draft: approvals that land nothing, or that a forge is to land. The others are merged."""
    words.check_review(task)
    if task.cursor.review is not None and task.cursor.review.number is not None and landings.lands(task, draft.board):
        return words.ask_merge(draft, task, task.cursor.review, speaker, now)
    return words.approve_flow(draft, task, speaker, now)


def _retry_many(draft: Draft, fields: dict[str, Any], speaker: Speaker, now: datetime) -> str:
    reason = fields.get("reason")
    wanted = ParkReason(reason) if reason in {each.value for each in ParkReason} else None
    if reason is not None and wanted is None:
        raise Usage(f"no park reason {reason!r}", remedy=", ".join(each.value for each in ParkReason))
    blocked = [task for task in draft.tasks.values() if task.state is State.BLOCKED]
    chosen = [task for task in blocked if wanted is None or task.cursor.reason is wanted]
    for task in chosen:
        words.retry(draft, task, speaker, now, step=fields.get("from"))
    return f"{len(chosen)} task{'' if len(chosen) == 1 else 's'} back in the queue"


def _pause(draft: Draft, fields: dict[str, Any], speaker: Speaker, now: datetime) -> str:
    if draft.paused:
        return "paused already"
    text = (fields.get("message") or f"paused by {speaker.name}") + "\n"
    _paused_file(draft, "pause", text.encode(), speaker, now)
    draft.paused = True
    return "paused: nothing new begins; what runs goes on"


def _resume(draft: Draft, fields: dict[str, Any], speaker: Speaker, now: datetime) -> str:
    name = fields.get("name")
    if name is None:
        lifted = [hold for hold in draft.holds if hold in draft.board.holds and hold not in draft.board.local]
        for hold in lifted:
            draft.lift(hold, now, speaker.name, "hqd resume")
        if draft.paused:
            _paused_file(draft, "resume", None, speaker, now)
            draft.paused = False
        return "resumed" + (f"; lifted {', '.join(lifted)}" if lifted else "")
    if name not in draft.holds:
        raise Usage(f"no hold {name!r}", remedy=f"there are: {', '.join(draft.holds) or 'none'}")
    if name in draft.board.local:
        raise Usage(
            f"hold {name} lifts when its cause is gone: {draft.holds[name].missing}", remedy="hqd sync looks now"
        )
    draft.lift(name, now, speaker.name, "hqd resume")
    return f"hold {name} lifted"


def _paused_file(draft: Draft, word: str, data: bytes | None, speaker: Speaker, now: datetime) -> None:
    draft.batch.plain(
        Transition(
            message=f"hqd: {word}\n\nHqd-Via: {speaker.via.value}\n",
            at=now,
            writes=((layout.PAUSED, data),) if data is not None else (),
            deletes=(layout.PAUSED,) if data is None else (),
            author=speaker.person,
        )
    )


def _nothing(draft: Draft, fields: dict[str, Any], speaker: Speaker, now: datetime) -> str:
    return "looked"


def _adopt(draft: Draft, fields: dict[str, Any], speaker: Speaker, now: datetime) -> str:
    """Said while history is held, the loop has heard it before the desk does."""
    return "nothing to adopt: no record is missing from main"


_TaskWord = Callable[[Draft, Task, dict[str, Any], Speaker, datetime], str]
_HqWord = Callable[[Draft, dict[str, Any], Speaker, datetime], str]
_FOR_TASK: dict[str, _TaskWord] = {
    "retry": _retry,
    "drop": _drop,
    "answer": _answer,
    "request-changes": _changes,
    "reject": _reject,
    "approve": _approve,
}
_FOR_HQ: dict[str, _HqWord] = {
    "retry-many": _retry_many,
    "pause": _pause,
    "resume": _resume,
    "look": _nothing,
    "adopt": _adopt,
}
