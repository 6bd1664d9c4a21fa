"""The fake forge as GitHub: the part of REST and GraphQL that hqd asks, with GitHub's own refusals."""

from __future__ import annotations

from typing import Any

from hqd.testing import forge_github_shapes as shapes
from hqd.testing.forge_routes import Asked, Call, Routes, of_repository
from hqd.testing.forge_state import Event, FakeForge, Pull, Refused

_DOCS = "https://docs.github.com/rest"
_REFUSALS = {"missing": 404, "invalid": 422, "exists": 422, "no_drafts": 422, "blocked": 405, "conflict": 405}
_REPO = "/repos/[^/]+/[^/]+"
routes = Routes()


def answer(forge: FakeForge, asked: Asked) -> tuple[int, Any]:
    """(status, JSON). A repository of another name does not exist."""
    try:
        return of_repository(forge, asked, routes)
    except Refused as refused:
        return _refusal(refused)


def _refusal(refused: Refused) -> tuple[int, Any]:
    status = 409 if refused.kind == "head_moved" else _REFUSALS[refused.kind]
    body: dict[str, Any] = {"message": refused.message, "documentation_url": _DOCS}
    if status == 404:
        body["status"] = "404"
    if refused.kind in ("exists", "invalid"):
        custom = {"resource": "PullRequest", "code": "custom", "message": refused.message}
        plain = {"resource": "PullRequest", "code": "invalid", "field": refused.field}
        body["message"] = "Validation Failed"
        body["errors"] = [plain if refused.message == "invalid" else custom]
    if refused.field == "ref":
        body = {"message": refused.message, "documentation_url": _DOCS}
    return status, body


@routes.on("GET", "/user")
def _whoami(call: Call) -> tuple[int, Any]:
    me = shapes.user(call, call.forge.me)
    counts = dict.fromkeys(("public_repos", "public_gists", "followers", "following"), 0)
    about = dict.fromkeys(("name", "company", "blog", "location", "email", "hireable", "bio"))
    times = {"created_at": shapes.when(call.forge.now), "updated_at": shapes.when(call.forge.now)}
    return 200, {**(me or {}), **counts, **about, **times}


@routes.on("GET", f"{_REPO}/pulls")
def _pulls(call: Call) -> tuple[int, Any]:
    query = call.asked.query
    state, head = query.get("state", "open"), query.get("head", "")
    found = call.listed(state, by_update=query.get("sort") == "updated")
    if ":" in head:
        found = [pull for pull in found if head == f"{(pull.fork or call.forge.name).split('/')[0]}:{pull.branch}"]
    if query.get("direction", "desc" if query.get("sort", "created") == "created" else "asc") != "desc":
        found.reverse()
    return 200, [shapes.pull_simple(call, pull) for pull in found]


@routes.on("POST", f"{_REPO}/pulls")
def _open(call: Call) -> tuple[int, Any]:
    body = call.body
    for key in ("head", "base", "title"):
        if not body.get(key):
            raise Refused("invalid", "invalid", key)
    made = call.forge.open(
        body["head"].split(":")[-1], body["base"], body["title"], body.get("body") or "", draft=bool(body.get("draft"))
    )
    return 201, shapes.pull_full(call, made)


@routes.on("GET", f"{_REPO}/pulls/{{number}}")
def _pull(call: Call) -> tuple[int, Any]:
    return 200, shapes.pull_full(call, call.pull)


@routes.on("PATCH", f"{_REPO}/pulls/{{number}}")
def _edit(call: Call) -> tuple[int, Any]:
    pull = call.pull
    changes = {key: call.body[key] for key in ("title", "body") if key in call.body}
    if changes:
        call.forge.edit(pull.number, **changes)
    call.turned(call.body.get("state"), close="closed", reopen="open")
    return 200, shapes.pull_full(call, pull)


@routes.on("PUT", f"{_REPO}/pulls/{{number}}/merge")
def _merge(call: Call) -> tuple[int, Any]:
    body, title = call.body, str(call.body.get("commit_title") or "")
    message = "\n\n".join(part for part in (title, str(call.body.get("commit_message") or "")) if part)
    made = call.forge.merge(
        call.pull.number, body.get("merge_method", "merge"), message=message, head=body.get("sha", "")
    )
    return 200, {"sha": made, "merged": True, "message": "Pull Request successfully merged"}


