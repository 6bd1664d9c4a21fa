"""Objects as GitHub's REST API gives them, with every field that its OpenAPI description requires."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import quote

from hqd.testing.forge_routes import Call
from hqd.testing.forge_state import Pull, Said, Status

USER_LINKS = (
    "followers", "following", "gists", "starred", "subscriptions", "organizations", "repos", "events",
    "received_events",
)  # fmt: skip
_REPO_LINKS = (
    "archive", "assignees", "blobs", "branches", "collaborators", "comments", "commits", "compare", "contents",
    "contributors", "deployments", "downloads", "events", "forks", "git_commits", "git_refs", "git_tags", "hooks",
    "issue_comment", "issue_events", "issues", "keys", "labels", "languages", "merges", "milestones", "notifications",
    "pulls", "releases", "stargazers", "statuses", "subscribers", "subscription", "tags", "teams", "trees",
)  # fmt: skip


def when(at: datetime | None) -> str | None:
    return None if at is None else at.strftime("%Y-%m-%dT%H:%M:%SZ")


def node(kind: str, identity: int) -> str:
    return f"{kind}_{identity:08x}"


def user(call: Call, login: str | None) -> dict[str, Any] | None:
    known = call.forge.users.get(login or "")
    if known is None:
        return None
    url = f"{call.asked.base}/users/{quote(known.login)}"
    links = {f"{name}_url": f"{url}/{name}" for name in USER_LINKS}
    return {
        "login": known.login, "id": known.id, "node_id": node("U", known.id), "gravatar_id": "", "url": url,
        "avatar_url": f"{url}/avatar", "html_url": url, "type": "Bot" if known.bot else "User", "site_admin": False,
        **links,
    }  # fmt: skip


def small_repository(call: Call, fork: str | None = None) -> dict[str, Any]:
    """GitHub's `minimal-repository`."""
    name = fork or call.forge.name
    url, identity = f"{call.asked.base}/repos/{name}", 7 if fork is None else 8
    links = {f"{link}_url": f"{url}/{link}" for link in _REPO_LINKS}
    return {
        "id": identity, "node_id": node("R", identity), "name": name.split("/")[1], "full_name": name,
        "owner": user(call, call.forge.me), "private": False, "html_url": url, "url": url, "description": None,
        "fork": fork is not None, **links,
    }  # fmt: skip


def repository(call: Call, fork: str | None = None) -> dict[str, Any]:
    small = small_repository(call, fork)
    url, at = small["url"], when(call.forge.now)
    counts = dict.fromkeys(
        ("forks", "forks_count", "open_issues", "open_issues_count", "size", "stargazers_count", "watchers",
         "watchers_count"), 0,
    )  # fmt: skip
    has = {f"has_{what}": True for what in ("downloads", "issues", "projects", "wiki", "pages")}
    nothing = dict.fromkeys(("homepage", "language", "mirror_url", "license"))
    addresses = {f"{kind}_url": url for kind in ("clone", "git", "ssh", "svn")}
    times = {"pushed_at": at, "created_at": at, "updated_at": at}
    flags = {"archived": False, "disabled": False, "default_branch": "main"}
    return {**small, **counts, **has, **nothing, **addresses, **times, **flags}


def label(call: Call, name: str) -> dict[str, Any]:
    identity = call.forge.label_id(name)
    return {
        "id": identity, "node_id": node("LA", identity), "name": name, "color": "ededed", "default": False,
        "description": "", "url": f"{call.asked.base}/repos/{call.forge.name}/labels/{identity}",
    }  # fmt: skip


def pull_simple(call: Call, pull: Pull) -> dict[str, Any]:
    """A pull request as lists give it."""
    root = f"{call.asked.base}/repos/{call.forge.name}"
    url, html, owner = f"{root}/pulls/{pull.number}", f"{root}/pull/{pull.number}", call.forge.name.split("/")[0]
    issue = f"{root}/issues/{pull.number}"
    links = {
        "self": url, "html": html, "issue": issue, "comments": f"{issue}/comments", "commits": f"{url}/commits",
        "review_comments": f"{url}/comments", "review_comment": f"{root}/pulls/comments/0",
        "statuses": f"{root}/statuses/{pull.head}",
    }  # fmt: skip
    people = {what: [user(call, each) for each in getattr(pull, what)] for what in ("reviewers", "assignees")}
    there = pull.fork or call.forge.name
    return {
        "id": pull.id, "node_id": node("PR", pull.id), "number": pull.number, "state": pull.state, "locked": False,
        "title": pull.title, "body": pull.body, "draft": pull.draft, "user": user(call, pull.author), "url": url,
        "html_url": html, "diff_url": f"{html}.diff", "patch_url": f"{html}.patch", "issue_url": issue,
        "commits_url": links["commits"], "review_comments_url": links["review_comments"],
        "review_comment_url": links["review_comment"], "comments_url": links["comments"],
        "statuses_url": links["statuses"], "created_at": when(pull.created), "updated_at": when(pull.updated),
        "closed_at": when(pull.closed_at), "merged_at": when(pull.merged_at), "merge_commit_sha": pull.landed,
        "labels": [label(call, name) for name in pull.labels], "milestone": None, "author_association": "MEMBER",
        "assignee": (people["assignees"] or [None])[0], "assignees": people["assignees"],
        "requested_reviewers": people["reviewers"], "requested_teams": [], "auto_merge": None,
        "_links": {name: {"href": address} for name, address in links.items()},
        "head": {
            "label": f"{there.split('/')[0]}:{pull.branch}", "ref": pull.branch, "sha": pull.head,
            "repo": repository(call, pull.fork), "user": user(call, call.forge.me),
        },
        "base": {
            "label": f"{owner}:{pull.base}", "ref": pull.base, "repo": repository(call),
            "sha": call.forge.repository.tip(pull.base), "user": user(call, call.forge.me),
        },
    }  # fmt: skip


