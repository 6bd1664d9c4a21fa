"""What hqd has to say on a pull request, each thing once: told by its marker among its own comments. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from hqd.core.review_text import command, link, person, where
from hqd.core.review_words import Heard, own_markers, to
from hqd.model.record import ReviewState

MOST_LISTED = 60
HEARD = "Heard. What was changed in it since is not: say it anew, in a comment of its own."


@dataclass(frozen=True, slots=True)
class Reply:
    """A comment of hqd's own; `marker` is what tells whether it is there."""

    marker: str
    body: str


def replies(state: ReviewState, heard: Heard, orders: Mapping[str, str], why: Mapping[str, str]) -> tuple[Reply, ...]:
    """What is to be said and is not there yet. `orders`, `why`: item -> what hqd answers."""
    there = own_markers(heard)
    return tuple(each for each in _wanted(state, heard, orders, why) if each.marker not in there)


def _wanted(state: ReviewState, heard: Heard, orders: Mapping[str, str], why: Mapping[str, str]) -> Iterator[Reply]:
    if state.replies:
        yield _answered(state.replies, heard)
    if state.replaced is not None and state.head == heard.review.head:
        text = f"The branch is at `{state.head[:12]}` now, by a person; it was at `{state.replaced[:12]}`."
        yield Reply(f"moved:{state.head[:12]}", f"{text} What was approved before does not count for it.")
    if state.reminded is not None:
        names = ", ".join(f"@{person(login)}" for login in heard.review.reviewers[:20])
        yield Reply(reminder(state.reminded), f"Still waits for a review{': ' + names if names else ''}.")
    for said in heard.items:
        if said.author.login != heard.me and said.id in state.answered and command(said.body) is not None:
            yield Reply(to(said.id), orders.get(said.id, HEARD))
    for item, text in why.items():
        yield Reply(to(item), text)


def reminder(at: datetime) -> str:
    """The marker of one reminder; each is a comment of its own, for only a new one tells people."""
    return f"reminder:{at:%Y%m%dT%H%M%S}"


def _answered(answers: Mapping[str, str], heard: Heard) -> Reply:
    """Names the commit that answers, and what it answers."""
    commits = dict.fromkeys(answers.values())
    items = {item.id: item for item in heard.items}
    digest = hashlib.sha256(" ".join(sorted(answers)).encode()).hexdigest()[:8]
    lines = [f"Answered in {', '.join(f'`{commit[:12]}`' for commit in commits)}:", ""]
    for each in list(answers)[:MOST_LISTED]:
        item = items.get(each)
        if item is None:
            lines.append(f"- {each}")
        else:
            said = f"{person(item.author.login)}{_code(where(item))}"
            lines.append(f"- [{said}]({link(item)})" if item.url else f"- {said}")
    return Reply(f"answers:{'-'.join(commit[:12] for commit in commits)}-{digest}", "\n".join(lines))


def _code(text: str) -> str:
    """A path inside a link, without what markdown would read in it."""
    return "".join(c for c in text if c not in "[]()`<>*_!|\\")
