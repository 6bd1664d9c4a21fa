"""What people did on a pull request, and what follows for its task. Pure; called as often as one likes.

Level-triggered: everything is worked out anew from the facts of the last look and from what the task remembers
(`ReviewState`). An item counts once, by its id, and never again when its text changes or its thread is resolved. Only
people who may write have a say, and that is what the forge says of them now; a bot only where `allow_bots` names it,
and then its words go to the agent but it neither approves nor commands. hqd's own words never count.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from hqd.core.reviews.checks import Awaited, standing
from hqd.core.reviews.text import clean, command, finding, marker, person, shown
from hqd.core.reviews.verdicts import verdicts
from hqd.model.record import Finding, ReviewState
from hqd.model.review import Check, ItemKind, Permission, Review, ReviewItem, ReviewStatus
from hqd.model.task import State

MOST_ITEMS = 40
"""Items that one attempt is sent; what is above waits for the next."""
LAG = timedelta(seconds=60)
"""How long a forge may show an older commit of the branch than was pushed before a person is taken to have done it."""
MOST_DEBOUNCES = 6
"""Who goes on writing delays what was said first by at most so many debounce times."""
_HEARS = frozenset({State.REVIEW, State.BLOCKED})
"""Where orders are heard at once; while an agent works only `drop` and `why` are, the others wait."""
_SPOKEN = frozenset({ItemKind.COMMENT, ItemKind.LINE, ItemKind.CHANGES_REQUESTED, ItemKind.REVIEWED})


@dataclass(frozen=True, slots=True)
class Heard:
    """What one look at the forge found.

    `rights`: of those who said something, as far as the forge could be asked. `began`: when the look began, by this
    machine's clock; `first`: when each item was first seen, by the same clock. Of the head's commit: `here`, it is in
    this clone; `past`, what the task has descends from it; `grown`, it descends from what the task has.
    """

    review: Review
    items: tuple[ReviewItem, ...]
    rights: Mapping[str, Permission]
    me: str
    began: datetime
    first: Mapping[str, datetime] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    here: bool = True
    past: bool = False
    grown: bool = True


@dataclass(frozen=True, slots=True)
class Terms:
    """What the playbook and the settings say of this review. `to`: the step that changes go to; `base`: main's name.

    `again`: the review step has gates, which new commits must pass. `landed`: main here has the forge's landing commit.
    `ahead`: there is newer work, which will be brought together with what people push when the review is opened again;
    `onto`: of these commits hqd knows, and could not bring the work together with them.
    """

    land: str
    to: str | None
    base: str
    debounce: timedelta
    grace: timedelta
    bots: frozenset[str] = frozenset()
    again: bool = False
    awaited: tuple[Awaited, ...] = ()
    secrets: Collection[str] = ()
    landed: bool = False
    ahead: bool = False
    onto: str | None = None


@dataclass(frozen=True, slots=True)
class Ordered:
    """`/hqd WORD TEXT` by somebody who may write. `drop` ends the task; the others are for review/ and blocked/."""

    item: str
    word: str
    text: str
    by: str


@dataclass(frozen=True, slots=True)
class Asked:
    """Back to step `to` with findings; `state` has `items` as answered."""

    to: str
    findings: tuple[Finding, ...]
    items: tuple[str, ...]
    by: str
    state: ReviewState


@dataclass(frozen=True, slots=True)
class Passed:
    """Approved, and nothing is to land: the flow goes on."""

    by: str


@dataclass(frozen=True, slots=True)
class Followed:
    """News that is kept with the review, which goes on; `again`: its gates have to be passed anew."""

    state: ReviewState
    why: str
    by: str = "forge"
    again: bool = False


@dataclass(frozen=True, slots=True)
class LandedThere:
    """The forge says so, and main here has the commit."""

    commit: str


@dataclass(frozen=True, slots=True)
class Dropped:
    """Closed without having landed, for longer than the grace time."""

    since: datetime


@dataclass(frozen=True, slots=True)
class Stuck:
    """Only a person can move it on: `gate_error` (the CI keeps silent) or `review_rejected` (nobody to mend it)."""

    reason: str
    missing: str
    findings: tuple[Finding, ...] = ()
    items: tuple[str, ...] = ()


Act = Ordered | Asked | Passed | Followed | LandedThere | Dropped | Stuck


@dataclass(frozen=True, slots=True)
class Said:
    """What follows. `act` None: nothing now. `until`: decide again then. `waits`: one line, what is missing.

    `pending`: some check that is waited for is not green. `fresh`: another look is needed (once `until` is over), for
    what is said meanwhile belongs to it. `why`: items that ask just that, and have no reply yet. `unheard`: what is
    shown to people and sent to nobody.
    """

    act: Act | None = None
    until: datetime | None = None
    waits: str = ""
    pending: bool = False
    fresh: bool = False
    why: tuple[str, ...] = ()
    unheard: tuple[str, ...] = ()


def listen(where: State, state: ReviewState, heard: Heard, terms: Terms, now: datetime) -> Said:
    """The one next thing that follows for a task in `where`; call again after it is durable."""
    if heard.review.fork:
        return Said(waits="the pull request is another repository's branch, which hqd does not follow")
    unheard = tuple(shown(item, terms.secrets) for item in _strangers(heard, terms))
    orders = _orders(state, heard)
    why = tuple(order.item for order in orders if order.word == "why" and to(order.item) not in own_markers(heard))
    order = next((each for each in orders if each.word != "why" and (where in _HEARS or each.word == "drop")), None)
    if order is not None:
        return Said(order, why=why, unheard=unheard)
    looks = _LOOKS.get(where, ())
    if not looks or (where is State.BLOCKED and heard.review.status is not ReviewStatus.OPEN):
        return Said(why=why, unheard=unheard)
    for look in looks:
        found = look(state, heard, terms, now)
        if found is not None:
            return replace(found, pending=_pending(state, heard, terms, now), why=why, unheard=unheard)
    pending = _pending(state, heard, terms, now)
    waits = _waits(state, heard, terms) if where is State.REVIEW else ""
    return Said(waits=waits, pending=pending, why=why, unheard=unheard)


def _pending(state: ReviewState, heard: Heard, terms: Terms, now: datetime) -> bool:
    return bool(standing(terms.awaited, heard.checks, state.head, state.opened, now).missing)


def own_markers(heard: Heard) -> frozenset[str]:
    """The markers of hqd's own comments that are there."""
    found = (marker(item, heard.me) for item in heard.items)
    return frozenset(each for each in found if each is not None)


