"""What a forge knows: pull requests, what people said, checks, permissions; and everything that people do there.

    forge = FakeForge(ForgeRepository(Git(bare, env).quick))
    forge.add_user("tim", "write")
    forge.approve(1, by="tim")          # a person's act, as if by button
    forge.outbox                        # what webhooks would tell, delivered when a test says so

Time is the forge's own: whole seconds, one on with each change, so that nothing depends on how fast a test runs.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hqd.testing.forge_repository import ForgeRepository

START = datetime(2026, 1, 1, tzinfo=UTC)


class Refused(Exception):
    """The forge says no. `kind` is one word; flavours turn it into their own status and shape."""

    def __init__(self, kind: str, message: str, field: str = "base") -> None:
        super().__init__(message)
        self.kind, self.message, self.field = kind, message, field


@dataclass(slots=True)
class User:
    id: int
    login: str
    permission: str  # none, read, write, admin
    bot: bool = False


@dataclass(slots=True)
class Pull:
    number: int
    id: int
    title: str
    body: str
    author: str
    branch: str
    base: str
    head: str
    created: datetime
    updated: datetime
    draft: bool = False
    fork: str | None = None
    state: str = "open"
    closed_at: datetime | None = None
    merged_at: datetime | None = None
    merged_by: str | None = None
    landed: str | None = None
    labels: list[str] = field(default_factory=list)
    reviewers: list[str] = field(default_factory=list)
    assignees: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Said:
    """A comment, a line comment, or a review."""

    id: int
    number: int
    author: str
    body: str
    created: datetime
    updated: datetime
    commit: str = ""
    path: str = ""
    line: int = 0
    side_of_line: str = "RIGHT"
    reply_to: int | None = None
    review: int | None = None
    verdict: str = ""  # APPROVED, CHANGES_REQUESTED, COMMENTED, DISMISSED
    resolved: bool = False
    outdated: bool = False


@dataclass(slots=True)
class Status:
    id: int
    commit: str
    name: str
    state: str  # success, failure, error, pending; of a run also skipped
    summary: str
    url: str
    author: str
    at: datetime
    run: bool = False


@dataclass(frozen=True, slots=True)
class Protection:
    """What a branch asks for before a merge. `queue`: only the merge queue merges."""

    approvals: int = 0
    checks: tuple[str, ...] = ()
    queue: bool = False
    dismiss_stale: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a webhook would tell. `id`: of the delivery."""

    id: str
    kind: str  # pull_request, review, line_comment, comment, status, push
    action: str
    number: int | None
    by: str


