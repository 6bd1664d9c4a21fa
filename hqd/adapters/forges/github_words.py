"""GitHub's JSON as hqd's values (shapes as in its OpenAPI description), and what other forges share of it. Pure."""

from __future__ import annotations

from typing import Any

from hqd.adapters.forges.answer import Json
from hqd.model.review import (
    Account,
    Check,
    CheckStatus,
    ItemKind,
    Mergeable,
    Permission,
    Review,
    ReviewItem,
    ReviewStatus,
)

NOBODY = Account(login="ghost")
"""Who wrote what a deleted account wrote; GitHub's own name for it."""
_ACTIONS = frozenset({"gitea-actions", "forgejo-actions"})
"""Who speaks for programs where the API has no word for that: Gitea tells of nobody whether he is one."""
NO_COMMIT = "0" * 40
"""The head of a pull request that has none: GitLab gives null, Gitea nothing, where the branch has no commits any more.
Git knows no commit by that id."""
_STATUS = {"open": ReviewStatus.OPEN, "closed": ReviewStatus.CLOSED}
_VERDICTS = {
    "APPROVED": ItemKind.APPROVED,
    "CHANGES_REQUESTED": ItemKind.CHANGES_REQUESTED,
    "COMMENTED": ItemKind.REVIEWED,
    "DISMISSED": ItemKind.DISMISSED,
}
_MERGEABLE = {
    "dirty": Mergeable.CONFLICT,
    "blocked": Mergeable.BLOCKED,
    "draft": Mergeable.BLOCKED,
    "behind": Mergeable.BLOCKED,
    "clean": Mergeable.YES,
    "unstable": Mergeable.YES,
    "has_hooks": Mergeable.YES,
}
STATE_OF = {
    CheckStatus.PASS: "success",
    CheckStatus.SKIP: "success",
    CheckStatus.FAIL: "failure",
    CheckStatus.ERROR: "error",
    CheckStatus.PENDING: "pending",
}
_STATES = {word: told for told, word in STATE_OF.items() if told is not CheckStatus.SKIP}
_CONCLUSIONS = {
    "success": CheckStatus.PASS,
    "neutral": CheckStatus.PASS,
    "skipped": CheckStatus.SKIP,
    "failure": CheckStatus.FAIL,
    "action_required": CheckStatus.FAIL,
    "timed_out": CheckStatus.ERROR,
    "cancelled": CheckStatus.ERROR,
    "stale": CheckStatus.ERROR,
    "startup_failure": CheckStatus.ERROR,
}
CONCLUSION_OF = {
    CheckStatus.PASS: "success",
    CheckStatus.SKIP: "skipped",
    CheckStatus.FAIL: "failure",
    CheckStatus.ERROR: "failure",
}
_PERMISSIONS = {
    "owner": Permission.ADMIN,  # Gitea's word
    "admin": Permission.ADMIN,
    "write": Permission.WRITE,
    "read": Permission.READ,
}


def account(user: Json | None) -> Account:
    if user is None:
        return NOBODY
    name = user.name("login")
    bot = user.words("type") == "Bot" or name.endswith("[bot]") or name in _ACTIONS
    return Account(login=name, bot=bot)


def review(pull: Json) -> Review:
    """A pull request, of a list or alone."""
    home, there = (pull.part(side).maybe_part("repo") for side in ("base", "head"))
    same = home is not None and there is not None and home.number("id") == there.number("id")
    return shaped(pull, merged=pull.has("merged_at"), fork=not same, mergeable=_mergeable(pull))


def shaped(pull: Json, *, merged: bool, fork: bool, **more: Any) -> Review:
    """What a pull request's JSON says alike on GitHub and Gitea; `more`: what does not, by the names of Review."""
    status = pull.one_of("state", _STATUS)
    head = pull.part("head")
    alike: dict[str, Any] = {
        "number": pull.number("number"),
        "url": pull.text("html_url"),
        "title": pull.text("title"),
        "body": pull.words("body"),
        "author": account(pull.maybe_part("user")),
        "status": ReviewStatus.MERGED if merged else status,
        "draft": pull.flag("draft"),
        "branch": head.text("ref"),
        "head": head.commit("sha") if head.text("sha") else NO_COMMIT,
        "base": pull.part("base").text("ref"),
        "fork": fork,
        "landed": pull.maybe_commit("merge_commit_sha") if merged else None,
        "labels": tuple(label.text("name") for label in pull.maybe_rows("labels")),
        "reviewers": tuple(user.name("login") for user in pull.maybe_rows("requested_reviewers")),
        "assignees": tuple(user.name("login") for user in pull.maybe_rows("assignees")),
        "created": pull.time("created_at"),
        "updated": pull.time("updated_at"),
    }
    return Review(**alike | more)


