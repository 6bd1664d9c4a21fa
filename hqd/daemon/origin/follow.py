"""Following origin: main is brought in line with it, and what hqd did here is decided again where others were first.

Only `before` moves main, in the loop's thread. Four cases, told by ancestry alone:

- origin has nothing that main lacks: the line pushes what is ahead;
- main has nothing that origin lacks: main is advanced;
- both have something, and all that main has is hqd's own: it is decided again on origin's tip (`replay.py`);
- a person's commit is among what main has: one merge. A conflict is a hold that names the paths.

A tip of origin that lacks records of the one before was force-pushed: a hold, until it is whole again or a person says
`hqd adopt`. Nothing is ever forced.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hqd.daemon.batch import Written
from hqd.daemon.book import Book
from hqd.daemon.draft import Draft
from hqd.daemon.origin.line import Line
from hqd.daemon.origin.mainline import Mainline
from hqd.daemon.origin.replay import Replay, Unfit
from hqd.daemon.origin.words import Words, advice
from hqd.daemon.people import spool, words
from hqd.daemon.people.spool import Reply
from hqd.daemon.people.words import Seen, Speaker
from hqd.errors import Conflict, Expected, PathsInUse, RepositoryBusy, StaleHead
from hqd.model.change import Transition
from hqd.model.record import Event, Hold, Person, Via
from hqd.ports import Branches, History

if TYPE_CHECKING:
    from hqd.daemon.live import Live

HOLD = "origin"
REWRITTEN = "origin-rewritten"
_TOLD = 5


class Origin:
    """An Outside. `host`: of this clone; `shared`: several hosts work on this HQ (`hosts = "many"`)."""

    def __init__(
        self,
        line: Line,
        mainline: Mainline,
        history: History,
        branches: Branches,
        url: str,
        host: str,
        note: Callable[[str], None],
        tell: Callable[[dict[str, Any]], None],
        *,
        shared: Callable[[], bool],
        person: Callable[[], Person],
    ) -> None:
        self._line, self._main = line, mainline
        self._history, self._branches = history, branches
        self._url, self._host = url, host
        self._note, self._tell = note, tell
        self._shared, self._person = shared, person
        self._live: Live | None = None
        self._tip = ""
        self._fine = ("", "")  # main and a tip of origin that it has
        self._pending = False  # origin has what main lacks
        self._stuck = ""  # why it cannot be brought in, for people
        self._conflict: tuple[str, str] | None = None  # (reason, what is missing)
        self._judged: tuple[str, str] | None = None  # the pair of tips that the conflict is between
        self._left: list[str] = []
        self._suspect: tuple[str, int] | None = None  # a rewritten tip of origin, and when it was seen first
        self._replays: list[Replay] = []
        self._edited: dict[str, str] = {}  # tasks that others edited while hqd worked on them here: the new text's blob
        self._words = Words(url, note)
        self._told: dict[str, Any] = {}
        self._held = False  # the hold stood at the end of the last turn
        self._waved = 0  # the try after which a person lifted it
        self._kept = True  # refs/hqd/unpushed may hold something

    # -- an Outside -----------------------------------------------------------------------------------------------

    def open(self, live: Live, wake: Callable[[], None]) -> None:
        self._live = live
        self._tip = self._main.tip
        self._line.open(wake)

    def before(self, now: datetime) -> None:
        self._words.hear(self._line.news.fault, self._line.slow, goes_on=not self._shared())
        news = self._line.news
        if news.tip is not None:
            try:
                self._bring_in(news.tip, now)
            except (StaleHead, RepositoryBusy):
                pass  # a person is at work: the next turn looks again
            except PathsInUse as fault:
                self._stick(f"origin changes what you have not committed: {', '.join(fault.paths[:_TOLD])}")
        if self._main.tip != self._tip:
            self._tip = self._main.tip
            self._line.moved()

    def gather(self, draft: Draft, now: datetime) -> None:
        self._hear_later(draft)
        if self._replays:
            draft.carry = self._carry
        for task in [draft.tasks[name] for name, blob in self._edited.items() if name in draft.tasks]:
            if task.blob == self._edited[task.id]:
                words.edit(draft, task, Speaker(self._person(), Via.GIT), now, seen=Seen())
        if self._shared():
            self._hold_here(now)
            return
        hold = self._wanted(now)
        self._look_at_hold(HOLD in draft.holds, hold)
        fault = self._line.news.fault
        if hold is None:
            draft.lift(HOLD, now, "hqd", "origin takes hqd's work again")
        elif HOLD not in draft.holds and (fault is None or fault.tries != self._waved):
            draft.hold(hold, now)

    def _hear_later(self, draft: Draft) -> None:
        """`adopt` is a word on what origin shows now: under a hold of an earlier run it waits for those looks."""
        if self._live is not None and REWRITTEN in self._live.local_holds and self._line.news.fault is None:
            asked = [request.id for request in spool.waiting(self._live.private) if request.word == "adopt"]
            draft.deferred.update(asked)

    def _look_at_hold(self, there: bool, wanted: Hold | None) -> None:
        """A person who lifts the hold wants origin to be asked at once; only a new refusal makes a new hold."""
        fault = self._line.news.fault
        if self._held and not there and wanted is not None:
            self._waved = fault.tries if fault is not None else 0
            self.nudge()
        self._held = there

    def committed(self, written: Sequence[Written], now: datetime) -> None:
        self._edited.clear()
        if self._main.tip != self._tip:
            if self._live is not None and self._main.tip == self._live.tip and self._fine[0] == self._tip:
                self._fine = (self._main.tip, self._fine[1])  # hqd's own step forward
            self._tip = self._main.tip
            self._line.moved()
        if self._kept and not self._left and self._line.news.tip == self._tip:
            self._main.let_go()
            self._kept = False
        if self._live is not None and not self._shared():
            self._look_at_hold(HOLD in self._live.holds, self._wanted(now))
        why = (self._conflict or ("", self._stuck))[1]
        facts = self._words.facts(self._line.news, self._line.slow, why, self._left)
        if facts != self._told:
            self._told = facts
            self._tell(facts)

    def alarm(self) -> datetime | None:
        return None

    def nudge(self) -> None:
        self._judged = None
        self._line.nudge()

    @property
    def busy(self) -> bool:
        return self._line.busy or (self._pending and not self._stuck)

    @property
    def failed(self) -> bool:
        return bool(self._trouble())

    def _trouble(self) -> str:
        if (fault := self._line.news.fault) is not None:
            return f"{self._url}: {fault.message}"
        if self._conflict is not None:
            return self._conflict[1]
        hold = self._live.local_holds.get(REWRITTEN) if self._live is not None else None
        return f"hold {REWRITTEN}: {hold.missing}" if hold is not None else self._stuck

    def said(self) -> str:
        tip = self._line.news.tip
        level = "in line with" if tip == self._main.tip else "ahead of"
        left = f"; left out: {'; '.join(self._left[-_TOLD:])}" if self._left else ""
        return self._trouble() or f"{level} {self._url} at {(tip or 'nothing')[:12]}{left}"

    def close(self) -> None:
        self._line.close()

    # -- bringing main in line --------------------------------------------------------------------------------------

    def _bring_in(self, theirs: str, now: datetime) -> None:
        agreed, ours = self._main.agreed(), self._main.tip
        if (ours, theirs) == self._fine:
            return
        self._pending = True
        rewritten = agreed is not None and self._main.descends(agreed, ours) and not self._main.descends(agreed, theirs)
        if rewritten and not self._accepted(agreed or "", theirs, now):
            return
        if not rewritten and self._main.descends(theirs, ours):
            self._agree(theirs, now)
        elif not rewritten and self._main.descends(ours, theirs):
            self._advance(ours, theirs, self._seen())
            self._agree(theirs, now)
        elif self._judged != (ours, theirs):
            self._join(ours, theirs, agreed if rewritten else None, now)
        else:
            self._pending = False  # it waits for a person

    def _join(self, ours: str, theirs: str, agreed: str | None, now: datetime) -> None:
        """Both have what the other lacks. `agreed`: origin's last tip, which it has left by now."""
        since = agreed or self._main.meet(ours, theirs)
        if since is None:
            missing = (
                f"main and {self._url} have no commit in common; push main to an empty repository, or clone that one"
            )
            self._clash("unrelated", missing, ours, theirs)
            return
        commits = self._main.unpushed(since, ours)
        if all(each.ours for each in commits):
            self._again(ours, theirs, since, commits)
            self._agree(theirs, now)
            return
        if agreed is not None:
            missing = (
                "origin was force-pushed, and main has commits of a person that it lacks: bring them together by hand"
            )
            self._clash("conflict", missing, ours, theirs)
            return
        try:
            changes = self._main.merged(ours, theirs)
        except Conflict as fault:
            paths = ", ".join(fault.paths[:_TOLD])
            missing = f"commits of main and of origin conflict in {paths}: `git pull --no-rebase`, resolve, commit"
            self._clash("conflict", missing, ours, theirs)
            return
        (merge,) = self._main.build(ours, [_merge(changes, theirs, now)])
        self._advance(ours, merge, self._seen())
        self._agree(theirs, now)

    def _again(self, ours: str, theirs: str, since: str, commits: Sequence[Any]) -> None:
        """Decides hqd's own commits again on origin's tip; main moves once, when all of it is there."""
        replay = Replay(self._main, self._history, self._host, since, theirs, ours)
        found = replay.run(commits)
        self._kept = True
        self._main.keep(ours)
        seen = self._main.meet(ours, theirs) or theirs
        self._advance(ours, found.tip, seen)
        if self._live is not None:  # what origin has beyond `seen` is others' work; what follows it is hqd's own
            tree = self._history.tree(seen)
            book = Book()
            before, after = book.read(tree).tasks, book.read(self._history.tree(found.tip)).tasks
            self._live.tree, self._live.tasks = tree, dict(before)
            there = book.read(self._history.tree(theirs)).tasks
            for name in before.keys() & there.keys() & after.keys():
                if there[name].blob != before[name].blob and before[name].n != after[name].n:
                    self._edited[name] = there[name].blob  # records of hqd's own hide it from whoever compares trees
        self._replays.append(replay)
        for task, head in found.heads.items():
            self._point(task, head)
        self._note(f"origin was ahead: {len(commits)} transition{'s' * (len(commits) != 1)} decided again")
        for line in found.left:
            self._note(f"left out, because origin was first: {line}")
        self._left += found.left

    def _point(self, task: str, head: str) -> None:
        try:
            self._branches.point(task, head)
        except Expected as fault:
            self._note(f"{task}: branch not set: {fault.message}")

    def _carry(self, event: Event) -> Event:
        """What comes home from work that was begun before main was decided again."""
        for replay in self._replays:
            try:
                event = replay.carry(event)
            except Unfit:
                continue  # it conflicts: the work stays on the commit that it was begun on
        return event

    def _advance(self, ours: str, to: str, seen: str) -> None:
        if to != ours:
            self._main.advance(ours, to, seen)

    def _seen(self) -> str:
        return self._live.tip if self._live is not None and self._live.tip else self._main.tip

    def _agree(self, theirs: str, now: datetime) -> None:
        self._main.agree(theirs)
        self._line.clear(theirs)
        self._fine = (self._main.tip, theirs)
        if self._main.tip != theirs:
            self._line.moved()
        self._pending, self._stuck, self._suspect = False, "", None
        self._conflict = self._judged = None
        if self._live is not None and self._live.lift_locally(REWRITTEN):
            self._note("origin is whole again, or was adopted: hqd goes on")

    def _clash(self, reason: str, missing: str, ours: str, theirs: str) -> None:
        self._conflict, self._judged = (reason, missing), (ours, theirs)
        self._pending = False
        self._note(missing)

    def _stick(self, why: str) -> None:
        if why != self._stuck:
            self._note(f"waiting: {why}")
        self._stuck = why

    def _accepted(self, agreed: str, theirs: str, now: datetime) -> bool:
        """Whether origin's rewritten main may be followed: no record is missing there, or a person says so."""
        lost = self._lost(agreed, theirs)
        if not lost:
            return True
        looks = self._line.news.looks
        if self._suspect is None or self._suspect[0] != theirs:
            self._suspect = (theirs, looks)  # a server of several machines may show an old tip after a push
            self._line.look_again()
        if self._live is None or looks <= self._suspect[1]:
            return False
        hold = self._live.local_holds.get(REWRITTEN)
        if hold is None:
            missing = (
                f"main of {self._url} was force-pushed: {len(lost)} records of {agreed[:12]} are not in {theirs[:12]}"
                f" ({lost[0]}, …); push {agreed[:12]} there again, or accept it with `hqd adopt`"
            )
            hold = Hold(name=REWRITTEN, on="hq", reason="history_rewritten", since=now, missing=missing)
            self._live.hold_locally(hold)
            self._note(missing)
        self._pending = False
        private = self._live.private
        asked = [request for request in spool.waiting(private) if request.word == "adopt"]
        for request in asked:
            spool.answer(private, request.id, Reply(True, f"adopted {theirs[:12]} of {self._url}"))
        return bool(asked)

    def _lost(self, agreed: str, theirs: str) -> tuple[str, ...]:
        try:
            return self._history.lost_records(agreed, theirs)
        except KeyError:
            return ()

    # -- what people are told ---------------------------------------------------------------------------------------

    def _wanted(self, now: datetime) -> Hold | None:
        """The hold that is called for; a remote that is down is none, it only delays."""
        fault = self._line.news.fault
        if self._conflict is not None:
            reason, missing = self._conflict
        elif fault is not None and fault.kind != "down":
            reason, missing = f"origin_{fault.kind}", advice(fault, self._url)
        else:
            return None
        return Hold(name=HOLD, on="origin", reason=reason, since=now, missing=missing)

    def _hold_here(self, now: datetime) -> None:
        """Several hosts: without origin nothing can be committed, so the hold stands beside the repository."""
        if self._live is None:
            return
        fault = self._line.news.fault
        hold = self._wanted(now)
        if hold is None and fault is not None:
            hold = Hold(name=HOLD, on="hq", reason="origin_down", since=now, missing=f"origin: {fault.message}")
        there = self._live.local_holds.get(HOLD)
        if hold is None:
            self._live.lift_locally(HOLD)
        elif there is None:
            self._live.hold_locally(hold.model_copy(update={"on": "hq"}))


def _merge(changes: Sequence[tuple[str, str, str]], theirs: str, now: datetime) -> Transition:
    return Transition(
        message=f"Merge origin's main {theirs[:12]}\n",
        at=now,
        deletes=tuple(path for _mode, blob, path in changes if not blob),
        links=tuple((mode, blob, path) for mode, blob, path in changes if blob),
        merge=theirs,
    )
