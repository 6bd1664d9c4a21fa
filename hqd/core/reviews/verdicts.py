"""What people's verdicts on a pull request come to: who is for it, and who is against. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hqd.core.reviews.text import person
from hqd.model.record import ReviewState
from hqd.model.review import ItemKind, ReviewItem

_VERDICTS = frozenset({ItemKind.APPROVED, ItemKind.CHANGES_REQUESTED, ItemKind.DISMISSED})


@dataclass(frozen=True, slots=True)
class Verdicts:
    """`by`: who approves of the very commit that is up for review; `against`: whose newest verdict asks for changes, of
    whatever commit: it stands until they approve or it is dismissed."""

    by: tuple[str, ...] = ()
    against: tuple[str, ...] = ()

    @property
    def approved(self) -> bool:
        return bool(self.by) and not self.against


def verdicts(state: ReviewState, said: Iterable[ReviewItem]) -> Verdicts:
    """Of what people who may write have said, oldest first: of each the newest verdict counts."""
    newest = {item.author.login: item for item in said if item.kind in _VERDICTS}
    against = [item for item in newest.values() if item.kind is ItemKind.CHANGES_REQUESTED]
    return Verdicts(_names(item for item in newest.values() if _counts(item, state)), _names(against))


def _names(items: Iterable[ReviewItem]) -> tuple[str, ...]:
    return tuple(person(item.author.login) for item in items)


def _counts(item: ReviewItem, state: ReviewState) -> bool:
    if item.kind is not ItemKind.APPROVED:
        return False
    return item.id not in state.answered if item.commit is None else item.commit == state.head