def may_write(login: str, heard: Heard) -> bool:
    return heard.rights.get(login, Permission.NONE).can_write


def _people(heard: Heard) -> Iterable[ReviewItem]:
    """What was said by others than hqd, who may write and are no bots."""
    return (
        item
        for item in heard.items
        if item.author.login != heard.me and not item.author.bot and may_write(item.author.login, heard)
    )


def _agents_words(heard: Heard, terms: Terms) -> list[ReviewItem]:
    """What an agent is to answer, whoever of those with a say has said it."""
    found = []
    people = {item.id for item in _people(heard)}
    for item in heard.items:
        allowed = item.id in people or (item.author.login in terms.bots and item.author.login != heard.me)
        if allowed and item.kind in _SPOKEN and command(item.body) is None:
            found.append(item)
    return found


def _strangers(heard: Heard, terms: Terms) -> list[ReviewItem]:
    """Words of people without a say; bots that nobody asked for are not even shown."""
    return [
        item
        for item in heard.items
        if item.body.strip()
        and item.author.login not in (heard.me, *terms.bots)
        and not item.author.bot
        and item.author.login in heard.rights
        and not may_write(item.author.login, heard)
    ]


def _orders(state: ReviewState, heard: Heard) -> list[Ordered]:
    """The orders that nobody has heard yet, oldest first; whether a `why` was, hqd's own comment tells."""
    found = []
    for item in _people(heard):
        said = command(item.body) if item.kind in _SPOKEN and item.id not in state.answered else None
        if said is not None:
            found.append(Ordered(item.id, said.word, said.text, person(item.author.login)))
    return found