def _mergeable(pull: Json) -> Mergeable:
    if pull.maybe_flag("mergeable") is False:
        return Mergeable.CONFLICT
    return _MERGEABLE.get(pull.words("mergeable_state"), Mergeable.UNKNOWN)


def spoken(
    said: Json, kind: ItemKind, begins: str, author: Account, times: tuple[str, str] = ("created_at", "updated_at"),
    **more: Any,
) -> ReviewItem:  # fmt: skip
    """What all forges tell alike of what somebody said. `begins`: of its id; `times`: keys of said and of changed."""
    alike: dict[str, Any] = {
        "id": f"{begins}-{said.number('id')}",
        "kind": kind,
        "author": author,
        "body": said.words("body"),
        "at": said.time(times[0]),
        "updated": said.time(times[1]),
    }
    return ReviewItem(**alike | more)


def comment(said: Json) -> ReviewItem:
    return spoken(said, ItemKind.COMMENT, "comment", account(said.maybe_part("user")), url=said.words("html_url"))


def line_comment(said: Json) -> ReviewItem:
    """`line` is null once the line has changed since: then where it stood."""
    reply = said.maybe_number("in_reply_to_id")
    return on_line(
        said,
        line=said.maybe_number("line") or said.maybe_number("original_line"),
        commit=said.maybe_commit("original_commit_id") or said.maybe_commit("commit_id"),
        reply_to=f"line-{reply}" if reply else None,
        thread=str(reply or said.number("id")),
    )


def on_line(said: Json, **more: Any) -> ReviewItem:
    """What a line comment's JSON says alike on GitHub and Gitea."""
    author, url = account(said.maybe_part("user")), said.words("html_url")
    return spoken(said, ItemKind.LINE, "line", author, path=said.text("path"), url=url, **more)


def verdict(said: Json) -> ReviewItem | None:
    """A submitted review. None: it is pending, or nothing but the wrapper of its line comments."""
    kind = _VERDICTS.get(said.text("state"))
    if not said.has("submitted_at"):
        return None
    return judged(said, kind, ("submitted_at", "submitted_at"))


def judged(said: Json, kind: ItemKind | None, times: tuple[str, str]) -> ReviewItem | None:
    """What a review's JSON says alike on GitHub and Gitea; None: nothing that counts."""
    if kind is None or (kind is ItemKind.REVIEWED and not said.words("body")):
        return None
    more = {"commit": said.maybe_commit("commit_id"), "url": said.words("html_url")}
    return spoken(said, kind, "review", account(said.maybe_part("user")), times, **more)


def status(said: Json) -> Check:
    return reported(said, "context", _STATES.get(said.text("state"), CheckStatus.ERROR))


def reported(said: Json, name: str, told: CheckStatus) -> Check:
    """A commit status; `name`: the key of its name."""
    return Check(name=said.text(name), status=told, summary=said.words("description"), url=said.words("target_url"))


def check_run(said: Json) -> Check:
    ended = said.text("status") == "completed"
    told = _CONCLUSIONS.get(said.words("conclusion"), CheckStatus.ERROR)
    output = said.maybe_part("output")
    return Check(
        name=said.text("name"),
        status=told if ended else CheckStatus.PENDING,
        summary="" if output is None else output.words("title") or output.words("summary"),
        url=said.words("html_url") or said.words("details_url"),
    )


def permission(said: Json) -> Permission:
    """`permission` folds GitHub's roles: maintain into write, triage into read."""
    return _PERMISSIONS.get(said.text("permission"), Permission.NONE)
