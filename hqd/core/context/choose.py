"""Which candidates are sent: unite, exclude, de-duplicate, budget, order. Pure: same candidates in, same documents out.

Laws. What is required is never cut and never left out: where it does not fit, nothing is sent at all. The stable part
has an allowance of its own that does not depend on the task, so that consecutive prompts of a step begin alike. A
document that has no room is cut at the border of a section, with a mark; else dropped, with the reason. Texts are read
one by one until the room is used up: what comes after is named, but not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from hqd.core.context.cut import cut
from hqd.core.context.likeness import nearly_same
from hqd.core.context.source import Candidate, Document, Load, Text
from hqd.core.context.tokens import Counter, estimate_tokens
from hqd.errors import Expected

STABLE_SHARE = 0.6
"""Of a whole budget, what documents that are the same for all tasks may take beside those that are required."""

LEAST = 40
"""Tokens below which there is no room: no document is begun for less."""

NAMED = 50
"""Documents of one rule that were not even looked at, which the account names one by one; the rest is a number."""

MISFITS = 20
"""Documents of one priority that are too long for what is left, after which no further ones are looked at."""

NO_ROOM = "no room left: not looked at"

Wrap = Callable[[Candidate, str], str]
"""The section of a prompt in which a candidate's text is sent: what is counted is what is sent."""


class Unusable(Expected):
    """A document that a playbook requires cannot be sent. Nothing was sent, nothing was spent.

    `source`: which one it is, `why` it cannot, `tokens`: how many it has, if it was counted. Empty and None where it is
    no single document.
    """

    def __init__(self, message: str, *, source: str = "", why: str = "", tokens: int | None = None) -> None:
        super().__init__(message)
        self.source = source
        self.why = why
        self.tokens = tokens


class DoesNotFit(Unusable):
    """What a playbook requires is more than the budget. Nothing was sent, nothing was spent."""


@dataclass(slots=True)
class _Room:
    """What is left, for all documents, for the stable ones, and for each rule with a limit of its own."""

    total: int
    stable: int
    groups: dict[str, int] = field(default_factory=dict)

    def left(self, each: Candidate) -> int:
        left = min(self.total, self.stable) if each.stable else self.total
        if each.max_tokens is not None:
            left = min(left, self.groups.setdefault(each.group, each.max_tokens))
        return left

    def take(self, each: Candidate, tokens: int) -> None:
        self.total -= tokens
        if each.stable:
            self.stable -= tokens
        if each.max_tokens is not None:
            self.groups[each.group] = self.groups.setdefault(each.group, each.max_tokens) - tokens


def choose(
    candidates: Sequence[Candidate],
    load: Load,
    wrap: Wrap,
    count: Counter,
    room: int,
    budget: int,
    without: Collection[str] = (),
) -> tuple[Document, ...]:
    """What becomes of each candidate: the stable ones first, each part in the order of the prompt, dropped ones last.

    `room`: tokens that are left for documents; `budget`: of the whole prompt. Raises DoesNotFit, and Unusable for a
    required document that cannot be sent.
    """
    chosen, dropped = _united(candidates, without)
    two_voices, chosen = _one_voice(chosen)
    dropped += two_voices
    texts = {each.source: _required_text(each, load) for each in chosen if each.required}
    same, chosen = _same_blobs(chosen)
    dropped += same
    documents: list[Document] = []
    space = _Room(room, int(budget * STABLE_SHARE))
    for each in (one for one in chosen if one.required):
        text = texts[each.source]
        tokens = count(wrap(each, text.text))
        if each.max_tokens is not None and tokens > space.groups.get(each.group, each.max_tokens):
            raise _does_not_fit(each, tokens, f", more than max_tokens ({each.max_tokens})")
        if tokens > space.total:
            raise _does_not_fit(each, tokens, f"; {max(space.total, 0)} of {budget} are left for it")
        space.take(each, tokens)
        documents.append(_document(each, text, text.text, tokens, "required"))
    optional = sorted((one for one in chosen if not one.required), key=lambda one: (not one.stable, *_worth(one)))
    for _rank, alike in groupby(optional, key=lambda one: (one.stable, one.priority)):
        documents += _fill(list(alike), _Filling(load, wrap, count, space, documents))
    order = {each.source: _place(each) for each in candidates}
    sent = sorted((one for one in documents if one.sent), key=lambda one: order[one.source])
    left_out = [*dropped, *(one for one in documents if not one.sent)]
    return (*sent, *_told(sorted(left_out, key=lambda one: (order.get(one.source, (True,)), one.source, one.rule))))


