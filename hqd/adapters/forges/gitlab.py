"""GitLab. From its API's documentation; held against the fake's shapes, not against a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from hqd.adapters.forges import gitlab_words as words
from hqd.adapters.forges import marker as marks
from hqd.adapters.forges.answer import Json
from hqd.adapters.forges.http import ForgeHttp, Params
from hqd.adapters.forges.merging import merged
from hqd.adapters.forges.served import Served
from hqd.errors import ForgeRefused
from hqd.model.review import (
    Account,
    Check,
    MergeStyle,
    Permission,
    Review,
    ReviewItem,
    ReviewRequest,
)

API = "https://gitlab.com/api/v4"
_ISO = "%Y-%m-%dT%H:%M:%SZ"
_LINEAR = {"ff", "rebase_merge"}
"""Merge methods of a project under which a merge is a rebase; GitLab lets the project choose, not the merge."""


class GitLabForge(Served):
    """Port RemoteForge. `repo`: the project's path, `group/sub/name`. A pull request is a merge request."""

    LOGIN, EDIT, COMMENT, BODY = "username", "PUT", "note", "description"
    CLOSED, OPEN = {"state_event": "close"}, {"state_event": "reopen"}

    def __init__(self, http: ForgeHttp, repo: str) -> None:
        if "/" not in repo.strip("/"):
            raise ForgeRefused("missing", f"no project of GitLab: {repo!r}", remedy="write `repo` as group/name")
        super().__init__(http, f"/projects/{quote(repo.strip('/'), safe='')}")

    def open_review(self, wanted: ReviewRequest) -> Review:
        there = self._open_one(wanted.branch)
        if there is not None:
            return there
        body = {
            "title": words.titled(wanted.title, wanted.draft), "source_branch": wanted.branch,
            "target_branch": wanted.base, "description": marks.fitting(wanted.body), "remove_source_branch": False,
        }  # fmt: skip
        path = f"{self._at}/merge_requests"
        return self._opened_once(path, body, lambda: self._open_one(wanted.branch), words.review)

    def find_review(self, branch: str) -> Review | None:
        return self._open_one(branch) or next(self._of_branch(branch, "all"), None)

    def _open_one(self, branch: str) -> Review | None:
        return next(self._of_branch(branch, "opened"), None)

    def _of_branch(self, branch: str, state: str) -> Iterator[Review]:
        query: Params = {"source_branch": branch, "state": state, "order_by": "created_at", "sort": "desc"}
        for request in self._list("/merge_requests", query):
            found = words.review(request)
            if found.branch == branch and not found.fork:
                yield found

    def review(self, number: int) -> Review:
        return words.review(self._http.get(self._mr(number)).said)

    def changed_reviews(self, since: datetime | None) -> tuple[Review, ...]:
        query: Params = {"state": "opened", "order_by": "updated_at", "sort": "desc"}
        if since is not None:
            query = {**query, "state": "all", "updated_after": since.strftime(_ISO)}
        return tuple(words.review(request) for request in self._list("/merge_requests", query))

    def _titled(self, title: str, draft: bool) -> str:
        return words.titled(title, draft)

    def _edit(self, number: int, changes: Mapping[str, Any]) -> Review:
        return words.review(self._http.write("PUT", self._mr(number), changes).said)

    def assign(
        self,
        number: int,
        *,
        labels: Sequence[str] = (),
        without: Sequence[str] = (),
        reviewers: Sequence[str] = (),
        assignees: Sequence[str] = (),
    ) -> None:
        """Reviewers and assignees are set as a whole, by id: those who are there are named again."""
        changes: dict[str, Any] = {}
        for key, names in (("add_labels", labels), ("remove_labels", without)):
            if any("," in name for name in names):
                raise ForgeRefused("invalid", "GitLab has no labels with a comma")
            changes |= {key: ",".join(names)} if names else {}
        now = self.review(number) if reviewers or assignees else None
        if now is not None and reviewers:
            changes["reviewer_ids"] = [self._id(name) for name in dict.fromkeys([*now.reviewers, *reviewers])]
        if now is not None and assignees:
            changes["assignee_ids"] = [self._id(name) for name in dict.fromkeys([*now.assignees, *assignees])]
        if changes:
            self._edit(number, changes)

    def _id(self, login: str) -> int:
        found = self._user(login)
        if found is None:
            raise ForgeRefused("invalid", f"GitLab knows no user {login!r}", remedy="reviewers are people, by name")
        return found

    def _user(self, login: str) -> int | None:
        rows = self._http.get("/users", {"username": login}).said.rows()
        return next((row.number("id") for row in rows if row.name("username").lower() == login.lower()), None)

    def _said(self, number: int) -> Iterator[Json]:
        query: Params = {"sort": "asc", "order_by": "created_at"}
        return self._list(f"/merge_requests/{number}/notes", query)

    def _author(self, said: Json) -> Account:
        return words.account(said.maybe_part("author"))

    def _comments_of(self, number: int) -> str:
        return f"{self._mr(number)}/notes"

    def _comment_at(self, number: int, identity: str) -> str:
        return f"{self._mr(number)}/notes/{identity}"

    def reply(self, number: int, thread: str, marker: str, body: str) -> str:
        """`thread`: a discussion, whose notes are among all the others."""
        path = f"{self._mr(number)}/discussions/{quote(thread, safe='')}/notes"
        return f"note-{self._said_once(path, marker, marks.body_of(marker, body), lambda: self._said(number)).id}"

    def items(self, number: int, since: datetime | None = None) -> tuple[ReviewItem, ...]:
        """GitLab filters discussions by no time: all are read, conditionally. What it says itself is among them."""
        url = self.review(number).url
        talks = self._list(f"/merge_requests/{number}/discussions")
        told = (each for talk in talks for each in words.discussion(talk, url))
        found = (each for each in told if since is None or each.updated >= since)
        return tuple(sorted(found, key=lambda each: (each.at, each.id)))

    def checks(self, commit: str) -> tuple[Check, ...]:
        found = map(words.status, self._list(f"/repository/commits/{commit}/statuses"))
        return tuple(sorted(found, key=lambda check: check.name))

    def report(self, commit: str, checks: Sequence[Check]) -> None:
        for check in checks:
            body = {"name": check.name, "state": words.STATE_OF[check.status], "description": check.summary[:255]}
            body |= {"target_url": check.url} if check.url else {}
            try:
                self._http.write("POST", f"{self._at}/statuses/{commit}", body)
            except ForgeRefused as refused:
                if "cannot transition" not in refused.message.lower():  # it is in that state already
                    raise

    def permission(self, login: str) -> Permission:
        identity = self._user(login)
        return Permission.NONE if identity is None else self._allowed(f"/members/all/{identity}", words.permission)

    def merge(self, number: int, head: str, style: MergeStyle, message: str = "") -> str:
        body: dict[str, Any] = {"sha": head, "squash": style is MergeStyle.SQUASH}
        if style is MergeStyle.REBASE and self._http.get(self._at).said.words("merge_method") not in _LINEAR:
            raise ForgeRefused(
                "unsupported", "this GitLab project merges with a merge commit",
                remedy="choose a linear merge method in the project's settings, or another style",
            )  # fmt: skip
        body |= {f"{'squash' if body['squash'] else 'merge'}_commit_message": message} if message else {}
        path = f"{self._mr(number)}/merge"
        return merged(lambda: self.review(number), lambda: self._http.write("PUT", path, body), head)

    def delete_branch(self, branch: str, head: str) -> bool:
        return self._gone(f"{self._at}/repository/branches/{quote(branch, safe='')}", head)

    def _mr(self, number: int) -> str:
        return f"{self._at}/merge_requests/{number}"


def connect(token: Callable[[], str | None], repo: str, api_url: str | None = None, **options: Any) -> GitLabForge:
    """A GitLabForge on its own client. `options`: as ForgeHttp takes them."""
    return GitLabForge(ForgeHttp(api_url or API, token, ("PRIVATE-TOKEN", ""), **options), repo)