class FakeForge:
    """One repository on a forge. Thread-safe by `lock`, which servers hold for a whole request."""

    def __init__(self, repository: ForgeRepository, name: str = "acme/hq", me: str = "hqd-bot") -> None:
        self.repository, self.name, self.me = repository, name, me
        self.lock = threading.RLock()
        self.users: dict[str, User] = {}
        self.pulls: dict[int, Pull] = {}
        self.comments: list[Said] = []
        self.lines: list[Said] = []
        self.reviews: list[Said] = []
        self.statuses: list[Status] = []
        self.labels: dict[str, int] = {}
        self.protected: dict[str, Protection] = {}
        self.outbox: list[Event] = []
        self.drafts_allowed = True
        self.styles = {"merge", "squash", "rebase"}
        self.now = START
        self._ids = 1000
        self.add_user(me, "write")

    def next_id(self) -> int:
        self._ids += 1
        return self._ids

    def tick(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now

    def add_user(self, login: str, permission: str = "read", *, bot: bool = False) -> User:
        self.users[login] = User(self.next_id(), login, permission, bot)
        return self.users[login]

    def label_id(self, name: str) -> int:
        return self.labels.setdefault(name, len(self.labels) + 1)

    def look(self) -> None:
        """Takes in what was pushed: new heads, vanished branches, work that reached its base by a plain push."""
        with self.lock:
            self.repository.read_again()
            tips = self.repository.tips()
            for pull in [each for each in self.pulls.values() if each.state == "open" and each.fork is None]:
                self._look_at(pull, tips)

    def _look_at(self, pull: Pull, tips: dict[str, str]) -> None:
        tip, base = tips.get(pull.branch), tips.get(pull.base)
        if tip is None:
            self._end(pull, "closed", pull.author)
            return
        if tip != pull.head:
            pull.head, pull.updated = tip, self.tick()
            self.repository.keep(pull.number, tip)
            self._outdate(pull)
            self._tell("pull_request", "synchronize", pull.number, pull.author)
        if base is not None and self.repository.contains(base, tip):
            pull.landed = base if base == tip else self._landing(base, tip)
            self._end(pull, "merged", pull.author)

    def _landing(self, base: str, tip: str) -> str:
        """The commit of the base's own line that brought `tip`."""
        return next((each for each in self.repository.ahead(tip, base)), base)

    def _outdate(self, pull: Pull) -> None:
        for said in self.lines:
            said.outdated = said.outdated or (said.number == pull.number and said.commit != pull.head)
        if self.protected.get(pull.base, Protection()).dismiss_stale:
            for said in self.reviews:
                if said.number == pull.number and said.verdict == "APPROVED":
                    said.verdict, said.updated = "DISMISSED", self.tick()

    def open(
        self, branch: str, base: str, title: str, body: str = "", *, by: str = "", draft: bool = False, fork: str = ""
    ) -> Pull:
        """Refuses what forges refuse: no such branch, nothing new on it, one that is open already."""
        with self.lock:
            author = by or self.me
            head, onto = self.repository.tip(branch), self.repository.tip(base)
            if head is None or onto is None:
                raise Refused("invalid", "invalid", "head" if head is None else "base")
            if not fork and any(
                (each.branch, each.base, each.state, each.fork) == (branch, base, "open", None)
                for each in self.pulls.values()
            ):
                raise Refused("exists", f"A pull request already exists for {self.name.split('/')[0]}:{branch}.")
            if not self.repository.ahead(onto, head):
                raise Refused("invalid", f"No commits between {base} and {branch}")
            if draft and not self.drafts_allowed:
                raise Refused("no_drafts", "Draft pull requests are not supported in this repository.")
            at, number = self.tick(), len(self.pulls) + 1
            pull = Pull(number, self.next_id(), title, body, author, branch, base, head, at, at, draft, fork or None)
            self.pulls[number] = pull
            self.repository.keep(number, head)
            self._tell("pull_request", "opened", number, author)
            return pull

    def edit(self, number: int, by: str = "", **changes: str | bool) -> Pull:
        with self.lock:
            pull = self.pulls[number]
            for name, value in changes.items():
                setattr(pull, name, value)
            self._touch(pull, "edited", by or self.me)
            return pull

    def close(self, number: int, by: str = "") -> Pull:
        with self.lock:
            pull = self.pulls[number]
            if pull.state == "open":
                self._end(pull, "closed", by or self.me)
            return pull

    def reopen(self, number: int, by: str = "") -> Pull:
        with self.lock:
            pull = self.pulls[number]
            if pull.merged_at is not None or self.repository.tip(pull.branch) is None:
                raise Refused("invalid", "state cannot be changed. The branch is gone, or it was merged.", "state")
            if pull.state == "closed":
                pull.state, pull.closed_at = "open", None
                self._touch(pull, "reopened", by or self.me)
            return pull

    def merge(self, number: int, style: str = "merge", *, by: str = "", message: str = "", head: str = "") -> str:
        """By button. The commit that brought it."""
        with self.lock:
            self.look()
            pull, who = self.pulls[number], by or self.me
            if head and head != pull.head:
                raise Refused("head_moved", "Head branch was modified. Review and try the merge again.")
            blocked = self.blocked(pull) if pull.state == "open" else "Pull Request is not mergeable"
            if blocked or style not in self.styles:
                raise Refused("blocked", blocked or f"{style} merges are not allowed on this repository.")
            text = message or f"{pull.title} (#{number})"
            made = self.repository.merge(style, pull.base, pull.head, text, who)
            if made is None:
                raise Refused("conflict", "Pull Request has merge conflicts")
            pull.landed = made
            self._end(pull, "merged", who)
            self.look()
            return made

    def blocked(self, pull: Pull) -> str:
        """Why a merge is refused, conflicts apart; empty: it is not."""
        rule = self.protected.get(pull.base, Protection())
        if pull.draft:
            return "Pull Request is still a draft"
        if rule.queue:
            return "Changes must be made through the merge queue"
        if len(self.approvers(pull)) < rule.approvals:
            return f"At least {rule.approvals} approving review is required by reviewers with write access."
        passed = {each.name for each in self.checks(pull.head) if each.state == "success"}
        missing = [name for name in rule.checks if name not in passed]
        return f'Required status check "{missing[0]}" is expected.' if missing else ""

    def approvers(self, pull: Pull) -> set[str]:
        last = {
            each.author: each.verdict
            for each in self.reviews
            if each.number == pull.number and each.verdict != "COMMENTED"
        }
        return {who for who, verdict in last.items() if verdict == "APPROVED" and self.can_write(who)}

    def can_write(self, login: str) -> bool:
        return login in self.users and self.users[login].permission in ("write", "admin")

    def say(self, number: int, body: str, by: str = "") -> Said:
        """A comment on the whole."""
        with self.lock:
            said = self._said(number, by or self.me, body)
            self.comments.append(said)
            self._touch(self.pulls[number], "created", said.author, kind="comment")
            return said

    def edit_comment(self, identity: int, body: str) -> Said | None:
        with self.lock:
            said = next((each for each in self.comments if each.id == identity), None)
            if said is not None:
                said.body, said.updated = body, self.tick()
                self._touch(self.pulls[said.number], "edited", said.author, kind="comment")
            return said

    def approve(self, number: int, by: str, body: str = "") -> Said:
        return self._judge(number, by, "APPROVED", body)

    def request_changes(self, number: int, by: str, body: str = "") -> Said:
        return self._judge(number, by, "CHANGES_REQUESTED", body)

    def on_line(
        self, number: int, by: str, path: str, line: int, body: str, reply_to: int | None = None,
        review: int | None = None,
    ) -> Said:  # fmt: skip
        """A line comment, wrapped in a review without words as forges do, unless it belongs to one that is there."""
        with self.lock:
            wrapper = self._judge(number, by, "COMMENTED", "").id if review is None else review
            said = self._said(number, by, body)
            said.path, said.line, said.commit = path, line, self.pulls[number].head
            said.reply_to, said.review = reply_to, wrapper
            self.lines.append(said)
            self._touch(self.pulls[number], "created", by, kind="line_comment")
            return said

    def _judge(self, number: int, by: str, verdict: str, body: str) -> Said:
        with self.lock:
            said = self._said(number, by, body)
            said.verdict, said.commit = verdict, self.pulls[number].head
            self.reviews.append(said)
            pull = self.pulls[number]
            pull.reviewers = [each for each in pull.reviewers if each != by]
            self._touch(pull, "submitted", by, kind="review")
            return said

    def _said(self, number: int, by: str, body: str) -> Said:
        at = self.tick()
        return Said(self.next_id(), number, by, body, at, at)

    def set_status(
        self, commit: str, name: str, state: str, summary: str = "", url: str = "", by: str = "", *, run: bool = False
    ) -> Status:
        """A commit status, or with `run` a check run. The newest of a name counts."""
        with self.lock:
            if not self.repository.has(commit):
                raise Refused("invalid", f"No commit found for SHA: {commit}", "sha")
            status = Status(self.next_id(), commit, name, state, summary, url, by or self.me, self.tick(), run)
            self.statuses.append(status)
            self._tell("status", state, None, status.author)
            return status

    def checks(self, commit: str, *, run: bool | None = None) -> list[Status]:
        found = [each for each in self.statuses if each.commit == commit and run in (None, each.run)]
        return list({(each.name, each.run): each for each in found}.values())

    def assign(self, number: int, what: str, add: list[str], remove: tuple[str, ...] = ()) -> Pull:
        """`what`: labels, reviewers or assignees. Refuses reviewers who are not there, and the author."""
        with self.lock:
            pull = self.pulls[number]
            if what == "reviewers":
                strange = [each for each in add if each not in self.users or each == pull.author]
                if strange:
                    raise Refused("invalid", f"Reviews may only be requested from collaborators, not {strange[0]}")
            for name in add if what == "labels" else ():
                self.label_id(name)
            kept = [each for each in getattr(pull, what) if each not in remove]
            setattr(pull, what, list(dict.fromkeys([*kept, *add])))
            self._touch(pull, "labeled" if what == "labels" else "assigned", self.me)
            return pull

    def delete_branch(self, branch: str) -> None:
        with self.lock:
            if self.repository.tip(branch) is None:
                raise Refused("invalid", "Reference does not exist", "ref")
            self.repository.delete(branch)
            self.look()
            self._tell("push", "deleted", None, self.me)

    def _end(self, pull: Pull, how: str, by: str) -> None:
        pull.state, pull.closed_at = "closed", self.tick()
        if how == "merged":
            pull.merged_at, pull.merged_by = pull.closed_at, by
        self._touch(pull, "closed", by)

    def _touch(self, pull: Pull, action: str, by: str, kind: str = "pull_request") -> None:
        pull.updated = self.tick()
        self._tell(kind, action, pull.number, by)

    def _tell(self, kind: str, action: str, number: int | None, by: str) -> None:
        self.outbox.append(Event(f"delivery-{len(self.outbox) + 1}", kind, action, number, by))
