"""A forge's answer, read key by key: what is not as the forge documents it is one expected error.

Law: JSON from a forge becomes text, numbers and times here and nowhere else. Whoever reads names a key and what it must
hold; ForgeUnavailable with cause `answer` says which request, which key, and what kind of thing stood there instead. It
never repeats what stood there, which may be long, hostile or a secret. No error of another kind is caught: a KeyError
in hqd's own code stays a bug.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from hqd.errors import ForgeUnavailable

T = TypeVar("T")

_ASKED = 200  # characters of a request's name in a message
_NAME = 255  # characters of a user's name
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_MOST = 2**63
_MISSING = object()
_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "a truth value"),
    ((int, float), "a number"),
    (str, "text"),
    (list, "a list"),
    (dict, "an object"),
)


def unreadable(asked: str, what: str) -> ForgeUnavailable:
    """The error of every answer that is not what its forge documents. `asked`: the request; `what`: how it is wrong."""
    return ForgeUnavailable(
        "answer", f"{asked[:_ASKED]}: not an answer that this forge documents: {what}",
        remedy="hqd asks again; look whether a proxy answers for the forge, and at the forge's own log",
    )  # fmt: skip


def _nothing() -> None:
    """For answers that nobody keeps."""


class Json:
    """One value of an answer. `asked`: the request; `at`: where in the answer; `unread` is told that it is no good.

    Every method raises ForgeUnavailable (cause `answer`) where the value is not what the method's name says. Methods
    that begin with `maybe`, and `words` and `flag`, take null and a missing key as nothing.
    """

    __slots__ = ("_asked", "_at", "_unread", "value")

    def __init__(self, value: Any, asked: str = "", at: str = "", unread: Callable[[], object] = _nothing) -> None:
        self.value = value
        self._asked, self._at, self._unread = asked, at, unread

    def text(self, key: str) -> str:
        found = self._of(key)
        if not isinstance(found, str):
            raise self._wrong(key, found, "text")
        return found.encode("utf-8", "replace").decode("utf-8")  # halves of surrogate pairs cannot be written to a file

    def words(self, key: str) -> str:
        return self.text(key) if self.has(key) else ""

    def name(self, key: str, most: int = _NAME) -> str:
        """A user's name, or another word: in one line, not empty, of at most so many characters."""
        found = self.text(key)
        if not 0 < len(found) <= most or not found.isprintable():
            raise self._wrong(key, found, "a name")
        return found

    def commit(self, key: str) -> str:
        """A commit's whole id: it is given to git as an argument."""
        found = self.text(key)
        if _COMMIT.fullmatch(found) is None:
            raise self._wrong(key, found, "a commit")
        return found

    def maybe_commit(self, key: str) -> str | None:
        return self.commit(key) if self.words(key) else None

    def number(self, key: str) -> int:
        found = self._of(key)
        if not isinstance(found, int) or isinstance(found, bool) or not -_MOST <= found < _MOST:
            raise self._wrong(key, found, "a whole number")
        return found

    def maybe_number(self, key: str) -> int | None:
        return self.number(key) if self.has(key) else None

    def flag(self, key: str) -> bool:
        return self.maybe_flag(key) or False

    def maybe_flag(self, key: str) -> bool | None:
        if not self.has(key):
            return None
        found = self._of(key)
        if not isinstance(found, bool):
            raise self._wrong(key, found, "true or false")
        return found

    def time(self, key: str) -> datetime:
        """An ISO time, in UTC."""
        found = self.text(key)
        try:
            at = datetime.fromisoformat(found)
            return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError):
            raise self._wrong(key, found, "a time") from None

    def maybe_time(self, key: str) -> datetime | None:
        return self.time(key) if self.has(key) else None

    def one_of(self, key: str, table: Mapping[str, T]) -> T:
        """What the table says of the word that stands there."""
        found = self.text(key)
        if found not in table:
            raise self._wrong(key, found, "a word that hqd knows there")
        return table[found]

    def part(self, key: str) -> Json:
        """An object within this one."""
        found = self._of(key)
        if not isinstance(found, dict):
            raise self._wrong(key, found, "an object")
        return self._within(found, key)

    def maybe_part(self, key: str) -> Json | None:
        return self.part(key) if self.has(key) else None

    def rows(self, key: str = "") -> Iterator[Json]:
        """A list's elements; without a key, those of the answer itself."""
        found = self._of(key) if key else self.value
        if not isinstance(found, list):
            raise self._wrong(key, found, "a list")
        return (self._within(each, f"{key}[{place}]") for place, each in enumerate(found))

    def maybe_rows(self, key: str) -> Iterator[Json]:
        return self.rows(key) if self.has(key) else iter(())

    def maybe_texts(self, key: str) -> Iterator[str]:
        """A list of plain texts."""
        for place, row in enumerate(self.maybe_rows(key)):
            yield Json({"": row.value}, self._asked, f"{self._place(key)}[{place}]", self._unread).text("")

    def has(self, key: str) -> bool:
        """Whether something other than null stands there."""
        return self._of(key) not in (_MISSING, None)

    def _of(self, key: str) -> Any:
        if not isinstance(self.value, dict):
            raise self._wrong("", self.value, "an object")
        return self.value.get(key, _MISSING)

    def _within(self, value: Any, key: str) -> Json:
        return Json(value, self._asked, self._place(key), self._unread)

    def _place(self, key: str) -> str:
        return f"{self._at}.{key}" if self._at and key and not key.startswith("[") else self._at + key

    def _wrong(self, key: str, found: Any, wanted: str) -> ForgeUnavailable:
        self._unread()
        place = self._place(key)
        return unreadable(self._asked, f"{f'`{place}`' if place else 'it'} {_kind(found)}, where {wanted} is due")


def _kind(found: Any) -> str:
    if found is _MISSING:
        return "is missing"
    if found is None:
        return "is null"
    return "is " + next((words for kinds, words in _KINDS if isinstance(found, kinds)), "something else")


@dataclass(frozen=True, slots=True)
class Answer:
    """A good answer. `said`: its JSON, null where there is none. `unchanged`: it was a 304, which costs nothing."""

    status: int
    said: Json
    headers: Mapping[str, str]
    unchanged: bool = False

    @property
    def data(self) -> Any:
        """What was said, as it came."""
        return self.said.value
