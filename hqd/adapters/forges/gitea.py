"""Gitea and Forgejo. From their API's documentation; held against the fake's shapes, not against a real server."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import takewhile
from typing import Any
from urllib.parse import quote

from hqd.adapters.forges import gitea_words as words
from hqd.adapters.forges import marker as marks
from hqd.adapters.forges.answer import Json
from hqd.adapters.forges.http import ForgeHttp, Params
from hqd.adapters.forges.merging import merged
from hqd.adapters.forges.served import Served
from hqd.errors import ForgeRefused, Misconfigured
from hqd.model.review import (
    Account,
    Check,
    ItemKind,
    MergeStyle,
    Permission,
    Review,
    ReviewItem,
    ReviewRequest,
)

_COLOUR = "#5319e7"
_ISO = "%Y-%m-%dT%H:%M:%SZ"


class GiteaForge(Served):
    """Port RemoteForge. `repo`: `owner/name`. A draft is a title that begins with `WIP:`."""

    PAGE = ("limit", 50)  # Gitea's own most

    def __init__(self, http: ForgeHttp, repo: str) -> None:
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo):
            raise ForgeRefused("missing", f"no repository: {repo!r}", remedy="write `repo` as owner/name")
        super().__init__(http, f"/repos/{repo}")
        self._threads: bool | None = None

    def open_review(self, wanted: ReviewRequest) -> Review:
        there = self._open_one(wanted.branch)
        if there is not None:
            return there
        body = {
            "title": words.titled(wanted.title, wanted.draft), "head": wanted.branch, "base": wanted.base,
            "body": marks.fitting(wanted.body),
        }  # fmt: skip
        return self._opened_once(f"{self._at}/pulls", body, lambda: self._open_one(wanted.branch), words.review)

    def find_review(self, branch: str) -> Review | None:
        return self._open_one(branch) or next(self._of_branch(branch, "closed"), None)

    def _open_one(self, branch: str) -> Review | None:
        return next(self._of_branch(branch, "open"), None)

    def _of_branch(self, branch: str, state: str) -> Iterator[Review]:
        """Gitea's list knows no filter by branch; the newest come first."""
        for pull in self._list("/pulls", {"state": state, "sort": "recentupdate"}):
            found = words.review(pull)
            if found.branch == branch and not found.fork:
                yield found

    def review(self, number: int) -> Review:
        return words.review(self._http.get(f"{self._at}/pulls/{number}").said)

    def changed_reviews(self, since: datetime | None) -> tuple[Review, ...]:
        state = "open" if since is None else "all"
        rows = map(words.review, self._list("/pulls", {"state": state, "sort": "recentupdate"}))
        return tuple(rows if since is None else takewhile(lambda each: each.updated >= since, rows))

    def _titled(self, title: str, draft: bool) -> str:
        return words.titled(title, draft)

    def _edit(self, number: int, changes: Mapping[str, Any]) -> Review:
        return words.review(self._http.write("PATCH", f"{self._at}/pulls/{number}", changes).said)

    def assign(
        self,
        number: int,
        *,
        labels: Sequence[str] = (),
        without: Sequence[str] = (),
        reviewers: Sequence[str] = (),
        assignees: Sequence[str] = (),
    ) -> None:
        issue = f"{self._at}/issues/{number}/labels"
        known = {row.text("name"): row.number("id") for row in self._list("/labels")} if labels or without else {}
        if labels:
            self._http.write("POST", issue, {"labels": [known.get(name) or self._label(name) for name in labels]})
        on_it = self.review(number).labels if without or assignees else ()
        for name in (each for each in without if each in on_it and each in known):
            self._http.write("DELETE", f"{issue}/{known[name]}")
        if assignees:
            everyone = dict.fromkeys([*self.review(number).assignees, *assignees])
            self._edit(number, {"assignees": list(everyone)})
        if reviewers:
            asked = {
                "reviewers": [each for each in reviewers if "/" not in each],
                "team_reviewers": [each.partition("/")[2] for each in reviewers if "/" in each],
            }
            self._http.write("POST", f"{self._at}/pulls/{number}/requested_reviewers", asked)

    def _label(self, name: str) -> int:
        """Gitea adds labels by id, and only those that there are."""

        def there() -> int | None:
            return next((row.number("id") for row in self._list("/labels") if row.text("name") == name), None)

        made = {"name": name, "color": _COLOUR}
        return self._http.create(f"{self._at}/labels", made, there, lambda row: row.number("id"))

    def _author(self, said: Json) -> Account:
        return words.account(said.maybe_part("user"))

    def reply(self, number: int, thread: str, marker: str, body: str) -> str:
        """Forgejo's alone: one more comment in the same review, on the same line (`gitea_words.thread`)."""
        review, line, path = words.thread_of(thread)
        lines = f"/pulls/{number}/reviews/{review}/comments"
        place = {"path": path, "new_position": max(line, 0), "old_position": max(-line, 0)}
        text = marks.body_of(marker, body)
        return f"line-{self._said_once(self._at + lines, marker, text, lambda: self._list(lines), place).id}"

    def _takes_replies(self) -> bool:
        """Gitea has no way to answer a line comment, Forgejo has; its version tells both, as in `14.0.2+gitea-1.22`."""
        if self._threads is None:
            found = self._http.find("/version")
            self._threads = found is not None and "+gitea-" in found.said.text("version")
        return self._threads

    def items(self, number: int, since: datetime | None = None) -> tuple[ReviewItem, ...]:
        after: Params = {} if since is None else {"since": since.strftime(_ISO)}
        found = [words.comment(said) for said in self._list(f"/issues/{number}/comments", after)]
        for said in self._list(f"/pulls/{number}/reviews"):
            told = words.verdict(said)
            found += [told] if told is not None else []
            if said.maybe_number("comments_count"):
                lines = self._list(f"/pulls/{number}/reviews/{said.number('id')}/comments")
                found += [words.line_comment(line, threads=self._takes_replies()) for line in lines]
        wanted = (each for each in found if since is None or each.updated >= since)
        return tuple(sorted(wanted, key=lambda each: (each.at, each.kind is ItemKind.LINE, each.id)))

    def checks(self, commit: str) -> tuple[Check, ...]:
        """The list holds every word that was ever said, newest first when asked so."""
        found: dict[str, Check] = {}
        for row in self._list(f"/commits/{commit}/statuses", {"sort": "recentupdate"}):
            check = words.status(row)
            found.setdefault(check.name, check)
        return tuple(found[name] for name in sorted(found))

    def report(self, commit: str, checks: Sequence[Check]) -> None:
        for check in checks:
            body = {"context": check.name, "state": words.STATE_OF[check.status], "description": check.summary}
            self._http.write("POST", f"{self._at}/statuses/{commit}", body | {"target_url": check.url})

    def permission(self, login: str) -> Permission:
        return self._allowed(f"/collaborators/{quote(login, safe='')}/permission", words.permission)

    def merge(self, number: int, head: str, style: MergeStyle, message: str = "") -> str:
        title, _, rest = message.partition("\n")
        body = {"Do": style.value, "head_commit_id": head}
        body |= {"MergeTitleField": title, "MergeMessageField": rest.strip()} if message else {}
        path = f"{self._at}/pulls/{number}/merge"
        return merged(lambda: self.review(number), lambda: self._http.write("POST", path, body), head)

    def delete_branch(self, branch: str, head: str) -> bool:
        return self._gone(f"{self._at}/branches/{quote(branch)}", head)


def connect(token: Callable[[], str | None], repo: str, api_url: str | None = None, **options: Any) -> GiteaForge:
    """A GiteaForge on its own client. `api_url` ends in `/api/v1`. `options`: as ForgeHttp takes them."""
    if api_url is None:
        raise Misconfigured("[forge] kind = gitea needs `api_url`", remedy="like https://git.example.org/api/v1")
    return GiteaForge(ForgeHttp(api_url, token, ("Authorization", "token "), **options), repo)