@routes.on("GET", f"{_REPO}/issues/{{number}}/comments")
def _comments(call: Call) -> tuple[int, Any]:
    return 200, [shapes.comment(call, said) for said in call.about(call.forge.comments)]


@routes.on("POST", f"{_REPO}/issues/{{number}}/comments")
def _say(call: Call) -> tuple[int, Any]:
    if not call.body.get("body") or len(call.body["body"]) > 65_536:
        raise Refused("invalid", "Body is too long (maximum is 65536 characters)", "body")
    return 201, shapes.comment(call, call.forge.say(call.pull.number, call.body["body"]))


@routes.on("PATCH", f"{_REPO}/issues/comments/{{identity}}")
def _edit_comment(call: Call) -> tuple[int, Any]:
    return 200, shapes.comment(call, call.edited())


@routes.on("GET", f"{_REPO}/pulls/{{number}}/comments")
def _lines(call: Call) -> tuple[int, Any]:
    return 200, [shapes.line_comment(call, said) for said in call.about(call.forge.lines)]


@routes.on("POST", f"{_REPO}/pulls/{{number}}/comments/{{identity}}/replies")
def _reply(call: Call) -> tuple[int, Any]:
    """Beneath the first comment of a thread; GitHub takes no replies to replies."""
    return 201, shapes.line_comment(call, call.replied(call.line(int(call.of["identity"]))))


@routes.on("GET", f"{_REPO}/pulls/{{number}}/reviews")
def _reviews(call: Call) -> tuple[int, Any]:
    return 200, [shapes.verdict(call, said) for said in call.about(call.forge.reviews)]


@routes.on("POST", f"{_REPO}/pulls/{{number}}/requested_reviewers")
def _ask(call: Call) -> tuple[int, Any]:
    call.forge.assign(call.pull.number, "reviewers", list(call.body.get("reviewers") or ()))
    return 201, shapes.pull_simple(call, call.pull)


@routes.on("POST", f"{_REPO}/issues/{{number}}/labels")
def _label(call: Call) -> tuple[int, Any]:
    call.forge.assign(call.pull.number, "labels", list(call.body["labels"]))
    return 200, [shapes.label(call, name) for name in call.pull.labels]


@routes.on("DELETE", f"{_REPO}/issues/{{number}}/labels/{{label}}")
def _unlabel(call: Call) -> tuple[int, Any]:
    if call.of["label"] not in call.pull.labels:
        raise Refused("missing", "Label does not exist")
    call.forge.assign(call.pull.number, "labels", [], (call.of["label"],))
    return 200, [shapes.label(call, name) for name in call.pull.labels]


@routes.on("POST", f"{_REPO}/issues/{{number}}/assignees")
def _assign(call: Call) -> tuple[int, Any]:
    known = [each for each in call.body["assignees"] if each in call.forge.users]
    call.forge.assign(call.pull.number, "assignees", known)
    return 201, shapes.issue(call, call.pull)


@routes.on("GET", f"{_REPO}/commits/{{sha}}/status")
def _combined(call: Call) -> tuple[int, Any]:
    found = call.forge.checks(call.of["sha"], run=False)
    states = {each.state for each in found}
    total = "failure" if states & {"failure", "error"} else "pending" if not found or "pending" in states else "success"
    url = f"{call.asked.base}{call.asked.path}"
    return 200, {
        "state": total, "sha": call.of["sha"], "total_count": len(found), "url": url, "commit_url": url,
        "statuses": [shapes.status(call, each) for each in found], "repository": shapes.small_repository(call),
    }  # fmt: skip


@routes.on("POST", f"{_REPO}/statuses/{{sha}}")
def _set_status(call: Call) -> tuple[int, Any]:
    body = call.body
    made = call.forge.set_status(
        call.of["sha"], body.get("context", "default"), body["state"], body.get("description") or "",
        body.get("target_url") or "",
    )  # fmt: skip
    return 201, {**shapes.status(call, made), "creator": shapes.user(call, made.author)}


