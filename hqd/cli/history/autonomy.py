"""`hqd report autonomy`: how far each playbook's record has come, what it has earned, what has ended it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hqd.adapters.branches.proposal import propose as set_branch
from hqd.adapters.branches.proposal import withdraw
from hqd.bootstrap.proposals import forge_desk
from hqd.cli import terminal
from hqd.cli.board.reading import View, view
from hqd.cli.call import Call
from hqd.cli.history.past import archive_of, label_days
from hqd.codec import layout
from hqd.codec.playbook import read_playbook
from hqd.core.lessons.teaching import WRONG_ACCEPTANCE
from hqd.core.report.share import percent
from hqd.core.reviews.autonomy import Escape, Standing, escapes, reviews, share_of, standing
from hqd.core.secret_scan import redact
from hqd.errors import EXIT_OK, Expected
from hqd.model.corpus import Case, Past
from hqd.model.playbook import Playbook

BRANCH = "hqd/autonomy-"
_HQD = ("hqd", "hqd@localhost")
_SAMPLE = re.compile(r'\bsample\s*=\s*(?:"auto"|\'auto\'|[0-9.]+)')
_RISK = re.compile(r"\brisk\s*=")
_OWN_LINE = re.compile(r"^\s*risk\s*=", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Found:
    """One playbook. `restored`: why all of its work is reviewed; `stale`: its share was accepted anew since."""

    path: str
    playbook: Playbook
    standing: Standing
    escapes: tuple[Escape, ...]
    restored: str | None
    stale: bool


def report_autonomy(call: Call, *, propose: bool, as_json: bool) -> int:
    """Prints the standing of each playbook with a share or a risk; with `propose`, sets branches for what is earned."""
    with view(call) as seen:
        found = list(_all(seen))
        proposed: dict[str, str] = {}
        for each in found if propose else ():
            try:
                said = _propose(call, seen, each)
            except Expected as fault:
                said = f"not proposed: {fault.message}"
            if said:
                proposed[each.playbook.name] = said
    if as_json:
        terminal.data({"playbooks": [_facts(each, proposed) for each in found]})
        return EXIT_OK
    if not found:
        terminal.say("no playbook has `sample` or `risk` in a review")
    heads = ("PLAYBOOK/STEP", "SHARE", "CHANGED BY PEOPLE", "NEXT", "WHY")
    terminal.rows(heads, [_cells(each) for each in found])
    for each in found:
        if each.restored:
            terminal.say(f"{each.playbook.name}: {each.restored}")
        if proposed.get(each.playbook.name):
            terminal.say(f"{each.playbook.name}: {proposed[each.playbook.name]}")
    return EXIT_OK


def _all(seen: View) -> Iterator[Found]:
    rules = seen.current
    known = list(rules.playbooks.values()) if rules is not None else []
    wanted = [playbook for playbook in known if reviews(playbook)]
    if not wanted or seen.committed is None:
        return
    archive = archive_of(seen)
    past = archive.past(seen.tree.commit)
    cases = archive.corpus(seen.tree.commit, label_days(seen)).cases
    paths = {playbook.name: path for path, playbook in seen.committed.playbooks.items()}
    restored = seen.live.restored
    for playbook in wanted:
        path = paths.get(playbook.name)
        if path is not None:
            yield _one(seen, past, cases, path, playbook, restored.get(playbook.name))


def _one(seen: View, past: Past, cases: Sequence[Case], path: str, playbook: Playbook, restored: str | None) -> Found:
    step, review = reviews(playbook)[0]
    changed = _changed(seen, past, path, step.name)
    written = _written(seen, layout.autonomy_path(playbook.name))  # by hqd, or taken away by a person
    after = max(changed, written)
    stale = restored is not None and changed > written
    found = standing(playbook, step, review, cases, after)
    escaped = (*escapes(playbook.name, cases, after), *_lessons(seen, past, cases, playbook.name, after))
    escaped = escaped if share_of(review) < 1 else ()
    return Found(path, playbook, found, escaped, restored, stale)


def _lessons(seen: View, past: Past, cases: Sequence[Case], playbook: str, after: int) -> Iterator[Escape]:
    """Wrong acceptances of the playbook's work that were written down as lessons since, by hqd or by hand."""
    came = {
        path: change.order
        for change in past.changes
        if change.order > after
        for path, before, _after in change.files
        if before is None
    }
    mine = {case.task for case in cases if case.playbook == playbook}
    for path, lesson in (seen.committed.lessons if seen.committed is not None else {}).items():
        tasks = [each.task for each in lesson.evidence if each.task is not None]
        about = playbook in lesson.scope.playbooks or any(task in mine for task in tasks)
        if path in came and lesson.class_ == WRONG_ACCEPTANCE and about:
            task = tasks[0] if tasks else lesson.id
            yield Escape(playbook, task, f"lesson {lesson.id}: {lesson.title}", came[path])


