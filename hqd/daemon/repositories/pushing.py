"""Bringing work to the main of a target repository, and its branch to where people look. Called by workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hqd.daemon.repositories.places import Place
from hqd.errors import Expected, RemoteRefused, RemoteUnavailable
from hqd.model.names import branch
from hqd.model.record import Person
from hqd.model.remote import PushOutcome, RefUpdate

TRIES = 5
"""How often a landing is merged anew because somebody else was faster at the remote."""


def push_merge(
    place: Place, task: str, base: str, head: str, title: str, person: Person | None, look: Callable[[], None]
) -> str:
    """Merges a task's work into the main of a target repository and pushes that; the commit that brought it.

    `look` is called before each try, with main as it is now, and raises what must not land.

    Somebody else's push in between is merged with, bounded. What is there already is not merged again.
    Raises Conflict, RemoteRefused (cause `policy`: in the remote's words), RemoteUnavailable, Expected.
    """
    target = place.target
    if target is None:
        raise Expected(f"{place.repo} has no remote")
    message = f"Merge {branch(task)}: {title}\n\nHqd-Work: {task}\n"
    for _try in range(TRIES):
        target.fetch()
        onto = place.branches.main()
        if onto is None:
            raise RemoteRefused("missing", f"{target.url} has no branch {target.main}")
        landed = place.branches.landed({task: (base, head)}).get(task)
        if landed is not None:
            return landed
        look()
        commit = place.branches.join(task, head, onto, message, person)
        (pushed,) = target.push([RefUpdate(target.main, commit, onto)])
        if pushed.outcome is PushOutcome.DONE:
            return commit
        if pushed.outcome is PushOutcome.POLICY:
            name, words = target.main.removeprefix("refs/heads/"), pushed.message or "no reason given"
            raise RemoteRefused(
                "policy",
                f"{target.url} refuses {name}: {words}",
                remedy=f"let hqd push there, or merge {branch(task)} by hand",
            )
    raise RemoteUnavailable("down", f"{target.url} moved {TRIES} times while work was merged", remedy="try again")


def show(place: Place, wanted: Mapping[str, str]) -> dict[str, str]:
    """Pushes branches under review that the remote has not got yet; those that it does not want are given back."""
    target, refused = place.target, dict[str, str]()
    if target is None:
        return refused
    for task, head in wanted.items():
        if target.there(task) is not None or place.branches.tip(task) != head:
            continue
        (pushed,) = target.push([RefUpdate(f"refs/heads/{branch(task)}", head)])
        if pushed.outcome is PushOutcome.POLICY:
            refused[task] = head
    return refused
