"""Pull requests as the loop sees them: what was heard becomes events, what is to be said goes to the forge's thread.

Level-triggered: each look is kept as it came, and decided upon anew in every turn until what follows is durable. A
look that began before the task's last move is not believed about it: another one is asked for.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from hqd.core.reviews.replies import Reply, replies
from hqd.core.reviews.words import Act, Heard, Said, Terms, listen
from hqd.daemon.batch import Written
from hqd.daemon.draft import Draft
from hqd.daemon.forge import memory
from hqd.daemon.forge.asking import Asker, Look, Round, Told, Want
from hqd.daemon.forge.heeding import heed, terms_of
from hqd.daemon.forge.source import Source, Sources
from hqd.daemon.forge.troubles import Troubles
from hqd.daemon.forge.turns import Turns
from hqd.daemon.live import Live
from hqd.daemon.repositories.places import Places
from hqd.errors import Expected
from hqd.model.board import Board, Task
from hqd.model.forge_news import RepositoryNews, ReviewNews
from hqd.model.record import ReviewState
from hqd.model.review import ReviewStatus
from hqd.model.task import State

SAVE_EVERY = 1.0
"""Seconds between two writings of what was heard."""
_STRICT = frozenset({State.REVIEW, State.BLOCKED})
"""States in which the branch does not move by hqd itself: what a look from before says of it is not believed."""

NOTHING = Said()


@dataclass(slots=True)
class _Known:
    """What is known of one task's pull request."""

    look: Look | None = None
    first: dict[str, datetime] = field(default_factory=dict)
    orders: dict[str, str] = field(default_factory=dict)  # item -> what its author is told
    letters: tuple[Reply, ...] = ()
    said: Said = NOTHING
    judged: tuple[int, int] | None = None  # record number and look, of `said`
    looks: int = 0
    awaits: tuple[int, bool] = (-1, False)  # record number, and whether the forge's checks matter


