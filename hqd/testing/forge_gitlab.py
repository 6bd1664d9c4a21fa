"""The fake forge as GitLab, from the shapes that its API documentation gives. No description checks it."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import quote

from hqd.testing.forge_github_shapes import when
from hqd.testing.forge_routes import Asked, Call, Routes, titled
from hqd.testing.forge_state import Event, FakeForge, Pull, Refused, Said, Status

_REFUSALS = {
    "missing": 404, "invalid": 422, "exists": 409, "no_drafts": 422, "blocked": 405, "conflict": 422, "head_moved": 409,
}  # fmt: skip
_LEVELS = {"none": 0, "read": 20, "write": 30, "admin": 40}
_STATES = {"failure": "failed", "error": "failed", "success": "success", "pending": "running", "skipped": "skipped"}
_REVIEWERS = {"APPROVED": "approved", "CHANGES_REQUESTED": "requested_changes", "COMMENTED": "reviewed"}
_MR = "/merge_requests/{number}"
DRAFT = "Draft: "
routes = Routes()


def answer(forge: FakeForge, asked: Asked) -> tuple[int, Any]:
    """The project is one path element: its name with the slash encoded."""
    project = f"/projects/{quote(forge.name, safe='')}"
    path = asked.path.removeprefix(project) if asked.path.startswith(project) else asked.path
    inner = Asked(asked.method, path or "/", asked.query, asked.body, asked.base + project, asked.headers)
    try:
        return routes.answer(forge, inner)
    except Refused as refused:
        return _REFUSALS[refused.kind], {"message": f"{_REFUSALS[refused.kind]} {refused.message}"}


def _user(call: Call, login: str | None) -> dict[str, Any] | None:
    known = call.forge.users.get(login or "")
    if known is None:
        return None
    return {"id": known.id, "username": known.login, "name": known.login, "bot": known.bot, "state": "active"}


def _request(call: Call, pull: Pull) -> dict[str, Any]:
    git, base = call.forge.repository, call.forge.repository.tip(pull.base)
    merged, ended = pull.merged_at is not None, pull.state != "open"
    clean = base is not None and git.merged_tree(base, pull.head) is not None
    blocked = call.forge.blocked(pull)
    standing = "draft_status" if pull.draft else "not_approved" if blocked else "mergeable"
    squashed = merged and pull.landed is not None and len(git.ahead(f"{pull.landed}^", pull.landed)) == 1
    return {
        "id": pull.id, "iid": pull.number, "title": (DRAFT if pull.draft else "") + pull.title,
        "description": pull.body, "state": "merged" if merged else "closed" if ended else "opened",
        "draft": pull.draft, "author": _user(call, pull.author), "source_branch": pull.branch,
        "target_branch": pull.base, "sha": pull.head, "source_project_id": 8 if pull.fork else 7,
        "target_project_id": 7, "labels": list(pull.labels), "web_url": f"{call.asked.base}/-{call.asked.path}",
        "assignees": [_user(call, each) for each in pull.assignees],
        "reviewers": [_user(call, each) for each in pull.reviewers],
        "detailed_merge_status": "not_open" if ended else standing if clean else "conflict",
        "has_conflicts": not ended and not clean, "merge_commit_sha": None if squashed else pull.landed,
        "squash_commit_sha": pull.landed if squashed else None, "created_at": when(pull.created),
        "updated_at": when(pull.updated), "merged_at": when(pull.merged_at), "closed_at": when(pull.closed_at),
    }  # fmt: skip


@routes.on("GET", "/")
def _project(call: Call) -> tuple[int, Any]:
    return 200, {"id": 7, "path_with_namespace": call.forge.name, "merge_method": "merge"}


@routes.on("GET", "/user")
def _whoami(call: Call) -> tuple[int, Any]:
    return 200, _user(call, call.forge.me)


@routes.on("GET", "/users")
def _users(call: Call) -> tuple[int, Any]:
    found = _user(call, call.asked.query.get("username"))
    return 200, [found] if found else []


@routes.on("GET", "/members/all/{identity}")
def _member(call: Call) -> tuple[int, Any]:
    found = next((each for each in call.forge.users.values() if each.id == int(call.of["identity"])), None)
    if found is None or found.permission == "none":
        raise Refused("missing", "Not found")
    return 200, {"id": found.id, "username": found.login, "access_level": _LEVELS[found.permission], "state": "active"}


@routes.on("GET", "/merge_requests")
def _requests(call: Call) -> tuple[int, Any]:
    query = call.asked.query
    state = {"opened": "open"}.get(query.get("state", "all"), query.get("state", "all"))
    since = query.get("updated_after", "")
    return 200, [
        _request(call, pull)
        for pull in call.listed(state, by_update=query.get("order_by") == "updated_at")
        if query.get("source_branch", pull.branch) == pull.branch and (when(pull.updated) or "") >= since
    ]


@routes.on("POST", "/merge_requests")
def _open(call: Call) -> tuple[int, Any]:
    body, asked = call.body, titled(call.body, DRAFT)
    made = call.forge.open(
        body["source_branch"], body["target_branch"], asked["title"], body.get("description") or "",
        draft=asked["draft"],
    )  # fmt: skip
    return 201, _request(call, made)


@routes.on("GET", _MR)
def _one(call: Call) -> tuple[int, Any]:
    return 200, _request(call, call.pull)


@routes.on("PUT", _MR)
def _edit(call: Call) -> tuple[int, Any]:
    pull, given = call.pull, dict(call.body)
    changes = titled(given, DRAFT) if "title" in given else {}
    changes |= {"body": given["description"]} if "description" in given else {}
    if changes:
        call.forge.edit(pull.number, **changes)
    add, remove = str(given.get("add_labels", "")), str(given.get("remove_labels", ""))
    if add or remove:
        call.forge.assign(pull.number, "labels", [each for each in add.split(",") if each], tuple(remove.split(",")))
    for key, what in (("reviewer_ids", "reviewers"), ("assignee_ids", "assignees")):
        if key in given:
            names = [each.login for each in call.forge.users.values() if each.id in given[key]]
            call.forge.assign(pull.number, what, names, tuple(getattr(pull, what)))
    call.turned(given.get("state_event"), close="close", reopen="reopen")
    return 200, _request(call, pull)


@routes.on("PUT", f"{_MR}/merge")
def _merge(call: Call) -> tuple[int, Any]:
    body, style = call.body, "squash" if call.body.get("squash") else "merge"
    message = str(body.get(f"{style}_commit_message") or "")
    call.forge.merge(call.pull.number, style, message=message, head=body.get("sha", ""))
    return 200, _request(call, call.pull)


def _note(call: Call, said: Said) -> dict[str, Any]:
    note = {
        "id": said.id, "body": said.body, "author": _user(call, said.author), "system": False, "type": None,
        "created_at": when(said.created), "updated_at": when(said.updated), "noteable_iid": said.number,
        "resolvable": bool(said.path), "resolved": said.resolved,
    }  # fmt: skip
    if said.path:
        position = {"new_path": said.path, "old_path": said.path, "new_line": said.line, "old_line": None}
        note |= {"type": "DiffNote", "position": {**position, "head_sha": said.commit, "position_type": "text"}}
    return note


def _system(call: Call, said: Said) -> dict[str, Any]:
    words = {"APPROVED": "approved this merge request", "CHANGES_REQUESTED": "requested changes"}
    return {**_note(call, said), "system": True, "body": words.get(said.verdict, "unapproved this merge request")}


def _told(call: Call) -> list[tuple[Said, dict[str, Any]]]:
    """Comments, line comments, what a reviewer wrote, and the system's own notes, oldest first."""
    spoken = call.about([*call.forge.comments, *call.forge.lines])
    judged = [each for each in call.about(call.forge.reviews) if each.verdict != "COMMENTED"]
    words = [each for each in judged if each.body]
    found = [*((each, _note(call, each)) for each in spoken), *((each, _system(call, each)) for each in judged)]
    for each in words:  # an approval's words are a note of their own
        found.append((each, {**_note(call, each), "id": each.id + 500_000}))
    return sorted(found, key=lambda pair: (pair[0].created, pair[0].id))


