"""Gitea's JSON as hqd's values. Pure; many of its shapes are GitHub's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hqd.adapters.forges.github_words import account, comment, when
from hqd.model.review import (
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

_WIP = re.compile(r"^(WIP:|\[WIP\])\s*", re.IGNORECASE)
_VERDICTS = {
    "APPROVED": ItemKind.APPROVED,
    "REQUEST_CHANGES": ItemKind.CHANGES_REQUESTED,
    "COMMENT": ItemKind.REVIEWED,
}
_STATES = {
    "success": CheckStatus.PASS,
    "warning": CheckStatus.SKIP,
    "skipped": CheckStatus.SKIP,
    "failure": CheckStatus.FAIL,
    "error": CheckStatus.ERROR,
    "pending": CheckStatus.PENDING,
}
STATE_OF = {
    CheckStatus.PASS: "success",
    CheckStatus.SKIP: "success",
    CheckStatus.FAIL: "failure",
    CheckStatus.ERROR: "error",
    CheckStatus.PENDING: "pending",
}
_PERMISSIONS = {
    "owner": Permission.ADMIN,
    "admin": Permission.ADMIN,
    "write": Permission.WRITE,
    "read": Permission.READ,
}

__all__ = ["STATE_OF", "account", "comment", "line_comment", "permission", "review", "status", "titled", "verdict"]


def titled(title: str, draft: bool) -> str:
    """The title as Gitea keeps it: its beginning says whether it is a draft."""
    plain = _WIP.sub("", title)
    return f"WIP: {plain}" if draft else plain


def review(pull: Json) -> Review:
    status = ReviewStatus.OPEN if pull["state"] == "open" else ReviewStatus.CLOSED
    status = ReviewStatus.MERGED if pull.get("merged") else status
    draft = bool(pull.get("draft")) or _WIP.match(pull["title"]) is not None
    return Review(
        number=pull["number"],
        url=pull["html_url"],
        title=_WIP.sub("", pull["title"]),
        body=pull.get("body") or "",
        author=account(pull.get("user")),
        status=status,
        draft=draft,
        branch=pull["head"]["ref"],
        head=pull["head"]["sha"],
        base=pull["base"]["ref"],
        fork=pull["head"].get("repo_id") != pull["base"].get("repo_id"),
        mergeable=_mergeable(pull, draft) if status is ReviewStatus.OPEN else Mergeable.UNKNOWN,
        landed=pull.get("merge_commit_sha") if status is ReviewStatus.MERGED else None,
        labels=tuple(label["name"] for label in pull.get("labels") or ()),
        reviewers=tuple(user["login"] for user in pull.get("requested_reviewers") or ()),
        assignees=tuple(user["login"] for user in pull.get("assignees") or ()),
        created=when(pull["created_at"]),
        updated=when(pull["updated_at"]),
    )


def _mergeable(pull: Json, draft: bool) -> Mergeable:
    """Gitea's flag is about conflicts; what protection asks for shows only when one merges."""
    if pull.get("mergeable") is None:
        return Mergeable.UNKNOWN
    if not pull["mergeable"]:
        return Mergeable.CONFLICT
    return Mergeable.BLOCKED if draft else Mergeable.YES


def verdict(said: Json) -> ReviewItem | None:
    """A review; None: it is pending, a mere request for one, or nothing but the wrapper of its line comments."""
    kind = _VERDICTS.get(said.get("state") or "")
    if kind is None or (kind is ItemKind.REVIEWED and not said.get("body")):
        return None
    return ReviewItem(
        id=f"review-{said['id']}",
        kind=ItemKind.DISMISSED if said.get("dismissed") else kind,
        author=account(said.get("user")),
        body=said.get("body") or "",
        at=when(said["submitted_at"]),
        updated=when(said.get("updated_at") or said["submitted_at"]),
        commit=said.get("commit_id"),
        url=said.get("html_url") or "",
    )


def line_comment(said: Json) -> ReviewItem:
    """`position` is the line in the new file, 0 for one that was removed."""
    return ReviewItem(
        id=f"line-{said['id']}",
        kind=ItemKind.LINE,
        author=account(said.get("user")),
        body=said.get("body") or "",
        at=when(said["created_at"]),
        updated=when(said["updated_at"]),
        path=said["path"],
        line=said.get("position") or said.get("original_position") or None,
        commit=said.get("commit_id"),
        resolved=bool(said.get("resolver")),
        url=said.get("html_url") or "",
    )


def status(said: Json) -> Check:
    return Check(
        name=said["context"],
        status=_STATES.get(said.get("status") or "", CheckStatus.ERROR),
        summary=said.get("description") or "",
        url=said.get("target_url") or "",
    )


def permission(said: Json | None) -> Permission:
    return _PERMISSIONS.get((said or {}).get("permission", ""), Permission.NONE)
