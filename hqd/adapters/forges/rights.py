"""Which rights hqd has on a forge, found out by using each of them, and leaving nothing behind.

A branch is pushed and deleted again, with a commit that shares nothing with any other. That pull requests may be opened
is seen from how the forge refuses one from a branch that is not there: whoever may not open any is told so first. The
same right lets one comment, label, assign and merge on all three forges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from hqd.errors import BranchMoved, Expected, ForgeRefused, HqdError, Misconfigured, RemoteRefused
from hqd.model.remote import PushOutcome, RefUpdate
from hqd.model.review import Check, CheckStatus, ReviewRequest
from hqd.ports import Remote, RemoteForge

CHECK = "hqd/doctor"
_CLASSIC = " (a classic token: the scope repo)"
_NEEDED: Mapping[str, Mapping[str, str]] = {
    "github": {
        "push": f"Contents: read and write{_CLASSIC}",
        "statuses": f"Commit statuses (a GitHub App: Checks): read and write{_CLASSIC}",
        "pull requests": f"Pull requests: read and write{_CLASSIC}",
    },
    "gitlab": {
        "push": "the role Developer and the scopes api, write_repository",
        "statuses": "the role Developer and the scope api",
        "pull requests": "the role Developer and the scope api",
    },
    "gitea": {
        "push": "write access and the scope write:repository",
        "statuses": "write access and the scope write:repository",
        "pull requests": "the scopes write:repository and write:issue",
    },
}
_NO_RIGHT = frozenset({"credentials", "rights", "moved"})


@dataclass(frozen=True, slots=True)
class Right:
    """One thing that hqd has to be able to do there; `remedy` where it is not."""

    name: str
    good: bool
    found: str
    remedy: str = ""


def rights(
    kind: str, repo: str, server: RemoteForge, remote: Remote, base: str, branch: str, commit: Callable[[], str]
) -> Iterator[Right]:
    """Each right, most basic first. `branch`: a name that nobody uses; `commit` makes one that has no parent."""
    try:
        server.find_review(branch)
        who = server.login()
    except (ForgeRefused, Misconfigured) as refused:
        yield Right("forge", False, f"{repo}: {refused.message}", refused.remedy)
        return
    except Expected as down:
        yield Right("forge", False, f"{repo} cannot be asked: {down.message}", "try again later")
        return
    yield Right("forge", True, f"{repo} on {kind}, as {who}")
    needed = _NEEDED[kind]
    made = commit()
    pushed = _push(remote, branch, made, needed["push"])
    yield pushed
    yield _report(server, made if pushed.good else "0" * len(made), needed["statuses"])
    if pushed.good:
        yield _delete(remote, branch, made, needed["push"])
    yield _open(server, branch, base, needed["pull requests"])


def _push(remote: Remote, branch: str, made: str, needed: str) -> Right:
    try:
        (done,) = remote.push([RefUpdate(f"refs/heads/{branch}", made)])
    except HqdError as fault:
        remedy = f"{needed}; {fault.remedy}" if isinstance(fault, RemoteRefused) and fault.remedy else needed
        return Right("push", False, f"{remote.url}: {fault.message}", f"give hqd {remedy}")
    if done.outcome is PushOutcome.DONE:
        return Right("push", True, f"branches named {branch.partition('/')[0]}/* to {remote.url}")
    remedy = f"let hqd's account push branches named {branch.partition('/')[0]}/*"
    return Right("push", False, f"{remote.url} does not take {branch}: {done.message}", remedy)


def _delete(remote: Remote, branch: str, made: str, needed: str) -> Right:
    """Branches of landed work are deleted. Where that is not let, this one stays and is named."""
    try:
        (done,) = remote.push([RefUpdate(f"refs/heads/{branch}", None, made)])
        said = done.message if done.outcome is not PushOutcome.DONE else ""
    except (HqdError, BranchMoved) as fault:
        said = fault.message
    if not said:
        return Right("delete", True, "branches of landed work")
    return Right("delete", False, f"{branch} could not be deleted: {said}", f"delete it; give hqd {needed}")


def _report(server: RemoteForge, commit: str, needed: str) -> Right:
    check = Check(name=CHECK, status=CheckStatus.PASS, summary="hqd may report")
    return _tried("statuses", "of commits", needed, lambda: server.report(commit, [check]))


def _open(server: RemoteForge, branch: str, base: str, needed: str) -> Right:
    wanted = ReviewRequest(branch=branch, base=base, title="hqd doctor: closed at once, if it was ever open")

    def ask() -> None:
        opened = server.open_review(wanted)
        server.close(opened.number)

    return _tried("pull requests", "open, comment, label, merge", needed, ask)


def _tried(name: str, what: str, needed: str, act: Callable[[], object]) -> Right:
    """Refused for want of a right, or for what was asked: only the first is a fault."""
    try:
        act()
    except ForgeRefused as refused:
        if refused.cause in _NO_RIGHT:
            return Right(name, False, refused.message, f"give hqd {needed}")
    except Expected as fault:
        return Right(name, False, fault.message, "try again later")
    return Right(name, True, what)
