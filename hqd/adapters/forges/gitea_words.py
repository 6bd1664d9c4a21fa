"""Gitea's JSON as hqd's values. Pure; many of its shapes are GitHub's."""

from __future__ import annotations

import re

from hqd.adapters.forges.answer import Json
from hqd.adapters.forges.github_words import STATE_OF, account, comment, judged, on_line, permission, reported, shaped
from hqd.model.review import Check, CheckStatus, ItemKind, Mergeable, Review, ReviewItem

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

__all__ = ["STATE_OF", "account", "comment", "line_comment", "permission", "review", "status", "titled", "verdict"]


def titled(title: str, draft: bool) -> str:
    """The title as Gitea keeps it: its beginning says whether it is a draft."""
    plain = _WIP.sub("", title)
    return f"WIP: {plain}" if draft else plain


def review(pull: Json) -> Review:
    title, merged = pull.text("title"), pull.flag("merged")
    draft = pull.flag("draft") or _WIP.match(title) is not None
    open_ = pull.text("state") == "open" and not merged
    return shaped(
        pull,
        merged=merged,
        fork=pull.part("head").maybe_number("repo_id") != pull.part("base").maybe_number("repo_id"),
        title=_WIP.sub("", title),
        draft=draft,
        mergeable=_mergeable(pull, draft) if open_ else Mergeable.UNKNOWN,
    )


def _mergeable(pull: Json, draft: bool) -> Mergeable:
    """Gitea's flag is about conflicts; what protection asks for shows only when one merges."""
    told = pull.maybe_flag("mergeable")
    if told is None:
        return Mergeable.UNKNOWN
    if not told:
        return Mergeable.CONFLICT
    return Mergeable.BLOCKED if draft else Mergeable.YES


def verdict(said: Json) -> ReviewItem | None:
    """A review; None: it is pending, a mere request for one, or nothing but the wrapper of its line comments."""
    kind = _VERDICTS.get(said.text("state"))
    if kind not in (None, ItemKind.REVIEWED) and said.flag("dismissed"):
        kind = ItemKind.DISMISSED
    return judged(said, kind, ("submitted_at", "updated_at" if said.has("updated_at") else "submitted_at"))


def line_comment(said: Json, *, threads: bool) -> ReviewItem:
    """`position` is the line in the new file, 0 for one that was removed."""
    line = said.maybe_number("position") or -(said.maybe_number("original_position") or 0)
    return on_line(
        said,
        line=abs(line) or None,
        commit=said.maybe_commit("commit_id"),
        resolved=said.has("resolver"),
        thread=thread(said.number("pull_request_review_id"), line, said.text("path")) if threads and line else None,
    )


def thread(review: int, line: int, path: str) -> str:
    """What Forgejo shows together: comments of one review on one line (below 0: of the old file)."""
    return f"{review}:{line}:{path}"


def thread_of(name: str) -> tuple[int, int, str]:
    """(review, line, path) of what `thread` has made."""
    review, line, path = name.split(":", 2)
    return int(review), int(line), path


def status(said: Json) -> Check:
    return reported(said, "context", _STATES.get(said.text("status"), CheckStatus.ERROR))