@routes.on("GET", f"{_MR}/notes")
def _notes(call: Call) -> tuple[int, Any]:
    found = [note for _said, note in _told(call)]
    return 200, found if call.asked.query.get("sort", "desc") == "asc" else found[::-1]


def _thread(first: int) -> str:
    """A discussion's id, from its first note's."""
    return hashlib.sha1(str(first).encode(), usedforsecurity=False).hexdigest()


@routes.on("GET", f"{_MR}/discussions")
def _discussions(call: Call) -> tuple[int, Any]:
    """Every note is in one: those by themselves, the system's too, in one that takes no replies here."""
    talks: dict[int, dict[str, Any]] = {}
    for said, note in _told(call):
        alone = {"id": _thread(note["id"]), "individual_note": not said.path, "notes": []}
        talks.setdefault(said.reply_to or note["id"], alone)["notes"].append(note)
    return 200, list(talks.values())


@routes.on("POST", f"{_MR}/discussions/{{thread}}/notes")
def _reply(call: Call) -> tuple[int, Any]:
    first = next((each for each in call.about(call.forge.lines) if _thread(each.id) == call.of["thread"]), None)
    if first is None:
        raise Refused("missing", "Discussion Not Found")
    return 201, _note(call, call.replied(first))


@routes.on("POST", f"{_MR}/notes")
def _say(call: Call) -> tuple[int, Any]:
    return 201, _note(call, call.forge.say(call.pull.number, call.body["body"]))


