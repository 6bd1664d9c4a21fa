"""GitHub's JSON as hqd's values. Pure; shapes as in GitHub's OpenAPI description."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

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

Json = Mapping[str, Any]

NOBODY = Account(login="ghost")
"""Who wrote what a deleted account wrote; GitHub's own name for it."""
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
_STATES = {
    "success": CheckStatus.PASS,
    "failure": CheckStatus.FAIL,
    "error": CheckStatus.ERROR,
    "pending": CheckStatus.PENDING,
}
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
STATE_OF = {
    CheckStatus.PASS: "success",
    CheckStatus.SKIP: "success",
    CheckStatus.FAIL: "failure",
    CheckStatus.ERROR: "error",
    CheckStatus.PENDING: "pending",
}
CONCLUSION_OF = {
    CheckStatus.PASS: "success",
    CheckStatus.SKIP: "skipped",
    CheckStatus.FAIL: "failure",
    CheckStatus.ERROR: "failure",
}


def when(text: str) -> datetime:
    """An ISO time of a forge, in UTC."""
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)


def account(user: Json | None) -> Account:
    if not user or not user.get("login"):
        return NOBODY
    return Account(login=user["login"], bot=user.get("type") == "Bot")


def review(pull: Json) -> Review:
    """A pull request, of a list or alone."""
    status = ReviewStatus.OPEN if pull["state"] == "open" else ReviewStatus.CLOSED
    if pull.get("merged_at"):
        status = ReviewStatus.MERGED
    home, there = pull["base"].get("repo") or {}, pull["head"].get("repo") or {}
    return Review(
        number=pull["number"],
        url=pull["html_url"],
        title=pull["title"],
        body=pull.get("body") or "",
        author=account(pull.get("user")),
        status=status,
        draft=bool(pull.get("draft")),
        branch=pull["head"]["ref"],
        head=pull["head"]["sha"],
        base=pull["base"]["ref"],
        fork=there.get("id") != home.get("id"),
        mergeable=_mergeable(pull),
        landed=pull.get("merge_commit_sha") if status is ReviewStatus.MERGED else None,
        labels=tuple(label["name"] for label in pull.get("labels") or ()),
        reviewers=tuple(user["login"] for user in pull.get("requested_reviewers") or ()),
        assignees=tuple(user["login"] for user in pull.get("assignees") or ()),
        created=when(pull["created_at"]),
        updated=when(pull["updated_at"]),
    )


def _mergeable(pull: Json) -> Mergeable:
    if pull.get("mergeable") is False:
        return Mergeable.CONFLICT
    return _MERGEABLE.get(pull.get("mergeable_state") or "", Mergeable.UNKNOWN)


def comment(said: Json) -> ReviewItem:
    return ReviewItem(
        id=f"comment-{said['id']}",
        kind=ItemKind.COMMENT,
        author=account(said.get("user")),
        body=said.get("body") or "",
        at=when(said["created_at"]),
        updated=when(said["updated_at"]),
        url=said.get("html_url") or "",
    )


def line_comment(said: Json) -> ReviewItem:
    """`line` is null once the line has changed since: then where it stood."""
    reply = said.get("in_reply_to_id")
    return ReviewItem(
        id=f"line-{said['id']}",
        kind=ItemKind.LINE,
        author=account(said.get("user")),
        body=said.get("body") or "",
        at=when(said["created_at"]),
        updated=when(said["updated_at"]),
        path=said["path"],
        line=said.get("line") or said.get("original_line"),
        commit=said.get("original_commit_id") or said.get("commit_id"),
        reply_to=f"line-{reply}" if reply else None,
        url=said.get("html_url") or "",
    )


def verdict(said: Json) -> ReviewItem | None:
    """A submitted review. None: it is pending, or nothing but the wrapper of its line comments."""
    kind, at = _VERDICTS.get(said["state"]), said.get("submitted_at")
    if kind is None or not at or (kind is ItemKind.REVIEWED and not said.get("body")):
        return None
    return ReviewItem(
        id=f"review-{said['id']}",
        kind=kind,
        author=account(said.get("user")),
        body=said.get("body") or "",
        at=when(at),
        updated=when(at),
        commit=said.get("commit_id"),
        url=said.get("html_url") or "",
    )


def status(said: Json) -> Check:
    return Check(
        name=said["context"],
        status=_STATES.get(said["state"], CheckStatus.ERROR),
        summary=said.get("description") or "",
        url=said.get("target_url") or "",
    )


def check_run(said: Json) -> Check:
    ended = said["status"] == "completed"
    told = _CONCLUSIONS.get(said.get("conclusion") or "", CheckStatus.ERROR)
    output = said.get("output") or {}
    return Check(
        name=said["name"],
        status=told if ended else CheckStatus.PENDING,
        summary=output.get("title") or output.get("summary") or "",
        url=said.get("html_url") or said.get("details_url") or "",
    )


def permission(said: Json | None) -> Permission:
    """`permission` folds GitHub's roles: maintain into write, triage into read."""
    names = {"admin": Permission.ADMIN, "write": Permission.WRITE, "read": Permission.READ}
    return names.get((said or {}).get("permission", ""), Permission.NONE)
