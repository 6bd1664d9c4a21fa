"""Port Forge over a forge with a server: a branch pushed, a pull request opened, and everything that is said on it.

Nothing here remembers anything. That a review is wanted is on main before the first request leaves (the claim of the
review step); what has been done already is read from the forge and the remote: the pull request by its branch, the
comment by its marker, checks and labels by their names. So a crash between any two requests costs a look, never a
second pull request.
"""

from __future__ import annotations

import hashlib

from hqd.adapters.local_forge import LocalForge
from hqd.errors import BranchMoved, ForgeRefused, HqdError, RemoteRefused, RemoteUnavailable
from hqd.model.board import Task
from hqd.model.opening import Brief, Opening
from hqd.model.playbook import Review as Wanted
from hqd.model.problem import one_line
from hqd.model.record import ReviewState
from hqd.model.remote import PushOutcome, RefUpdate
from hqd.model.review import Review, ReviewRequest, ReviewStatus
from hqd.ports import Branches, Remote, RemoteForge

LABELS = ("hqd",)
"""What every pull request of hqd's bears, beside those of its playbook."""

_NOT_NAMED = frozenset({"invalid", "missing", "unsupported"})
"""Refusals of a name (an unknown reviewer): told, and no reason to keep the work from people."""

_TRIES = 3


class ServerForge:
    """Port Forge. `base`: the branch that work is to land on."""

    def __init__(self, server: RemoteForge, remote: Remote, branches: Branches, base: str) -> None:
        self._server, self._remote, self._base = server, remote, base
        self._local = LocalForge(branches)

    @property
    def server(self) -> RemoteForge:
        return self._server

    @property
    def remote(self) -> Remote:
        return self._remote

    def open(self, wanted: Opening) -> ReviewState:
        """Draft first, ready when everything is said. Work that changes nothing has no pull request: words decide it.

        Raises BranchMoved, ForgeRefused, ForgeUnavailable, RemoteRefused, RemoteUnavailable.
        """
        state = self._local.open(wanted)
        if state.head == state.base:
            return state
        there = self._server.find_review(state.branch)
        self._push(wanted, state, there)
        brief = wanted.brief()
        pull = self._pull(wanted.task, state, there, brief)
        state = state.model_copy(update={"number": pull.number, "url": pull.url})
        if pull.status is ReviewStatus.OPEN:
            self._tell(wanted, pull, state.head, brief)
        return state

    def _push(self, wanted: Opening, state: ReviewState, there: Review | None) -> None:
        """The branch on the remote is at the work. Raises BranchMoved where a person has put it elsewhere meanwhile.

        Only what the task itself had under review, what has landed, and a person's commits that the work was brought
        together with are ever replaced, by compare-and-swap: rebased work does not descend from what it was before.
        """
        ref, before = f"refs/heads/{state.branch}", wanted.task.cursor.review
        expected = wanted.theirs or (before.head if before is not None and before.number is not None else None)
        known = {expected}
        if there is not None and there.status is ReviewStatus.MERGED:
            known.add(there.head)
        for _try in range(_TRIES):
            (done,) = self._remote.push([RefUpdate(ref, state.head, expected)])
            if done.outcome is PushOutcome.DONE:
                return
            if done.outcome is PushOutcome.POLICY:
                raise RemoteRefused(
                    "policy", f"{self._remote.url} does not take {state.branch}: {done.message}",
                    remedy=f"let hqd's account push branches named {state.branch.partition('/')[0]}/*",
                )  # fmt: skip
            found = self._remote.fetch().get(ref)
            if found is not None and found not in (state.head, *known):
                raise BranchMoved(wanted.task.id, state.head, found)
            expected = found
        raise RemoteUnavailable("down", f"{state.branch} changes on {self._remote.url} faster than it can be pushed")

    def _pull(self, task: Task, state: ReviewState, there: Review | None, brief: Brief) -> Review:
        """The pull request of the work: the open one, one that was closed and is taken up again, or a new one.

        One that somebody has closed while it was being worked on stays closed: what follows from that, its look says.
        """
        before = task.cursor.review
        if there is not None and there.status is ReviewStatus.MERGED and there.head == state.head:
            return there
        if there is not None and there.status is ReviewStatus.CLOSED:
            if before is not None and before.number == there.number and not before.taken_up:
                return there
            there = self._reopened(there)
        if there is not None and there.status is ReviewStatus.OPEN:
            return self._updated(there, brief)
        return self._server.open_review(
            ReviewRequest(branch=state.branch, base=self._base, title=brief.title, body=signed(brief), draft=True)
        )

    def _reopened(self, closed: Review) -> Review | None:
        try:
            return self._server.reopen(closed.number)
        except ForgeRefused as refused:
            if refused.cause in ("credentials", "rights", "moved"):
                raise
            return None  # forges do not reopen what was force-pushed, or whose branch was gone

    def _updated(self, there: Review, brief: Brief) -> Review:
        """Title and body as hqd would write them now; what a person has rewritten stays."""
        if not is_own(there.body) or there.body == signed(brief):
            return there
        title = brief.title if is_own_title(there) else None
        return self._server.update_review(there.number, title=title, body=signed(brief))

    def _tell(self, wanted: Opening, pull: Review, head: str, brief: Brief) -> None:
        """What was done once and recorded is people's since: a draft again, or a label taken off, is meant so."""
        before, review = wanted.task.cursor.review, wanted.step.review
        first = before is None or before.number != pull.number
        self._server.report(head, brief.checks)
        notes = self._assign(pull, review, wanted.asked, first) if review is not None else []
        self._comment(pull.number, wanted.task.id, "\n\n".join([brief.comment, *(note for note in notes if note)]))
        if pull.draft and first:
            self._server.update_review(pull.number, draft=False)

    def _comment(self, number: int, task: str, text: str) -> None:
        """A conversation that is locked keeps the work from nobody."""
        try:
            self._server.comment(number, task, text)
        except ForgeRefused as refused:
            if refused.cause == "credentials":
                raise

    def _assign(self, pull: Review, wanted: Wanted, asked: bool, first: bool) -> list[str]:
        """Labels and, where people are asked, reviewers and assignees; a line for each that the forge does not take."""
        labels = [label for label in (*LABELS, *wanted.labels) if label not in pull.labels]
        if labels and first:
            self._server.assign(pull.number, labels=labels)
        if not asked:
            return []
        reviewers = [name for name in wanted.reviewers if name not in pull.reviewers and name != pull.author.login]
        assignees = [name for name in wanted.assignees if name not in pull.assignees and first]
        return [
            *(self._ask(pull.number, reviewers=name) for name in reviewers),
            *(self._ask(pull.number, assignees=name) for name in assignees),
        ]

    def _ask(self, number: int, *, reviewers: str = "", assignees: str = "") -> str:
        """One person; a line for people where the forge does not know him, or does not let him be asked."""
        try:
            self._server.assign(
                number, reviewers=[reviewers] if reviewers else (), assignees=[assignees] if assignees else ()
            )
        except ForgeRefused as refused:
            if refused.cause not in _NOT_NAMED:
                raise
            what = "ask for the review of" if reviewers else "assign"
            return f"The forge does not let hqd {what} `{one_line(reviewers or assignees)}`."
        return ""


