"""GitHub, and GitHub Enterprise: REST, and GraphQL for the one thing that REST has not (draft to ready and back)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import takewhile
from typing import Any
from urllib.parse import quote, urlsplit

from hqd.adapters.forges import github_words as words
from hqd.adapters.forges import marker as marks
from hqd.adapters.forges.answer import Json
from hqd.adapters.forges.http import ForgeHttp, Params, Patience
from hqd.adapters.forges.merging import merged
from hqd.adapters.forges.served import Served
from hqd.adapters.forges.verdict import SECONDARY
from hqd.errors import ForgeRefused, ForgeUnavailable
from hqd.model.review import (
    Account,
    Check,
    CheckStatus,
    ItemKind,
    MergeStyle,
    Permission,
    Review,
    ReviewItem,
    ReviewRequest,
    ReviewStatus,
)

API = "https://api.github.com"
HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
PATIENCE = Patience(spacing=1.0)
"""GitHub asks for a second between two writes; less than that meets its secondary limit. A server of one's own has
no such limit unless its operator sets one."""
_SUMMARY = 140  # characters of a commit status
_READY = "mutation($id: ID!) { markPullRequestReadyForReview(input: {pullRequestId: $id}) { clientMutationId } }"
_DRAFT = "mutation($id: ID!) { convertPullRequestToDraft(input: {pullRequestId: $id}) { clientMutationId } }"
_GRAPHQL = {"FORBIDDEN": "rights", "INSUFFICIENT_SCOPES": "rights", "NOT_FOUND": "missing"}
_ISO = "%Y-%m-%dT%H:%M:%SZ"


class GitHubForge(Served):
    """Port RemoteForge. `repo`: `owner/name`. `check_runs`: with a GitHub App's token; GitHub allows no others.

    `login`: asked whose the token is, where `/user` does not tell: an App is `NAME[bot]`.
    """

    def __init__(
        self, http: ForgeHttp, repo: str, *, check_runs: bool = False, login: Callable[[], str] | None = None
    ) -> None:
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo):
            raise ForgeRefused("missing", f"no repository of GitHub: {repo!r}", remedy="write `repo` as owner/name")
        super().__init__(http, f"/repos/{repo}")
        self._owner, self._check_runs = repo.partition("/")[0], check_runs
        self._whose = login

    def _whoami(self) -> str:
        return self._whose() if self._whose is not None else super()._whoami()

    def open_review(self, wanted: ReviewRequest) -> Review:
        there = self._open_one(wanted.branch)
        if there is not None:
            return there
        body = {
            "title": wanted.title, "head": wanted.branch, "base": wanted.base,
            "body": marks.fitting(wanted.body), "draft": wanted.draft,
        }  # fmt: skip
        try:
            return self._create(wanted.branch, body)
        except ForgeRefused as refused:
            return self._opened_after_all(wanted, body, refused)

    def _create(self, branch: str, body: dict[str, Any]) -> Review:
        return self._http.create(f"{self._at}/pulls", body, lambda: self._open_one(branch), words.review)

    def _opened_after_all(self, wanted: ReviewRequest, body: dict[str, Any], refused: ForgeRefused) -> Review:
        """A second answer to a create: it is there already, or this repository's plan has no drafts."""
        said = refused.message.lower()
        if "already exists" in said and (there := self._open_one(wanted.branch)) is not None:
            return there
        if wanted.draft and "draft pull requests are not supported" in said:
            return self._create(wanted.branch, {**body, "draft": False})
        raise refused

    def find_review(self, branch: str) -> Review | None:
        found = list(self._of_branch(branch, "all"))
        open_ones = [each for each in found if each.status is ReviewStatus.OPEN]
        return next(iter(open_ones or found), None)

    def _open_one(self, branch: str) -> Review | None:
        return next(self._of_branch(branch, "open"), None)

    def _of_branch(self, branch: str, state: str) -> Iterator[Review]:
        query: Params = {"head": f"{self._owner}:{branch}", "state": state, "sort": "created", "direction": "desc"}
        for pull in self._list("/pulls", query):
            found = words.review(pull)
            if found.branch == branch and not found.fork:
                yield found

    def review(self, number: int) -> Review:
        return words.review(self._pull(number))

    def changed_reviews(self, since: datetime | None) -> tuple[Review, ...]:
        if since is None:
            return tuple(words.review(pull) for pull in self._list("/pulls", {"state": "open"}))
        newest_first: Params = {"state": "all", "sort": "updated", "direction": "desc"}
        rows = map(words.review, self._list("/pulls", newest_first))
        return tuple(takewhile(lambda each: each.updated >= since, rows))

    def update_review(
        self, number: int, *, title: str | None = None, body: str | None = None, draft: bool | None = None
    ) -> Review:
        changes = {"title": title, "body": None if body is None else marks.fitting(body)}
        given = {key: value for key, value in changes.items() if value is not None}
        pull = self._patch(number, given) if given else self._pull(number)
        if draft is not None and pull.flag("draft") != draft:
            pull = self._turn(number, pull.text("node_id"), draft)
        return words.review(pull)

    def _turn(self, number: int, node: str, draft: bool) -> Json:
        """From draft to ready, or back. GitHub refuses what is so already, as after an answer that was lost."""
        try:
            self._graphql(_DRAFT if draft else _READY, {"id": node})
        except ForgeRefused:
            pull = self._pull(number)
            if pull.flag("draft") != draft:
                raise
            return pull
        return self._pull(number)

    def assign(
        self,
        number: int,
        *,
        labels: Sequence[str] = (),
        without: Sequence[str] = (),
        reviewers: Sequence[str] = (),
        assignees: Sequence[str] = (),
    ) -> None:
        issue, pull = f"{self._at}/issues/{number}", f"{self._at}/pulls/{number}"
        if labels:
            self._http.write("POST", f"{issue}/labels", {"labels": list(labels)})
        for label in without:
            self._without("DELETE", f"{issue}/labels/{quote(label, safe='')}")
        if assignees:
            self._http.write("POST", f"{issue}/assignees", {"assignees": list(assignees)})
        if reviewers:
            teams = [each.partition("/")[2] for each in reviewers if "/" in each]
            people = [each for each in reviewers if "/" not in each]
            asked = {"reviewers": people, "team_reviewers": teams}
            self._http.write("POST", f"{pull}/requested_reviewers", {key: who for key, who in asked.items() if who})

    def _author(self, said: Json) -> Account:
        return words.account(said.maybe_part("user"))

    def reply(self, number: int, thread: str, marker: str, body: str) -> str:
        """`thread`: the number of a thread's first line comment; GitHub takes no replies to replies."""
        lines = f"/pulls/{number}/comments"
        path = f"{self._at}{lines}/{quote(thread, safe='')}/replies"
        return f"line-{self._said_once(path, marker, marks.body_of(marker, body), lambda: self._list(lines)).id}"

    def items(self, number: int, since: datetime | None = None) -> tuple[ReviewItem, ...]:
        after: Params = {} if since is None else {"since": since.strftime(_ISO)}
        found = [words.comment(said) for said in self._list(f"/issues/{number}/comments", after)]
        found += [words.line_comment(said) for said in self._list(f"/pulls/{number}/comments", after)]
        told = (words.verdict(said) for said in self._list(f"/pulls/{number}/reviews"))
        found += [each for each in told if each is not None and (since is None or _may_be_newer(each, since))]
        return tuple(sorted(found, key=lambda each: (each.at, each.id)))

    def checks(self, commit: str) -> tuple[Check, ...]:
        at = f"/commits/{commit}"
        found = {check.name: check for check in map(words.status, self._list(f"{at}/status", rows="statuses"))}
        runs = self._list(f"{at}/check-runs", {"filter": "latest"}, rows="check_runs")
        found |= {check.name: check for check in map(words.check_run, runs)}
        return tuple(found[name] for name in sorted(found))

    def report(self, commit: str, checks: Sequence[Check]) -> None:
        for check in checks:
            path, body = self._run(commit, check) if self._check_runs else self._status(commit, check)
            self._http.write("POST", path, body)

    def _status(self, commit: str, check: Check) -> tuple[str, dict[str, Any]]:
        body: dict[str, Any] = {"state": words.STATE_OF[check.status], "context": check.name}
        body |= {"description": check.summary[:_SUMMARY]} if check.summary else {}
        return f"{self._at}/statuses/{commit}", body | ({"target_url": check.url} if check.url else {})

    def _run(self, commit: str, check: Check) -> tuple[str, dict[str, Any]]:
        body: dict[str, Any] = {"name": check.name, "head_sha": commit}
        body |= {"details_url": check.url} if check.url else {}
        body["output"] = {"title": check.summary[:_SUMMARY] or check.name, "summary": marks.fitting(check.summary)}
        if check.status is CheckStatus.PENDING:
            return f"{self._at}/check-runs", {**body, "status": "in_progress"}
        return f"{self._at}/check-runs", {
            **body, "status": "completed", "conclusion": words.CONCLUSION_OF[check.status],
        }  # fmt: skip

    def permission(self, login: str) -> Permission:
        return self._allowed(f"/collaborators/{quote(login, safe='')}/permission", words.permission)

    def merge(self, number: int, head: str, style: MergeStyle, message: str = "") -> str:
        body: dict[str, Any] = {"sha": head, "merge_method": style.value}
        title, _, rest = message.partition("\n")
        body |= {"commit_title": title, "commit_message": rest.strip()} if message else {}
        path = f"{self._at}/pulls/{number}/merge"
        return merged(lambda: self.review(number), lambda: self._http.write("PUT", path, body), head)

    def _edit(self, number: int, changes: Mapping[str, Any]) -> Review:
        return words.review(self._patch(number, changes))

    def delete_branch(self, branch: str, head: str) -> bool:
        """GitHub has no compare-and-delete: who pushes within the same second loses the branch, not the commits."""
        name = quote(f"heads/{branch}", safe="")  # GitHub takes it as one element of the path
        there = self._http.find(f"{self._at}/git/ref/{name}")
        if there is None:
            return True
        if there.said.part("object").commit("sha") != head:
            return False
        try:
            self._http.write("DELETE", f"{self._at}/git/refs/{name}")
        except ForgeRefused as refused:
            if "does not exist" not in refused.message.lower():
                raise
        return True

    def _pull(self, number: int) -> Json:
        return self._http.get(f"{self._at}/pulls/{number}").said

    def _patch(self, number: int, changes: Mapping[str, Any]) -> Json:
        return self._http.write("PATCH", f"{self._at}/pulls/{number}", changes).said

    def _graphql(self, query: str, variables: dict[str, Any]) -> None:
        """GraphQL answers 200 with `errors`; on a server of one's own it is beside `/api/v3`."""
        said = self._http.write("POST", self._graphql_path(), {"query": query, "variables": variables}).said
        for fault in said.maybe_rows("errors"):
            kind, words = fault.words("type"), fault.words("message")[:300]
            if kind == "RATE_LIMITED":
                raise ForgeUnavailable("limit", f"GraphQL: {words}", wait=SECONDARY)
            raise ForgeRefused(_GRAPHQL.get(kind, "invalid"), f"GraphQL: {words}")
        said.part("data")

    def _graphql_path(self) -> str:
        return "//api/graphql" if self._http.base.endswith("/api/v3") else "/graphql"


def _may_be_newer(said: ReviewItem, since: datetime) -> bool:
    """GitHub does not tell when a verdict was taken back, only that it was."""
    return said.updated >= since or said.kind is ItemKind.DISMISSED


def connect(token: Callable[[], str | None], repo: str, api_url: str | None = None, **options: Any) -> GitHubForge:
    """A GitHubForge on its own client. `options`: as ForgeHttp takes them, and `check_runs` and `login`."""
    check_runs, login = bool(options.pop("check_runs", False)), options.pop("login", None)
    if (urlsplit(api_url or API).hostname or "").endswith((".github.com", ".ghe.com")):
        options.setdefault("patience", PATIENCE)
    return GitHubForge(
        ForgeHttp(api_url or API, token, headers=HEADERS, **options), repo, check_runs=check_runs, login=login
    )
