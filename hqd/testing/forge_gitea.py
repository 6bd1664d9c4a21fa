"""The fake forge as Gitea and as Forgejo, from the shapes of their API documentation. No description checks it."""

from __future__ import annotations

from typing import Any

from hqd.testing.forge_github_shapes import when
from hqd.testing.forge_routes import Asked, Call, Routes, of_repository, titled
from hqd.testing.forge_state import Event, FakeForge, Pull, Refused, Said, Status

_REFUSALS = {
    "missing": 404, "invalid": 422, "exists": 409, "no_drafts": 422, "blocked": 405, "conflict": 405, "head_moved": 409,
}  # fmt: skip
_REPO = "/repos/[^/]+/[^/]+"
_VERDICTS = {"CHANGES_REQUESTED": "REQUEST_CHANGES", "COMMENTED": "COMMENT", "APPROVED": "APPROVED"}
WIP = "WIP: "
VERSION = "1.25.3"
routes = Routes()
forgejo = Routes()
"""What Forgejo has beside what Gitea has."""


def answer_as_forgejo(forge: FakeForge, asked: Asked) -> tuple[int, Any]:
    own = forgejo.know(asked)
    return answer(forge, asked, forgejo if own else routes)


def answer(forge: FakeForge, asked: Asked, routes: Routes = routes) -> tuple[int, Any]:
    try:
        return of_repository(forge, asked, routes)
    except Refused as refused:
        return _REFUSALS[refused.kind], {"message": refused.message, "url": f"{asked.base}/swagger"}


def _user(call: Call, login: str | None) -> dict[str, Any] | None:
    known = call.forge.users.get(login or "")
    if known is None:
        return None
    return {"id": known.id, "login": known.login, "full_name": "", "email": f"{known.login}@forge.example"}


def _label(call: Call, name: str) -> dict[str, Any]:
    return {"id": call.forge.label_id(name), "name": name, "color": "ededed", "description": ""}


def _side(call: Call, branch: str, sha: str | None, fork: str | None) -> dict[str, Any]:
    name = fork or call.forge.name
    there = {"id": 8 if fork else 7, "full_name": name}
    return {"label": branch, "ref": branch, "sha": sha, "repo_id": there["id"], "repo": there}


def _pull(call: Call, pull: Pull) -> dict[str, Any]:
    """A draft is a title that begins with `WIP:`."""
    git, base = call.forge.repository, call.forge.repository.tip(pull.base)
    mergeable = pull.state == "open" and base is not None and git.merged_tree(base, pull.head) is not None
    return {
        "id": pull.id, "number": pull.number, "url": f"{call.asked.base}/repos/{call.forge.name}/pulls/{pull.number}",
        "html_url": f"{call.asked.base}/{call.forge.name}/pulls/{pull.number}", "user": _user(call, pull.author),
        "title": (WIP if pull.draft else "") + pull.title, "body": pull.body, "state": pull.state, "draft": pull.draft,
        "labels": [_label(call, name) for name in pull.labels],
        "assignees": [_user(call, each) for each in pull.assignees] or None,
        "requested_reviewers": [_user(call, each) for each in pull.reviewers] or None,
        "mergeable": mergeable, "merged": pull.merged_at is not None, "merged_at": when(pull.merged_at),
        "merge_commit_sha": pull.landed, "merged_by": _user(call, pull.merged_by),
        "base": _side(call, pull.base, base, None), "head": _side(call, pull.branch, pull.head, pull.fork),
        "created_at": when(pull.created), "updated_at": when(pull.updated), "closed_at": when(pull.closed_at),
    }  # fmt: skip


@routes.on("GET", "/user")
def _whoami(call: Call) -> tuple[int, Any]:
    return 200, _user(call, call.forge.me)


@routes.on("GET", f"{_REPO}/pulls")
def _pulls(call: Call) -> tuple[int, Any]:
    query = call.asked.query
    found = call.listed(query.get("state", "open"), by_update=query.get("sort") == "recentupdate")
    return 200, [_pull(call, pull) for pull in found]


@routes.on("POST", f"{_REPO}/pulls")
def _open(call: Call) -> tuple[int, Any]:
    body, asked = call.body, titled(call.body, WIP)
    made = call.forge.open(body["head"], body["base"], asked["title"], body.get("body") or "", draft=asked["draft"])
    return 201, _pull(call, made)