def to(item: str) -> str:
    """The marker of the comment that answers one order."""
    return f"to:{item}"


def _ended(state: ReviewState, heard: Heard, terms: Terms, now: datetime) -> Said | None:
    review = heard.review
    if review.status is ReviewStatus.MERGED:
        if review.base != terms.base:
            return Said(waits=f"merged into {review.base}, not into {terms.base}: merge it there, or drop the task")
        if terms.landed and review.landed is not None:
            return Said(LandedThere(review.landed))
        commit = (review.landed or "")[:12]
        return Said(waits=f"merged on the forge as {commit}; main here does not have it yet")
    if review.status is ReviewStatus.CLOSED:
        since = state.closed_since
        if since is None:
            closed = state.model_copy(update={"closed_since": now})
            return Said(Followed(closed, "closed without having been merged"))
        end = since + terms.grace
        if now < end:
            waits = f"closed unmerged: dropped at {end:%Y-%m-%d %H:%M:%S} UTC unless it is reopened"
            return Said(until=end, waits=waits)
        return Said(Dropped(since))
    if state.closed_since is not None:
        return Said(Followed(state.model_copy(update={"closed_since": None}), "reopened"))
    return None


def _moved(state: ReviewState, heard: Heard, terms: Terms, now: datetime) -> Said | None:
    head = heard.review.head
    if head in (state.head, terms.onto) or terms.ahead:
        return None
    if heard.past:
        sure = (state.opened or now) + LAG
        if heard.began < sure:
            return Said(until=sure, waits=f"the forge still shows {head[:12]}; {state.head[:12]} was pushed")
    if not heard.here:
        return Said(waits=f"the branch is at {head[:12]} on the forge; that commit is being fetched")
    how = "new commits" if heard.grown else "the branch was pushed by force"
    gone = f"; the approval of {', '.join(state.approvers)} no longer counts" if state.approved else ""
    update = {
        "head": head, "approved": False, "approvers": (), "opened": now, "replaced": state.head,
        "answered": (*state.answered, *_verdicts_without_commit(heard)),
    }  # fmt: skip
    why = f"{how}: {head[:12]} instead of {state.head[:12]}{gone}"
    return Said(Followed(state.model_copy(update=update), why, again=terms.again))


def _verdicts_without_commit(heard: Heard) -> tuple[str, ...]:
    """Approvals of which the forge does not tell what was looked at: they were about the work as it was."""
    return tuple(item.id for item in heard.items if item.kind is ItemKind.APPROVED and item.commit is None)


def _checks(state: ReviewState, heard: Heard, terms: Terms, now: datetime) -> Said | None:
    """The forge's own CI keeps silent for too long."""
    found = standing(terms.awaited, heard.checks, state.head, state.opened, now)
    if found.overdue:
        return Said(Stuck("gate_error", found.overdue))
    return None


def _words(state: ReviewState, heard: Heard, terms: Terms, now: datetime) -> Said | None:
    """What an agent is to answer: people's words, debounced, and checks that failed, in one go."""
    told = standing(terms.awaited, heard.checks, state.head, state.opened, now)
    failed = {key: said for key, said in told.failed.items() if key not in state.answered}
    fresh = [item for item in _agents_words(heard, terms) if item.id not in state.answered]
    if not fresh and not failed:
        return None
    ready = _settled(fresh, heard, terms, now)
    if ready is not None and heard.began < ready:
        said = f"{len(fresh)} new comment{'s' * (len(fresh) > 1)}; more may follow until {ready:%H:%M:%S} UTC"
        return Said(until=ready if now < ready else None, waits=said, fresh=True)
    chosen = [item for item in fresh if not _wrapper(item, fresh)][:MOST_ITEMS]
    items = (*(item.id for item in chosen), *(item.id for item in fresh if _wrapper(item, fresh)), *failed)
    by = ", ".join(dict.fromkeys(person(item.author.login) for item in chosen)) or "the forge's checks"
    findings = (*(finding(item, terms.secrets) for item in chosen), *failed.values())
    if terms.to is None:
        missing = f"{by} asked for changes, and no agent step before the review could make them"
        return Said(Stuck("review_rejected", missing, findings, items))
    spent = (*state.answered, *items, *_verdicts_without_commit(heard))
    asked = (*state.asked, *(item.id for item in chosen))
    after = state.model_copy(update={"answered": tuple(dict.fromkeys(spent)), "asked": tuple(dict.fromkeys(asked))})
    return Said(Asked(terms.to, findings, items, by, after))