class NoForge:
    """Port Forge where `[forge]` cannot be used as it is written: every opening says why."""

    server = None

    def __init__(self, branches: Branches, fault: HqdError) -> None:
        self._local, self._fault = LocalForge(branches), fault

    def open(self, wanted: Opening) -> ReviewState:
        """Raises what is wrong with the settings; work that changes nothing needs no forge."""
        state = self._local.open(wanted)
        if state.head != state.base:
            raise self._fault
        return state


_SIGNED = "\n\n<!-- hqd-body:"


def signed(brief: Brief) -> str:
    """A body with a hidden line that tells whether a person has changed it, or the title, since."""
    return f"{brief.body.rstrip()}{_SIGNED}{_digest(brief.body)} {_digest(brief.title)} -->"


def is_own(body: str) -> bool:
    """Whether a pull request's body is as hqd wrote it, line ends apart."""
    text, _mark, rest = body.replace("\r\n", "\n").rpartition(_SIGNED)
    return rest.split()[:1] == [_digest(text)]


def is_own_title(there: Review) -> bool:
    """Whether the title is the one that hqd wrote together with the body; of old ones it is not known."""
    return _digest(there.title) in there.body.rpartition(_SIGNED)[2].split()[1:2]


def _digest(body: str) -> str:
    return hashlib.sha256(body.replace("\r\n", "\n").strip().encode("utf-8", "replace")).hexdigest()[:16]