@routes.on("GET", f"{_REPO}/pulls/{{number}}")
def _one(call: Call) -> tuple[int, Any]:
    return 200, _pull(call, call.pull)


@routes.on("PATCH", f"{_REPO}/pulls/{{number}}")
def _edit(call: Call) -> tuple[int, Any]:
    pull, given = call.pull, dict(call.body)
    changes = titled(given, WIP) if "title" in given else {}
    changes |= {"body": given["body"]} if "body" in given else {}
    if changes:
        call.forge.edit(pull.number, **changes)
    if "assignees" in given:
        call.forge.assign(pull.number, "assignees", list(given["assignees"]), tuple(pull.assignees))
    call.turned(given.get("state"), close="closed", reopen="open")
    return 201, _pull(call, pull)


@routes.on("POST", f"{_REPO}/pulls/{{number}}/merge")
def _merge(call: Call) -> tuple[int, Any]:
    body = call.body
    parts = (str(body.get("MergeTitleField") or ""), str(body.get("MergeMessageField") or ""))
    call.forge.merge(
        call.pull.number, body["Do"], message="\n\n".join(part for part in parts if part),
        head=body.get("head_commit_id", ""),
    )  # fmt: skip
    return 200, None


def _comment(call: Call, said: Said) -> dict[str, Any]:
    times = {"created_at": when(said.created), "updated_at": when(said.updated)}
    url = f"{call.asked.base}/{call.forge.name}/pulls/{said.number}#issuecomment-{said.id}"
    return {"id": said.id, "body": said.body, "user": _user(call, said.author), "html_url": url, **times}


@routes.on("GET", f"{_REPO}/issues/{{number}}/comments")
def _comments(call: Call) -> tuple[int, Any]:
    """Not paged: Gitea gives all comments of an issue at once."""
    return 200, [_comment(call, said) for said in call.about(call.forge.comments)]


@routes.on("POST", f"{_REPO}/issues/{{number}}/comments")
def _say(call: Call) -> tuple[int, Any]:
    return 201, _comment(call, call.forge.say(call.pull.number, call.body["body"]))


@routes.on("PATCH", f"{_REPO}/issues/comments/{{identity}}")
def _edit_comment(call: Call) -> tuple[int, Any]:
    return 200, _comment(call, call.edited())


@routes.on("GET", f"{_REPO}/pulls/{{number}}/reviews")
def _reviews(call: Call) -> tuple[int, Any]:
    found = [
        {
            "id": said.id, "body": said.body, "state": _VERDICTS.get(said.verdict, "APPROVED"),
            "user": _user(call, said.author), "commit_id": said.commit, "dismissed": said.verdict == "DISMISSED",
            "stale": said.commit != call.pull.head, "submitted_at": when(said.created),
            "updated_at": when(said.updated), "html_url": f"{call.asked.base}/r/{said.id}",
            "comments_count": sum(1 for line in call.forge.lines if line.review == said.id),
        }
        for said in call.about(call.forge.reviews)
    ]  # fmt: skip
    return 200, found


@routes.on("GET", f"{_REPO}/pulls/{{number}}/reviews/{{review}}/comments")
def _lines(call: Call) -> tuple[int, Any]:
    found = [said for said in call.about(call.forge.lines) if said.review == int(call.of["review"])]
    return 200, [_line(call, said) for said in found]


def _line(call: Call, said: Said) -> dict[str, Any]:
    """`position` is the line in the new file; 0, with `original_position`, for one that was removed."""
    return {
        **_comment(call, said), "path": said.path, "position": said.line, "original_position": 0,
        "commit_id": said.commit, "original_commit_id": said.commit, "pull_request_review_id": said.review,
        "resolver": _user(call, call.forge.me) if said.resolved else None,
    }  # fmt: skip


@routes.on("GET", "/version")
def _version(call: Call) -> tuple[int, Any]:
    return 200, {"version": VERSION}


@forgejo.on("GET", "/version")
def _forgejos_version(call: Call) -> tuple[int, Any]:
    return 200, {"version": f"14.0.2+gitea-{VERSION}"}