def _wrapper(item: ReviewItem, fresh: list[ReviewItem]) -> bool:
    """A request for changes without words, beside the words of the same person: nothing of its own to answer."""
    return (
        item.kind is ItemKind.CHANGES_REQUESTED
        and not item.body.strip()
        and any(other is not item and other.author == item.author and other.body.strip() for other in fresh)
    )


def _settled(fresh: list[ReviewItem], heard: Heard, terms: Terms, now: datetime) -> datetime | None:
    """Until when more is waited for; a look that began later has all that belongs together. None: nothing waits."""
    if not fresh:
        return None
    seen = [heard.first.get(item.id, now) for item in fresh]
    return min(max(seen) + terms.debounce, min(seen) + MOST_DEBOUNCES * terms.debounce)


def _verdict(state: ReviewState, heard: Heard, terms: Terms, now: datetime) -> Said | None:
    found = verdicts(state, _people(heard))
    told = standing(terms.awaited, heard.checks, state.head, state.opened, now)
    if found.approved and not told.missing and terms.land == "never":
        return Said(Passed(", ".join(found.by)))
    by, free = found.by, state.sample is not None and not found.against
    good = (found.approved or free) and not told.missing and not _elsewhere(heard, terms)
    if good != state.approved or (good and by != state.approvers):
        names = ", ".join(by if good else state.approvers)
        after = state.model_copy(update={"approved": good, "approvers": by if good else ()})
        why = f"approved by {names}" if good else f"no longer approved ({names or 'nobody'})"
        if good and not by:
            why = "nothing is missing; nobody is asked for a word (review.sample)"
        return Said(Followed(after, why, by=names if good and by else "forge"))
    if told.until is not None:
        return Said(until=told.until, waits=_waits(state, heard, terms))
    return None


_LOOKS = {State.REVIEW: (_ended, _moved, _words, _checks, _verdict), State.BLOCKED: (_moved,)}
"""What is looked for, in this order. On a blocked task people's commits count too: a retry goes on from them."""


def _elsewhere(heard: Heard, terms: Terms) -> list[str]:
    """A pull request that a person has aimed at another branch is not merged there by hqd."""
    base = heard.review.base
    return [] if base == terms.base else [f"being aimed at {terms.base} again (it is at {clean(base, most=80).text})"]


def _waits(state: ReviewState, heard: Heard, terms: Terms) -> str:
    """What is still missing on the forge, in one line."""
    told = standing(terms.awaited, heard.checks, state.head, state.opened, heard.began)
    found = verdicts(state, _people(heard))
    by, parts = found.by, _elsewhere(heard, terms)
    if told.missing:
        parts.append(f"checks: {told.missing}")
    if found.against:
        parts.append(f"an approval by {', '.join(found.against)}, who asked for changes, or that they be dismissed")
    elif not by and state.sample is None:
        asked = f" by {', '.join(heard.review.reviewers)}" if heard.review.reviewers else ""
        parts.append(f"an approval{asked}")
    if state.sample is not None:
        parts.append("hqd, which merges it as soon as the forge lets it: nobody is asked (review.sample)")
    elif terms.land == "on_merge":
        parts.append("the merge")
    elif terms.land == "on_approval" and state.approved:
        parts.append(f"hqd merges it, approved by {', '.join(by)}")
    draft = " (a draft)" if heard.review.draft else ""
    return f"pull request #{heard.review.number}{draft} waits for " + (", then ".join(parts) or "a person's word")
