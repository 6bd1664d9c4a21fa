"""GitLab's JSON as hqd's values. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hqd.adapters.forges.github_words import when
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

_DRAFT = re.compile(r"^(draft:|\[draft\]|\(draft\))\s*", re.IGNORECASE)
_STATUS = {"opened": ReviewStatus.OPEN, "merged": ReviewStatus.MERGED, "closed": ReviewStatus.CLOSED}
_MERGEABLE = {
    "mergeable": Mergeable.YES,
    "conflict": Mergeable.CONFLICT,
    "broken_status": Mergeable.CONFLICT,
    "unchecked": Mergeable.UNKNOWN,
    "checking": Mergeable.UNKNOWN,
    "preparing": Mergeable.UNKNOWN,
    "not_open": Mergeable.UNKNOWN,
}
_SYSTEM = {
    "approved this merge request": ItemKind.APPROVED,
    "requested changes": ItemKind.CHANGES_REQUESTED,
    "unapproved this merge request": ItemKind.DISMISSED,
}
_STATES = {
    "success": CheckStatus.PASS,
    "skipped": CheckStatus.SKIP,
    "manual": CheckStatus.SKIP,
    "failed": CheckStatus.FAIL,
    "canceled": CheckStatus.ERROR,
}
_PENDING = {"pending", "running", "created", "preparing", "waiting_for_resource", "scheduled", "canceling"}
STATE_OF = {
    CheckStatus.PASS: "success",
    CheckStatus.SKIP: "success",
    CheckStatus.FAIL: "failed",
    CheckStatus.ERROR: "failed",
    CheckStatus.PENDING: "running",
}
_WRITE, _ADMIN = 30, 40  # access levels: developer, maintainer
_READ = 10


def titled(title: str, draft: bool) -> str:
    """The title as GitLab keeps it: its beginning says whether it is a draft."""
    plain = _DRAFT.sub("", title)
    return f"Draft: {plain}" if draft else plain


def account(user: Json | None) -> Account:
    """GitLab tells `bot` only to some; project and group tokens act as `project_N_bot…`, `group_N_bot…`."""
    name = (user or {}).get("username") or "ghost"
    return Account(login=name, bot=bool((user or {}).get("bot")) or bool(re.match(r"(project|group)_\d+_bot", name)))


def review(request: Json) -> Review:
    status = _STATUS.get(request["state"], ReviewStatus.OPEN)  # `locked`: being merged right now
    landed = request.get("merge_commit_sha") or request.get("squash_commit_sha") or request.get("sha")
    return Review(
        number=request["iid"],
        url=request["web_url"],
        title=_DRAFT.sub("", request["title"]),
        body=request.get("description") or "",
        author=account(request.get("author")),
        status=status,
        draft=bool(request.get("draft")),
        branch=request["source_branch"],
        head=request["sha"],
        base=request["target_branch"],
        fork=request["source_project_id"] != request["target_project_id"],
        mergeable=_mergeable(request) if status is ReviewStatus.OPEN else Mergeable.UNKNOWN,
        landed=landed if status is ReviewStatus.MERGED else None,
        labels=tuple(request.get("labels") or ()),
        reviewers=tuple(user["username"] for user in request.get("reviewers") or ()),
        assignees=tuple(user["username"] for user in request.get("assignees") or ()),
        created=when(request["created_at"]),
        updated=when(request["updated_at"]),
    )


def _mergeable(request: Json) -> Mergeable:
    if request.get("has_conflicts"):
        return Mergeable.CONFLICT
    told = request.get("detailed_merge_status")
    return _MERGEABLE.get(told, Mergeable.BLOCKED) if told else Mergeable.UNKNOWN


def note(said: Json, url: str) -> ReviewItem | None:
    """A note; None for a system note that is no verdict. Approvals and demands are told by system notes alone."""
    kind, place = ItemKind.COMMENT, said.get("position") or {}
    if said.get("system"):
        verdict = _SYSTEM.get(said.get("body") or "")
        if verdict is None:
            return None
        kind = verdict
    elif said.get("type") == "DiffNote":
        kind = ItemKind.LINE
    return ReviewItem(
        id=f"note-{said['id']}",
        kind=kind,
        author=account(said.get("author")),
        body="" if said.get("system") else said.get("body") or "",
        at=when(said["created_at"]),
        updated=when(said["updated_at"]),
        path=place.get("new_path") or place.get("old_path"),
        line=place.get("new_line") or place.get("old_line"),
        commit=place.get("head_sha"),
        resolved=bool(said.get("resolved")),
        url=f"{url}#note_{said['id']}",
    )


def status(said: Json) -> Check:
    state = said.get("status") or ""
    told = CheckStatus.PENDING if state in _PENDING else _STATES.get(state, CheckStatus.ERROR)
    return Check(
        name=said["name"], status=told, summary=said.get("description") or "", url=said.get("target_url") or ""
    )


def permission(member: Json | None) -> Permission:
    """Developer and above may push; reporters, planners and guests may read."""
    level = int((member or {}).get("access_level") or 0)
    if (member or {}).get("state", "active") != "active" or level < _READ:
        return Permission.NONE
    return Permission.ADMIN if level >= _ADMIN else Permission.WRITE if level >= _WRITE else Permission.READ
