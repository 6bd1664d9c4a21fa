"""What hqd has to say on a pull request, each thing once: told by its marker among its own comments. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from hqd.core.reviews.text import command, link, person, where
from hqd.core.reviews.words import Heard, own_markers, to
from hqd.model.record import ReviewState
from hqd.model.review import ReviewItem

MOST_LISTED = 60
HEARD = "Heard. What was changed in it since is not: say it anew, in a comment of its own."


@dataclass(frozen=True, slots=True)
class Reply:
    """A comment of hqd's own; `marker` is what tells whether it is there.

    `thread`: where it belongs (`ReviewItem.thread`); `about`: what is added where it has to stand elsewhere.
    """

    marker: str
    body: str
    thread: str | None = None
    about: str = ""

    @property
    def alone(self) -> str:
        """Its text, where it stands beneath nothing."""
        return f"{self.body}\n\n{self.about}" if self.about else self.body


def replies(state: ReviewState, heard: Heard, orders: Mapping[str, str], why: Mapping[str, str]) -> tuple[Reply, ...]:
    """What is to be said and is not there yet. `orders`, `why`: item -> what hqd answers."""
    there = own_markers(heard)
    return tuple(each for each in _wanted(state, heard, orders, why) if each.marker not in there)


def _wanted(state: ReviewState, heard: Heard, orders: Mapping[str, str], why: Mapping[str, str]) -> Iterator[Reply]:
    if state.replies:
        yield from _answered(state.replies, heard)
    if state.replaced is not None and state.head == heard.review.head:
        text = f"The branch is at `{state.head[:12]}` now, by a person; it was at `{state.replaced[:12]}`."
        yield Reply(f"moved:{state.head[:12]}", f"{text} What was approved before does not count for it.")
    if state.voided is not None and state.voided != state.head and state.head == heard.review.head:
        text = f"Main has moved: the branch is at `{state.head[:12]}` now, with main's changes, and was checked again."
        void = f"The approval of `{state.voided[:12]}` does not count for it."
        yield Reply(f"voided:{state.voided[:12]}", f"{text} {void}")
    if state.reminded is not None:
        names = ", ".join(f"@{person(login)}" for login in heard.review.reviewers[:20])
        yield Reply(reminder(state.reminded), f"Still waits for a review{': ' + names if names else ''}.")
    for said in heard.items:
        if said.author.login != heard.me and said.id in state.answered and command(said.body) is not None:
            yield _to(said, orders.get(said.id, HEARD))
    items = {item.id: item for item in heard.items}
    for item, text in why.items():
        yield _to(items[item], text)


def _to(said: ReviewItem, text: str) -> Reply:
    """What an order is answered with, beneath it where it stands in a thread."""
    return Reply(to(said.id), text, said.thread, _named(said.id, said))


def reminder(at: datetime) -> str:
    """The marker of one reminder; each is a comment of its own, for only a new one tells people."""
    return f"reminder:{at:%Y%m%dT%H%M%S}"


def _answered(answers: Mapping[str, str], heard: Heard) -> Iterator[Reply]:
    """Names the commit that answers: beneath each thread, and once for all that has none, with what it answers."""
    items = {item.id: item for item in heard.items}
    threads: dict[str | None, list[str]] = {}
    for each in answers:
        threads.setdefault(items[each].thread if each in items else None, []).append(each)
    for thread, mine in threads.items():
        commits = dict.fromkeys(answers[each] for each in mine)
        digest = hashlib.sha256(" ".join(sorted(mine)).encode()).hexdigest()[:8]
        marker = f"answers:{'-'.join(commit[:12] for commit in commits)}-{digest}"
        text = f"Answered in {', '.join(commits)}"  # plain, so that forges make links of them
        listed = "\n".join(f"- {_named(each, items.get(each))}" for each in mine[:MOST_LISTED])
        if thread is None:
            yield Reply(marker, f"{text}:\n\n{listed}")
        else:
            yield Reply(marker, f"{text}.", thread, listed)


def _named(identity: str, item: ReviewItem | None) -> str:
    if item is None:
        return identity
    said = f"{person(item.author.login)}{_code(where(item))}"
    return f"[{said}]({link(item)})" if item.url else said


def _code(text: str) -> str:
    """A path inside a link, without what markdown would read in it."""
    return "".join(c for c in text if c not in "[]()`<>*_!|\\")
