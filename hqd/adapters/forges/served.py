"""What the adapters of all forges with a server do alike: one account, lists, the marked comment, branches, closing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from hqd.adapters.forges import marker as marks
from hqd.adapters.forges.http import ForgeHttp, Params
from hqd.errors import ForgeRefused
from hqd.model.review import Account, RateState, Review


class Served:
    """`at`: the repository's path below the API. What differs from forge to forge stands in the class."""

    LOGIN: ClassVar[str] = "login"  # key of a user's name
    PAGE: ClassVar[tuple[str, int]] = ("per_page", 100)
    EDIT: ClassVar[str] = "PATCH"  # method that edits a comment
    COMMENT: ClassVar[str] = "comment"  # what a comment's id begins with

    def __init__(self, http: ForgeHttp, at: str) -> None:
        self._http, self._at = http, at
        self._me = ""

    def login(self) -> str:
        if not self._me:
            self._me = self._whoami()
        return self._me

    def _whoami(self) -> str:
        return str(self._http.get("/user").data[self.LOGIN])

    def comment(self, number: int, marker: str, body: str) -> str:
        text, there = marks.body_of(marker, body), self._marked(number, marker)
        if there is None:
            there = self._http.create(
                self._comments_of(number), {"body": text},
                lambda: self._marked(number, marker), lambda said: marks.Comment(str(said["id"]), text, mine=True),
            )  # fmt: skip
        if there.body != text:
            self._http.write(self.EDIT, self._comment_at(number, there.id), {"body": text})
        return f"{self.COMMENT}-{there.id}"

    def _marked(self, number: int, marker: str) -> marks.Comment | None:
        me = self.login()
        mine = (
            marks.Comment(str(said["id"]), said.get("body") or "", self._author(said).login == me)
            for said in self._said(number)
        )
        return marks.marked(mine, marker)

    def _said(self, number: int) -> Iterator[Any]:
        """The comments on the whole, oldest first."""
        return self._list(f"/issues/{number}/comments")

    def _author(self, said: Any) -> Account:
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

    def _list(self, path: str, query: Params | None = None, rows: str = "") -> Iterator[Any]:
        return self._http.pages(self._at + path, {self.PAGE[0]: self.PAGE[1], **(query or {})}, rows)

    def _opened_once(
        self, path: str, body: Any, look: Callable[[], Review | None], read: Callable[[Any], Review]
    ) -> Review:
        """A create that may find that it is there already, as some forges say it: by 409."""
        try:
            return self._http.create(path, body, look, read)
        except ForgeRefused as refused:
            there = look() if refused.cause == "conflict" else None
            if there is None:
                raise
            return there

    def _gone(self, at: str, head: str) -> bool:
        """Deletes the branch at this path if its tip is `head`; True also where it is gone."""
        there = self._http.find(at)
        if there is None:
            return True
        if there.data["commit"]["id"] != head:
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