def _does_not_fit(each: Candidate, tokens: int, but: str) -> DoesNotFit:
    why = f"is required and has {tokens} tokens{but}"
    return DoesNotFit(f"{each.rule}: {each.source} {why}", source=each.source, why=why, tokens=tokens)


def _unusable(each: Candidate, but: str) -> Unusable:
    why = f"required, but {but}"
    return Unusable(f"{each.rule}: {each.source}: {why}", source=each.source, why=why)


@dataclass(frozen=True, slots=True)
class _Filling:
    """What filling the room needs. `kept`: what has been decided before."""

    load: Load
    wrap: Wrap
    count: Counter
    space: _Room
    kept: Sequence[Document]

    def tokens(self, each: Candidate, text: str) -> int:
        return self.count(self.wrap(each, text))


def _fill(alike: Sequence[Candidate], filling: _Filling) -> list[Document]:
    """Documents of one priority: first those that fit as they are, then, of the others, as much as there is room for.

    One long document does not push out ten short ones that weigh the same.
    """
    made: dict[str, Document] = {}
    too_long: list[tuple[Candidate, Text, int]] = []
    for each in alike:
        if filling.space.left(each) < LEAST or len(too_long) >= MISFITS:
            made[each.source] = _left_out(each, NO_ROOM)
            continue
        text = filling.load(each)
        told = _unwanted(each, text, [*filling.kept, *made.values()], filling)
        if told is not None:
            made[each.source] = told
            continue
        tokens = filling.tokens(each, text.text)
        if tokens <= filling.space.left(each):
            filling.space.take(each, tokens)
            made[each.source] = _document(each, text, text.text, tokens, "matches its rule")
        else:
            too_long.append((each, text, tokens))
    for each, text, tokens in too_long:
        made[each.source] = _shortened(each, text, tokens, filling)
    return list(made.values())


def _unwanted(each: Candidate, text: Text, kept: Sequence[Document], filling: _Filling) -> Document | None:
    """Why a document with room is not sent all the same; None: it is."""
    problem = text.problem or (f"quarantined: {text.flags[0]}" if each.quarantine and text.flags else None)
    if problem is not None:
        return replace(_left_out(each, problem), flags=text.flags)
    if each.result:
        return None
    twin = next((one for one in kept if one.sent and one.chars is None and nearly_same(one.text, text.text)), None)
    if twin is None:
        return None
    return replace(_left_out(each, f"nearly the same as {twin.source}"), tokens=filling.tokens(each, text.text))


def _shortened(each: Candidate, text: Text, tokens: int, filling: _Filling) -> Document:
    left = filling.space.left(each)
    whole = f"{tokens} tokens, room for {max(left, 0)}"
    shorter = None
    if left >= LEAST:
        rate = tokens / max(1, estimate_tokens(filling.wrap(each, text.text)))  # one document is not asked about often
        shorter = cut(text.text, left, lambda part: int(estimate_tokens(filling.wrap(each, part)) * rate), each.source)
    if shorter is None:
        return replace(_left_out(each, f"no room: {whole}"), tokens=tokens, flags=text.flags)
    sent = shorter.of(text.text)
    taken = filling.tokens(each, sent)
    filling.space.take(each, taken)
    made = _document(each, text, sent, taken, f"cut at the border of a section: {whole}")
    return replace(made, status="cut", chars=shorter.chars, mark=shorter.mark)