class Watch:
    """Port Outside. `sources` and `places` by name in `[repos.*]`; `poll`: seconds between two rounds."""

    def __init__(
        self,
        sources: Sources,
        places: Places,
        poll: Callable[[], float],
        secrets: Callable[[], Collection[str]],
        now: Callable[[], datetime],
        private: Path,
        turns: Turns,
    ) -> None:
        self._turns = turns
        self._sources, self._places = sources, places
        self._poll, self._secrets, self._now, self._private = poll, secrets, now, private
        self._inbox: queue.SimpleQueue[tuple[str | None, Told]] = queue.SimpleQueue()
        self._askers: dict[str | None, Asker] = {}
        self._known: dict[str, _Known] = {}
        self._answers: dict[str, tuple[str, str]] = {}  # of this draft: task -> (item, what its author is told)
        self._troubles = Troubles()
        self._until: dict[str, datetime] = {}
        self._wake: Callable[[], None] = lambda: None
        self._live: Live | None = None
        self._news = memory.read(private)
        self._dirty, self._saved = False, float("-inf")

    def open(self, live: Live, wake: Callable[[], None]) -> None:
        self._live, self._wake = live, wake

    def before(self, now: datetime) -> None:
        """Nothing: the forge never moves main here."""

    def gather(self, draft: Draft, now: datetime) -> None:
        self._answers = {}
        while not self._inbox.empty():
            self._take(*self._inbox.get())
        self._troubles.hold(draft, now)
        wants: dict[str | None, dict[int, Want]] = {repo: {} for repo in self._askers}
        askers: dict[str | None, Asker | None] = {}
        followed = set()
        for task in list(draft.tasks.values()):
            state, repo = task.cursor.review, task.cursor.repo
            if state is None or state.number is None:
                continue
            if repo not in askers:
                askers[repo] = self._asker(repo)
            asker = askers[repo]
            if asker is not None:
                followed.add(task.id)
                wants.setdefault(repo, {})[state.number] = self._follow(draft, task, state, asker.source, now)
        for repo, wanted in wants.items():
            self._askers[repo].want(wanted)
        self._troubles.keep(askers)
        for gone in self._known.keys() - followed:
            self._forget(gone)
        self._save()

    def committed(self, written: Sequence[Written], now: datetime) -> None:
        for task, (item, text) in self._answers.items():
            if task in self._known:
                self._known[task].orders[item] = text
            self._last_word(task, item, text, written)
        self._answers = {}

    def alarm(self) -> datetime | None:
        return min(self._until.values(), default=None)

    def nudge(self) -> None:
        for asker in self._askers.values():
            asker.nudge()

    def hint(self, number: int | None = None, commit: str | None = None) -> None:
        """Something has changed, as a webhook says: a pull request, what is known of a commit, or something somewhere.
        From any thread."""
        for asker in list(self._askers.values()):
            asker.hint(number, commit)

    @property
    def busy(self) -> bool:
        if not self._inbox.empty() or any(asker.busy for asker in list(self._askers.values())):
            return True
        if self._troubles.first is not None:
            return False
        return any(asker.unsaid for asker in self._askers.values()) or any(
            known.said.fresh for known in self._known.values()
        )

    def said(self) -> str:
        if not self._askers:
            return ""
        if (fault := self._troubles.first) is not None:
            return f"forge: {fault.message}"
        count = len(self._known)
        return f"forge: asked, {count} pull request{'' if count == 1 else 's'} followed"

    def close(self) -> None:
        for asker in self._askers.values():
            asker.close()
        if self._dirty:
            memory.write(self._private, self._news)

    # -- what came ----------------------------------------------------------------------------------------------

    def _asker(self, repo: str | None) -> Asker | None:
        """The thread of a repository; another one where hqd.toml now names another forge."""
        try:
            source = self._sources(repo)
        except Expected as fault:
            source = None
            self._troubles.unknown(repo, fault)
        known = self._askers.get(repo)
        if source is None or (known is not None and known.source.server is source.server):
            return known if source is not None else None
        if known is not None:
            known.close()
        since = self._news.repositories.get(repo or "", RepositoryNews()).since if known is None else None
        made = Asker(source, self._poll, lambda told: self._deliver(repo, told), self._now, since)
        self._askers[repo] = made
        return made

    def _deliver(self, repo: str | None, told: Told) -> None:
        """From the asker's thread."""
        self._inbox.put((repo, told))
        self._wake()

    def _take(self, repo: str | None, told: Told) -> None:
        about = self._news.repositories.get(repo or "", RepositoryNews())
        if isinstance(told, Look):
            known = self._known.setdefault(told.task, _Known())
            known.look, known.looks = told, known.looks + 1
            known.first = {item.id: known.first.get(item.id, self._now()) for item in told.heard.items}
        elif isinstance(told, Round):
            about = about.model_copy(update={"asked": told.at, "trouble": "", "failing": None, "since": told.since})
            self._troubles.answered(repo, told.at)
            self._tell(repo, about)
        elif told.number is None:
            words = {"trouble": told.fault.message, "failing": about.failing or told.at}
            self._troubles.failed(repo, told.fault)
            self._tell(repo, about.model_copy(update=words))
        else:
            for task, known in self._known.items():
                if known.look is not None and known.look.number == told.number:
                    self._tell_of(task, trouble=told.fault.message)

    # -- what follows -------------------------------------------------------------------------------------------

    def _follow(self, draft: Draft, task: Task, state: ReviewState, source: Source, now: datetime) -> Want:
        """Decides on one task, lays what follows into the draft, and says what is to be asked about it next."""
        known = self._known.setdefault(task.id, _Known())
        self._judge(draft, task, known, source, now)
        kept = self._news.reviews.get(task.id)
        known_at = kept.updated if kept is not None and kept.quiet and kept.stamp == task.n else None
        awaited = known.said.pending
        return Want(
            task=task.id, number=state.number or 0, head=state.head, stamp=task.n, known=known_at,
            checks=self._awaits(task, known, draft.board), pending=awaited, letters=known.letters,
            after=self._turns.after(task),
        )  # fmt: skip

    def _judge(self, draft: Draft, task: Task, known: _Known, source: Source, now: datetime) -> None:
        state, look = task.cursor.review, known.look
        if state is None or look is None or look.number != state.number:
            return
        due = self._until.get(task.id)
        merged = look.heard.review.status is ReviewStatus.MERGED
        again = known.judged == (task.n, known.looks)
        if again and not merged and (due is None or now < due):
            return
        if again and due is not None and now >= due > look.heard.began and self._turns.after(task):
            self._until[task.id] = now + timedelta(seconds=self._turns.others())
            self._askers[task.cursor.repo].hint(look.number)  # looks of another host's tasks may be old
            return
        terms = terms_of(task, draft.board, source.base, frozenset(self._secrets()))
        if terms is None or (task.state in _STRICT and look.stamp != task.n):
            return
        heard = replace(look.heard, first=known.first)
        if merged and heard.review.landed is not None:
            terms = replace(terms, landed=source.descends(heard.review.landed, source.main()))
        known.said = listen(task.state, state, heard, terms, now)
        self._heed(draft, task, known, heard, terms, now)

    def _heed(self, draft: Draft, task: Task, known: _Known, heard: Heard, terms: Terms, now: datetime) -> None:
        said = known.said
        self._until.pop(task.id, None)
        if said.until is not None:
            self._until[task.id] = said.until
        elif said.fresh:
            self._askers[task.cursor.repo].hint(heard.review.number)
        if said.act is not None:
            self._act(draft, task, said.act, now)
            return
        known.judged = (task.n, known.looks)
        why = {item: self._why(task, draft.board, said) for item in said.why}
        state = task.cursor.review
        known.letters = replies(state, heard, known.orders, why) if state is not None else ()
        self._tell_of(
            task.id, number=heard.review.number, url=heard.review.url, waits=said.waits, unheard=said.unheard,
            updated=heard.review.updated, stamp=task.n, at=heard.began, trouble="",
            quiet=known.look is not None and known.look.sure and _quiet(said, heard, known),
        )  # fmt: skip

    def _act(self, draft: Draft, task: Task, act: Act, now: datetime) -> None:
        answer = heed(draft, task, act, self._places(task.cursor.repo).branches, now)
        if answer is not None:
            self._answers[task.id] = answer

    def _awaits(self, task: Task, known: _Known, board: Board) -> bool:
        if known.awaits[0] != task.n:
            terms = terms_of(task, board, "", frozenset())
            known.awaits = (task.n, terms is not None and bool(terms.awaited))
        return known.awaits[1]

    def _why(self, task: Task, board: Board, said: Said) -> str:
        """What `/hqd why` is answered with."""
        cursor = task.cursor
        where = f"`{task.state.value}/`, at step `{cursor.step}`, round {cursor.round}"
        missing = said.waits if task.state is State.REVIEW else cursor.missing
        return f"It is in {where}. Missing: {(missing or 'nothing; hqd works on it').rstrip('.')}."

    def _last_word(self, task: str, item: str, text: str, written: Sequence[Written]) -> None:
        """A task that has ended is followed no more, so its last reply is handed over here."""
        ended = next((each.after for each in written if each.after is not None and each.after.id == task), None)
        if ended is None or ended.state.open or ended.cursor.review is None or ended.cursor.review.number is None:
            return
        asker = self._askers.get(ended.cursor.repo)
        if asker is not None:
            asker.post(ended.cursor.review.number, Reply(f"to:{item}", text))

    # -- what people are told -----------------------------------------------------------------------------------

    def _forget(self, task: str) -> None:
        self._known.pop(task, None)
        self._until.pop(task, None)
        if task in self._news.reviews:
            kept = {name: each for name, each in self._news.reviews.items() if name != task}
            self._news, self._dirty = self._news.model_copy(update={"reviews": kept}), True

    def _tell(self, repo: str | None, about: RepositoryNews) -> None:
        repositories = {**self._news.repositories, (repo or ""): about}
        self._news, self._dirty = self._news.model_copy(update={"repositories": repositories}), True

    def _tell_of(self, task: str, **fields: object) -> None:
        known = self._news.reviews.get(task)
        if known is None and "number" not in fields:
            return
        about = known.model_copy(update=fields) if known is not None else ReviewNews.model_validate(fields)
        if about != known:
            self._news.reviews[task] = about
            self._dirty = True

    def _save(self) -> None:
        if self._dirty and time.monotonic() - self._saved >= SAVE_EVERY:
            memory.write(self._private, self._news)
            self._dirty, self._saved = False, time.monotonic()


def _quiet(said: Said, heard: Heard, known: _Known) -> bool:
    """Whether nothing is due before something moves on the forge: a restart need not look."""
    return (
        said.until is None
        and not (said.pending or said.fresh or said.why or known.letters)
        and heard.review.status is ReviewStatus.OPEN
    )