@routes.on("PUT", f"{_MR}/notes/{{identity}}")
def _edit_note(call: Call) -> tuple[int, Any]:
    return 200, _note(call, call.edited())


@routes.on("GET", f"{_MR}/reviewers")
def _reviewers(call: Call) -> tuple[int, Any]:
    last = {each.author: each for each in call.about(call.forge.reviews)}
    states = {who: _REVIEWERS.get(each.verdict, "unreviewed") for who, each in last.items()}
    everyone = dict.fromkeys([*call.pull.reviewers, *states])
    return 200, [{"user": _user(call, who), "state": states.get(who, "unreviewed")} for who in everyone]


def _status(call: Call, each: Status) -> dict[str, Any]:
    return {
        "id": each.id, "sha": each.commit, "name": each.name, "status": _STATES[each.state],
        "description": each.summary or None, "target_url": each.url or None, "created_at": when(each.at),
        "author": _user(call, each.author),
    }  # fmt: skip


@routes.on("GET", "/repository/commits/{sha}/statuses")
def _statuses(call: Call) -> tuple[int, Any]:
    return 200, [_status(call, each) for each in call.forge.checks(call.of["sha"])]


@routes.on("POST", "/statuses/{sha}")
def _set_status(call: Call) -> tuple[int, Any]:
    """GitLab refuses to set a state that is set already."""
    body, sha = call.body, call.of["sha"]
    state = {"failed": "failure", "running": "pending"}.get(body["state"], body["state"])
    if any(each.name == body["name"] and each.state == state for each in call.forge.checks(sha)):
        return 400, {"message": f"Cannot transition status via :{body['state']} from :{body['state']}"}
    made = call.forge.set_status(sha, body["name"], state, body.get("description") or "", body.get("target_url") or "")
    return 201, _status(call, made)


@routes.on("GET", "/repository/branches/{branch}")
def _branch(call: Call) -> tuple[int, Any]:
    return 200, {"name": call.of["branch"], "commit": {"id": call.tip}}


@routes.on("DELETE", "/repository/branches/{branch}")
def _delete_branch(call: Call) -> tuple[int, Any]:
    call.forge.delete_branch(call.of["branch"])
    return 204, None


_EVENTS = {
    "pull_request": "Merge Request Hook",
    "review": "Merge Request Hook",
    "line_comment": "Note Hook",
    "comment": "Note Hook",
    "status": "Pipeline Hook",
    "push": "Push Hook",
}


def event(forge: FakeForge, told: Event) -> tuple[dict[str, str], Any]:
    headers = {"x-gitlab-event": _EVENTS[told.kind], "x-gitlab-event-uuid": told.id}
    payload: dict[str, Any] = {"project": {"path_with_namespace": forge.name}, "at": told.id}
    if told.number is not None:
        about = {"iid": told.number, "action": told.action}
        payload["merge_request" if _EVENTS[told.kind] == "Note Hook" else "object_attributes"] = about
    return headers, payload