@forgejo.on("POST", f"{_REPO}/pulls/{{number}}/reviews/{{review}}/comments")
def _reply(call: Call) -> tuple[int, Any]:
    """One more comment in a review; what is on the same line stands beneath what is there."""
    body, review = call.body, int(call.of["review"])
    asked = (review, body.get("path"), body.get("new_position"), None)
    there = [
        each for each in call.about(call.forge.lines) if (each.review, each.path, each.line, each.reply_to) == asked
    ]
    if not there:
        raise Refused("invalid", "no such line")
    return 200, _line(call, call.replied(there[0], review))


@routes.on("POST", f"{_REPO}/pulls/{{number}}/requested_reviewers")
def _ask(call: Call) -> tuple[int, Any]:
    call.forge.assign(call.pull.number, "reviewers", list(call.body.get("reviewers") or ()))
    return 201, []


@routes.on("GET", f"{_REPO}/labels")
def _labels(call: Call) -> tuple[int, Any]:
    return 200, [_label(call, name) for name in call.forge.labels]


@routes.on("POST", f"{_REPO}/labels")
def _make_label(call: Call) -> tuple[int, Any]:
    call.forge.label_id(call.body["name"])
    return 201, _label(call, call.body["name"])


@routes.on("POST", f"{_REPO}/issues/{{number}}/labels")
def _add_labels(call: Call) -> tuple[int, Any]:
    """By id."""
    names = {identity: name for name, identity in call.forge.labels.items()}
    call.forge.assign(call.pull.number, "labels", [names[each] for each in call.body["labels"]])
    return 200, [_label(call, name) for name in call.pull.labels]


@routes.on("DELETE", f"{_REPO}/issues/{{number}}/labels/{{identity}}")
def _remove_label(call: Call) -> tuple[int, Any]:
    names = {identity: name for name, identity in call.forge.labels.items()}
    call.forge.assign(call.pull.number, "labels", [], (names[int(call.of["identity"])],))
    return 204, None


def _status(each: Status) -> dict[str, Any]:
    state = "warning" if each.state == "skipped" else each.state
    times = {"created_at": when(each.at), "updated_at": when(each.at)}
    return {
        "id": each.id, "status": state, "context": each.name, "description": each.summary, "target_url": each.url,
        **times,
    }  # fmt: skip


@routes.on("GET", f"{_REPO}/commits/{{sha}}/statuses")
def _statuses(call: Call) -> tuple[int, Any]:
    """All that were ever set, newest first."""
    return 200, [_status(each) for each in reversed(call.forge.statuses) if each.commit == call.of["sha"]]


@routes.on("POST", f"{_REPO}/statuses/{{sha}}")
def _set_status(call: Call) -> tuple[int, Any]:
    body = call.body
    made = call.forge.set_status(
        call.of["sha"], body["context"], body["state"], body.get("description") or "", body.get("target_url") or ""
    )
    return 201, _status(made)


@routes.on("GET", f"{_REPO}/collaborators/{{login}}/permission")
def _permission(call: Call) -> tuple[int, Any]:
    known = call.forge.users.get(call.of["login"])
    if known is None:
        raise Refused("missing", "user does not exist")
    return 200, {"permission": known.permission, "role_name": known.permission, "user": _user(call, known.login)}


@routes.on("GET", f"{_REPO}/branches/{{branch*}}")
def _branch(call: Call) -> tuple[int, Any]:
    return 200, {"name": call.of["branch"], "commit": {"id": call.tip}}


@routes.on("DELETE", f"{_REPO}/branches/{{branch*}}")
def _delete_branch(call: Call) -> tuple[int, Any]:
    call.forge.delete_branch(call.of["branch"])
    return 204, None


_EVENTS = {
    "pull_request": "pull_request",
    "review": "pull_request_approved",
    "line_comment": "pull_request_comment",
    "comment": "issue_comment",
    "status": "status",
    "push": "push",
}


def event(forge: FakeForge, told: Event) -> tuple[dict[str, str], Any]:
    headers = {"x-gitea-event": _EVENTS[told.kind], "x-gitea-delivery": told.id}
    payload: dict[str, Any] = {"action": told.action, "repository": {"full_name": forge.name}, "at": told.id}
    if told.number is not None:
        payload |= {"number": told.number, "pull_request": {"number": told.number}}
    return headers, payload