def _changed(seen: View, past: Past, path: str, step: str) -> int:
    """The place of the last commit that changed the share of a review; -1: it was always so."""
    for change in reversed(past.changes):
        for name, before, after in change.files:
            if name == path and _share(seen, before, path, step) != _share(seen, after, path, step):
                return change.order
    return -1


def _share(seen: View, blob: str | None, path: str, step: str) -> object:
    try:
        playbook = read_playbook(seen.history.blob(blob), path).playbook if blob is not None else None
    except KeyError:
        return None
    review = next((each.review for each in playbook.steps if each.name == step), None) if playbook else None
    return review.sample if review is not None else None


def _written(seen: View, path: str) -> int:
    """The place of the last commit that touched a path; -1: none."""
    commit = seen.repo.git.read("log", "-1", "--first-parent", "--format=%H", seen.tree.commit, "--", path).text.strip()
    return archive_of(seen).past(commit).last if commit else -1


def _propose(call: Call, seen: View, found: Found) -> str:
    """Sets the branch of a proposal, and its pull request; empty: there is nothing new to propose. Raises Expected."""
    branch, git = f"{BRANCH}{found.playbook.name}", seen.repo.git
    before = git.quick("rev-parse", "--verify", "-q", f"refs/heads/{branch}", codes=(0, 1)).text.strip() or None
    share = found.standing.next
    if share is None or found.restored is not None:
        merged = ("merge-base", "--is-ancestor", before or "", seen.tree.commit)
        if before is not None and git.quick(*merged, codes=(0, 1)).code == 0:
            withdraw(git, branch)
        return ""
    old = (seen.tree.read(found.path) or b"").decode("utf-8", "replace")
    new = edited(old, share)
    made = read_playbook(new.encode(), found.path).playbook
    asked = next((each.review for each in made.steps if each.name == found.standing.step), None) if made else None
    if asked is None or asked.sample != share:
        raise Expected(f"sample = {share:g} cannot be written into {found.path}", remedy="edit it by hand")
    there = git.quick("show", f"{before}:{found.path}", codes=(0, 128)).out if before is not None else None
    if there == new.encode():
        return ""
    title = f"Review {percent(share)} of {found.playbook.name} from now on"
    body = redact(_body(found, share).encode(), ())[0].decode()
    commit = set_branch(git, branch, seen.tree.commit, {found.path: new.encode()}, f"{title}\n\n{body}\n", _HQD)
    settings = seen.current.settings if seen.current is not None else None
    if settings is not None:
        with forge_desk(git, settings, call.env) as forge:
            if forge is not None:
                return forge.publish(branch, commit, before, title, body)
    return f"git merge {branch}"


def edited(text: str, share: float) -> str:
    """A playbook's text with another `sample`. Raises Expected where it is not plain which one is meant."""
    samples, risks = _SAMPLE.findall(text), _RISK.findall(text)
    if len(samples) == 1:
        return _SAMPLE.sub(f"sample = {share:g}", text)
    if not samples and len(risks) == 1:
        own_line = _OWN_LINE.search(text) is not None
        return _RISK.sub(f"sample = {share:g}{chr(10) if own_line else ', '}risk =", text)
    raise Expected("more than one review asks for a share", remedy=f"write sample = {share:g} by hand")


def _body(found: Found, share: float) -> str:
    at = found.standing
    return (
        f"People have decided {at.changed.n:.0f} tasks of `{at.playbook}` since its share was last changed:\n"
        f"{at.why} (95 % sure, among outputs that reached a human).\n\n"
        f"If you merge this, people are asked for {percent(share)} of the reviews of step `{at.step}`, drawn by a coin"
        ' for each task.\nThe others pass it by themselves: their work lands as with `land = "auto"`, and is recorded'
        " as `skipped by sample`.\nAny rejection, later edit or revert brings full review back at once.\n"
    )


def _facts(each: Found, proposed: dict[str, str]) -> dict[str, Any]:
    at = each.standing
    return {
        "playbook": at.playbook,
        "step": at.step,
        "share": at.share,
        "risk": at.risk,
        "changed": at.changed.facts(),
        "next": at.next,
        "why": at.why,
        "restored": each.restored,
        "stale": each.stale,
        "escapes": [{"task": one.task, "why": one.why} for one in each.escapes],
        "proposed": proposed.get(at.playbook),
    }


def _cells(each: Found) -> list[str]:
    at = each.standing
    coming = percent(at.next) if at.next is not None else "—"
    return [f"{at.playbook}/{at.step}", percent(at.share), str(at.changed), coming, at.why]
