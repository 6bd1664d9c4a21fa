"""What the adapters of all forges with a server do alike: one account, lists, the marked comment, branches, closing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from hqd.adapters.forges import marker as marks
from hqd.adapters.forges.answer import Json
from hqd.adapters.forges.http import ForgeHttp, Params
from hqd.errors import ForgeRefused
from hqd.model.review import Account, Permission, RateState, Review


class Served:
    """`at`: the repository's path below the API. What differs from forge to forge stands in the class."""

    LOGIN: ClassVar[str] = "login"  # key of a user's name
    PAGE: ClassVar[tuple[str, int]] = ("per_page", 100)
    EDIT: ClassVar[str] = "PATCH"  # method that edits a comment
    COMMENT: ClassVar[str] = "comment"  # what a comment's id begins with
    BODY: ClassVar[str] = "body"  # key of a pull request's text
    CLOSED: ClassVar[Mapping[str, str]] = {"state": "closed"}
    OPEN: ClassVar[Mapping[str, str]] = {"state": "open"}

    def __init__(self, http: ForgeHttp, at: str) -> None:
        self._http, self._at = http, at
        self._me = ""

    def login(self) -> str:
        if not self._me:
            self._me = self._whoami()
        return self._me

    def _whoami(self) -> str:
        return self._http.get("/user").said.name(self.LOGIN)

    def review(self, number: int) -> Review:
        raise NotImplementedError

    def update_review(
        self, number: int, *, title: str | None = None, body: str | None = None, draft: bool | None = None
    ) -> Review:
        """Where a draft is a title that begins with a word for it."""
        changes: dict[str, Any] = {} if body is None else {self.BODY: marks.fitting(body)}
        if title is not None or draft is not None:
            now = self.review(number)
            wanted = self._titled(title or now.title, now.draft if draft is None else draft)
            changes |= {"title": wanted} if wanted != self._titled(now.title, now.draft) else {}
        return self._edit(number, changes) if changes else self.review(number)

    def _titled(self, title: str, draft: bool) -> str:
        raise NotImplementedError

    def close(self, number: int) -> Review:
        return self._edit(number, self.CLOSED)

    def reopen(self, number: int) -> Review:
        return self._edit(number, self.OPEN)

    def _edit(self, number: int, changes: Mapping[str, Any]) -> Review:
        """Changes a pull request itself, by the forge's own keys."""
        raise NotImplementedError

    def comment(self, number: int, marker: str, body: str) -> str:
        text = marks.body_of(marker, body)
        there = self._said_once(self._comments_of(number), marker, text, lambda: self._said(number))
        if there.body != text:
            self._http.write(self.EDIT, self._comment_at(number, there.id), {"body": text})
        return f"{self.COMMENT}-{there.id}"

    def reply(self, number: int, thread: str, marker: str, body: str) -> str:
        raise NotImplementedError

    def _said_once(
        self,
        path: str,
        marker: str,
        text: str,
        among: Callable[[], Iterator[Json]],
        more: Mapping[str, Any] | None = None,
    ) -> marks.Comment:
        """hqd's own comment with the marker `among` those that are there; made at `path` where it is not."""

        def there() -> marks.Comment | None:
            me = self.login()
            told = (
                marks.Comment(str(said.number("id")), said.words("body"), self._author(said).login == me)
                for said in among()
            )
            return marks.marked(told, marker)

        def made(said: Json) -> marks.Comment:
            return marks.Comment(str(said.number("id")), text, mine=True)

        return there() or self._http.create(path, {"body": text, **(more or {})}, there, made)

    def _said(self, number: int) -> Iterator[Json]:
        """The comments on the whole, oldest first."""
        return self._list(f"/issues/{number}/comments")

    def _author(self, said: Json) -> Account:
        raise NotImplementedError

    def _comments_of(self, number: int) -> str:
        return f"{self._at}/issues/{number}/comments"

    def _comment_at(self, number: int, identity: str) -> str:
        return f"{self._at}/issues/comments/{identity}"

    def rate(self) -> RateState:
        return self._http.rate()

    def disconnect(self) -> None:
        """Closes connections; the next call opens new ones."""
        self._http.close()

    def _list(self, path: str, query: Params | None = None, rows: str = "") -> Iterator[Json]:
        return self._http.pages(self._at + path, {self.PAGE[0]: self.PAGE[1], **(query or {})}, rows)

    def _opened_once(
        self, path: str, body: Any, look: Callable[[], Review | None], read: Callable[[Json], Review]
    ) -> Review:
        """A create that may find that it is there already, as some forges say it: by 409."""
        try:
            return self._http.create(path, body, look, read)
        except ForgeRefused as refused:
            there = look() if refused.cause == "conflict" else None
            if there is None:
                raise
            return there

    def _allowed(self, path: str, read: Callable[[Json], Permission]) -> Permission:
        """What the forge says at this path of somebody; NONE where it knows no such person there."""
        found = self._http.find(self._at + path)
        return Permission.NONE if found is None else read(found.said)

    def _gone(self, at: str, head: str) -> bool:
        """Deletes the branch at this path if its tip is `head`; True also where it is gone."""
        there = self._http.find(at)
        if there is None:
            return True
        if there.said.part("commit").commit("id") != head:
            return False
        self._without("DELETE", at)
        return True

    def _without(self, method: str, path: str) -> None:
        """A change after which something is not there; that it was not there before is as good."""
        try:
            self._http.write(method, path)
        except ForgeRefused as refused:
            if refused.cause != "missing":
                raise