@routes.on("GET", f"{_REPO}/commits/{{sha}}/check-runs")
def _runs(call: Call) -> tuple[int, Any]:
    found = call.forge.checks(call.of["sha"], run=True)
    return 200, {"total_count": len(found), "check_runs": [shapes.check_run(call, each) for each in found]}


@routes.on("POST", f"{_REPO}/check-runs")
def _add_run(call: Call) -> tuple[int, Any]:
    body = call.body
    state = body["conclusion"] if body.get("status") == "completed" else "pending"
    summary = (body.get("output") or {}).get("title") or ""
    made = call.forge.set_status(
        body["head_sha"], body["name"], state, summary, body.get("details_url") or "", run=True
    )
    return 201, shapes.check_run(call, made)


@routes.on("GET", f"{_REPO}/collaborators/{{login}}/permission")
def _permission(call: Call) -> tuple[int, Any]:
    known = call.forge.users.get(call.of["login"])
    if known is None:
        raise Refused("missing", f"{call.of['login']} is not a user")
    user = {**(shapes.user(call, known.login) or {}), "role_name": known.permission}
    return 200, {"permission": known.permission, "role_name": known.permission, "user": user}


@routes.on("GET", f"{_REPO}/git/ref/heads(?:/|%2F){{branch*}}")
def _ref(call: Call) -> tuple[int, Any]:
    sha, url = call.tip, f"{call.asked.base}{call.asked.path}"
    target = {"type": "commit", "sha": sha, "url": f"{url}/{sha}"}
    return 200, {"ref": f"refs/heads/{call.of['branch']}", "node_id": "REF_1", "url": url, "object": target}


@routes.on("DELETE", f"{_REPO}/git/refs/heads(?:/|%2F){{branch*}}")
def _delete_ref(call: Call) -> tuple[int, Any]:
    call.forge.delete_branch(call.of["branch"])
    return 204, None


@routes.on("POST", "/graphql")
@routes.on("POST", "/api/graphql")
def _graphql(call: Call) -> tuple[int, Any]:
    """Two mutations. GraphQL says no with 200 and `errors`."""
    query, given = str(call.body.get("query", "")), call.body.get("variables") or {}
    name = next((each for each in ("markPullRequestReadyForReview", "convertPullRequestToDraft") if each in query), "")
    pull = _by_node(call.forge, str(given.get("id", "")))
    if not name or pull is None:
        kind, said = ("NOT_FOUND", "Could not resolve to a node") if name else ("undefinedField", "no such field")
        return 200, {"data": None, "errors": [{"type": kind, "message": said}]}
    if pull.draft == (name == "convertPullRequestToDraft"):
        return 200, {"data": None, "errors": [{"type": "UNPROCESSABLE", "message": "it is so already"}]}
    call.forge.edit(pull.number, draft=not pull.draft)
    return 200, {"data": {name: {"clientMutationId": None}}}


def _by_node(forge: FakeForge, identity: str) -> Pull | None:
    return next((pull for pull in forge.pulls.values() if shapes.node("PR", pull.id) == identity), None)


_EVENTS = {
    "pull_request": "pull_request",
    "review": "pull_request_review",
    "line_comment": "pull_request_review_comment",
    "comment": "issue_comment",
    "status": "status",
    "push": "push",
}


def event(forge: FakeForge, told: Event) -> tuple[dict[str, str], Any]:
    """(headers, payload) of a webhook, as much of it as matters."""
    headers = {"x-github-event": _EVENTS[told.kind], "x-github-delivery": told.id}
    payload: dict[str, Any] = {
        "action": told.action, "repository": {"full_name": forge.name}, "sender": {"login": told.by}, "at": told.id,
    }  # fmt: skip
    if told.number is not None:
        pull = {"number": told.number, "head": {"ref": forge.pulls[told.number].branch}}
        payload["issue" if told.kind == "comment" else "pull_request"] = pull
    return headers, payload
