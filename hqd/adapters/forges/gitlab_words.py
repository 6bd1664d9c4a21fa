"""GitLab's JSON as hqd's values. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hqd.adapters.forges.answer import Json
from hqd.adapters.forges.github_words import NO_COMMIT, NOBODY, reported, spoken
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

_DRAFT = re.compile(r"^(draft:|\[draft\]|\(draft\))\s*", re.IGNORECASE)
_STATUS = {
    "opened": ReviewStatus.OPEN,
    "locked": ReviewStatus.OPEN,  # being merged right now
    "merged": ReviewStatus.MERGED,
    "closed": ReviewStatus.CLOSED,
}
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
    if user is None:
        return NOBODY
    name = user.name("username")
    return Account(login=name, bot=user.flag("bot") or bool(re.match(r"(project|group)_\d+_bot", name)))


def review(request: Json) -> Review:
    status = request.one_of("state", _STATUS)
    head = request.maybe_commit("sha")
    landed = request.maybe_commit("merge_commit_sha") or request.maybe_commit("squash_commit_sha") or head
    return Review(
        number=request.number("iid"),
        url=request.text("web_url"),
        title=_DRAFT.sub("", request.text("title")),
        body=request.words("description"),
        author=account(request.maybe_part("author")),
        status=status,
        draft=request.flag("draft"),
        branch=request.text("source_branch"),
        head=head or NO_COMMIT,
        base=request.text("target_branch"),
        fork=request.maybe_number("source_project_id") != request.number("target_project_id"),
        mergeable=_mergeable(request) if status is ReviewStatus.OPEN else Mergeable.UNKNOWN,
        landed=landed if status is ReviewStatus.MERGED else None,
        labels=tuple(request.maybe_texts("labels")),
        reviewers=tuple(user.name("username") for user in request.maybe_rows("reviewers")),
        assignees=tuple(user.name("username") for user in request.maybe_rows("assignees")),
        created=request.time("created_at"),
        updated=request.time("updated_at"),
    )


def _mergeable(request: Json) -> Mergeable:
    if request.flag("has_conflicts"):
        return Mergeable.CONFLICT
    told = request.words("detailed_merge_status")
    return _MERGEABLE.get(told, Mergeable.BLOCKED) if told else Mergeable.UNKNOWN


def discussion(talk: Json, url: str) -> Iterator[ReviewItem]:
    """The notes of one discussion; a note by itself is one too, and takes no replies."""
    thread = None if talk.flag("individual_note") else talk.name("id")
    told = (note(said, url, thread) for said in talk.rows("notes"))
    return (each for each in told if each is not None)


def note(said: Json, url: str, thread: str | None) -> ReviewItem | None:
    """A note; None for a system note that is no verdict. Approvals and demands are told by system notes alone."""
    system = said.flag("system")
    kind = _SYSTEM.get(said.words("body")) if system else ItemKind.COMMENT
    if kind is None:
        return None
    if not system and said.words("type") == "DiffNote":
        kind = ItemKind.LINE
    more: dict[str, Any] = {"body": ""} if system else {}
    place = said.maybe_part("position")
    if place is not None:
        more |= {
            "path": place.words("new_path") or place.words("old_path") or None,
            "line": place.maybe_number("new_line") or place.maybe_number("old_line"),
            "commit": place.maybe_commit("head_sha"),
        }
    more |= {"resolved": said.flag("resolved"), "url": f"{url}#note_{said.number('id')}", "thread": thread}
    return spoken(said, kind, "note", account(said.maybe_part("author")), **more)


def status(said: Json) -> Check:
    state = said.text("status")
    return reported(said, "name", CheckStatus.PENDING if state in _PENDING else _STATES.get(state, CheckStatus.ERROR))


def permission(member: Json) -> Permission:
    """Developer and above may push; reporters, planners and guests may read."""
    level = member.number("access_level")
    if (member.words("state") or "active") != "active" or level < _READ:
        return Permission.NONE
    return Permission.ADMIN if level >= _ADMIN else Permission.WRITE if level >= _WRITE else Permission.READ