def _worth(each: Candidate) -> tuple[int, int, float, str]:
    """Which document is looked at first while there is room: priority, the nearer rule, the better score, the name."""
    return (-each.priority, -each.layer, -(each.score or 0.0), each.source)


def _place(each: Candidate) -> tuple[bool, int, int, float, str]:
    """Where in the prompt: the stable part first, the wider rule first, then priority, score and name."""
    return (not each.stable, each.layer, -each.priority, -(each.score or 0.0), each.source)


def _united(candidates: Sequence[Candidate], without: Collection[str]) -> tuple[list[Candidate], list[Document]]:
    """One candidate for each source. Of two rules for one document the weightier counts; the other is named."""
    best: dict[str, Candidate] = {}
    dropped: list[Document] = []
    for each in sorted(candidates, key=lambda one: (not one.required, *_worth(one), one.rule)):
        if each.source in without:
            dropped.append(_left_out(each, "left out on request"))
        elif each.problem is not None:
            if each.required:
                raise _unusable(each, each.problem)
            dropped.append(_left_out(each, each.problem))
        elif each.source in best:
            dropped.append(_left_out(each, f"two rules for one document: {best[each.source].rule} has it already"))
        else:
            best[each.source] = each
    return list(best.values()), dropped


def _one_voice(chosen: Sequence[Candidate]) -> tuple[list[Document], list[Candidate]]:
    """Of several answers to one question the newest is sent; never two, which may say different things."""
    newest: dict[str, Candidate] = {}
    for each in chosen:
        known = newest.get(each.topic)
        if each.topic and (known is None or (each.moment, each.source) > (known.moment, known.source)):
            newest[each.topic] = each
    dropped = [
        _left_out(each, f"{newest[each.topic].source} answers the same question ({each.topic}), and is newer")
        for each in chosen
        if newest.get(each.topic, each) is not each
    ]
    return dropped, [each for each in chosen if newest.get(each.topic, each) is each]


def _same_blobs(chosen: Sequence[Candidate]) -> tuple[list[Document], list[Candidate]]:
    """The same content under two names is sent once, under the name that comes first in worth."""
    first: dict[tuple[str, ...], Candidate] = {}
    dropped, kept = [], []
    for each in sorted(chosen, key=lambda one: (not one.required, *_worth(one))):
        known = first.setdefault((each.source,) if each.result else (each.blob, each.form), each)
        if known is each:
            kept.append(each)
        else:
            dropped.append(_left_out(each, f"the same content as {known.source}"))
    return dropped, kept


def _required_text(each: Candidate, load: Load) -> Text:
    text = load(each)
    if text.problem is not None:
        raise _unusable(each, text.problem)
    if each.quarantine and text.flags:
        raise _unusable(each, f"quarantined: {text.flags[0]}")
    return text


def _document(each: Candidate, text: Text, sent: str, tokens: int, why: str) -> Document:
    return Document(
        source=each.source,
        blob=each.blob,
        rule=each.rule,
        text=sent,
        why=f"{why}; {each.remark}" if each.remark else why,
        tokens=tokens,
        stable=each.stable,
        form=each.form,
        heading=each.heading,
        score=each.score,
        flags=text.flags,
        repo=each.repo,
    )


def _left_out(each: Candidate, why: str) -> Document:
    return Document(
        source=each.source,
        blob=each.blob,
        rule=each.rule,
        text="",
        status="dropped",
        why=why,
        stable=each.stable,
        form=each.form,
        score=each.score,
        repo=each.repo,
    )


def _told(dropped: Iterable[Document]) -> list[Document]:
    """The account of what was left out, bounded: ten thousand documents without room are a number, not a list."""
    told: list[Document] = []
    named: dict[str, int] = {}
    for each in dropped:
        if each.why == NO_ROOM:
            named[each.rule] = named.get(each.rule, 0) + 1
            if named[each.rule] > NAMED:
                continue
        told.append(each)
    return told + [
        Document(f"({total - NAMED} more)", "", rule, "", "dropped", NO_ROOM)
        for rule, total in sorted(named.items())
        if total > NAMED
    ]