def pull_full(call: Call, pull: Pull) -> dict[str, Any]:
    """A pull request alone: with what the forge has to compute."""
    git, base = call.forge.repository, call.forge.repository.tip(pull.base) or pull.head
    clean = pull.state != "open" or git.merged_tree(base, pull.head) is not None
    blocked = bool(call.forge.blocked(pull))
    standing = "draft" if pull.draft else "blocked" if blocked else "clean"
    ended = pull.state != "open"
    return {
        **pull_simple(call, pull), "merged": pull.merged_at is not None, "merged_by": user(call, pull.merged_by),
        "mergeable": None if ended else clean, "rebaseable": None,
        "mergeable_state": "unknown" if ended else standing if clean else "dirty",
        "comments": len(call.about(call.forge.comments)) if "number" in call.of else 0,
        "review_comments": 0, "maintainer_can_modify": False, "commits": len(git.ahead(base, pull.head)),
        "additions": 0, "deletions": 0, "changed_files": git.changed(base, pull.head),
    }  # fmt: skip


def issue(call: Call, pull: Pull) -> dict[str, Any]:
    simple = pull_simple(call, pull)
    root = f"{call.asked.base}/repos/{call.forge.name}"
    kept = (
        "id", "node_id", "number", "state", "locked", "title", "body", "user", "html_url", "labels", "milestone",
        "assignee", "assignees", "created_at", "updated_at", "closed_at", "comments_url", "author_association",
    )  # fmt: skip
    url = f"{root}/issues/{pull.number}"
    links = {"url": url, "events_url": f"{url}/events", "labels_url": f"{url}/labels", "repository_url": root}
    return {**{name: simple[name] for name in kept}, **links, "comments": 0}


def comment(call: Call, said: Said) -> dict[str, Any]:
    root = f"{call.asked.base}/repos/{call.forge.name}"
    return {
        "id": said.id, "node_id": node("IC", said.id), "url": f"{root}/issues/comments/{said.id}", "body": said.body,
        "html_url": f"{root}/pull/{said.number}#issuecomment-{said.id}", "user": user(call, said.author),
        "issue_url": f"{root}/issues/{said.number}", "created_at": when(said.created), "updated_at": when(said.updated),
        "author_association": "MEMBER",
    }  # fmt: skip


def line_comment(call: Call, said: Said) -> dict[str, Any]:
    root = f"{call.asked.base}/repos/{call.forge.name}"
    url, html, pull = f"{root}/pulls/comments/{said.id}", f"{root}/pull/{said.number}#d", f"{root}/pulls/{said.number}"
    reply = {} if said.reply_to is None else {"in_reply_to_id": said.reply_to}
    places: dict[str, Any] = {} if said.outdated else {"line": said.line, "position": said.line}
    return {
        "id": said.id, "node_id": node("RC", said.id), "pull_request_review_id": said.review, "url": url,
        "diff_hunk": "@@", "path": said.path, "commit_id": said.commit, "original_commit_id": said.commit,
        "original_line": said.line, "side": said.side_of_line, "user": user(call, said.author), "body": said.body,
        "created_at": when(said.created), "updated_at": when(said.updated), "html_url": html, "pull_request_url": pull,
        "author_association": "MEMBER", **places, **reply,
        "_links": {"self": {"href": url}, "html": {"href": html}, "pull_request": {"href": pull}},
    }  # fmt: skip


def verdict(call: Call, said: Said) -> dict[str, Any]:
    root = f"{call.asked.base}/repos/{call.forge.name}"
    html, pull = f"{root}/pull/{said.number}#r{said.id}", f"{root}/pulls/{said.number}"
    return {
        "id": said.id, "node_id": node("PRR", said.id), "user": user(call, said.author), "body": said.body,
        "state": said.verdict, "commit_id": said.commit, "html_url": html, "pull_request_url": pull,
        "submitted_at": when(said.created), "author_association": "MEMBER",
        "_links": {"html": {"href": html}, "pull_request": {"href": pull}},
    }  # fmt: skip


def status(call: Call, set_: Status) -> dict[str, Any]:
    url = f"{call.asked.base}/repos/{call.forge.name}/statuses/{set_.commit}"
    return {
        "id": set_.id, "node_id": node("SC", set_.id), "url": url, "avatar_url": f"{url}/avatar", "state": set_.state,
        "description": set_.summary or None, "target_url": set_.url or None, "context": set_.name,
        "created_at": when(set_.at), "updated_at": when(set_.at),
    }  # fmt: skip


def check_run(call: Call, set_: Status) -> dict[str, Any]:
    url = f"{call.asked.base}/repos/{call.forge.name}/check-runs/{set_.id}"
    ended = set_.state != "pending"
    output = {
        "title": set_.summary or None, "summary": set_.summary or None, "text": None, "annotations_count": 0,
        "annotations_url": f"{url}/annotations",
    }  # fmt: skip
    return {
        "id": set_.id, "node_id": node("CR", set_.id), "head_sha": set_.commit, "name": set_.name, "url": url,
        "html_url": url, "details_url": set_.url or None, "external_id": "", "check_suite": {"id": 1}, "app": None,
        "status": "completed" if ended else "in_progress", "conclusion": set_.state if ended else None,
        "started_at": when(set_.at), "completed_at": when(set_.at) if ended else None, "output": output,
        "pull_requests": [],
    }  # fmt: skip
