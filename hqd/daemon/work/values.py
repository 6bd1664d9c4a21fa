"""Outputs by blob id, as text: what expressions and prompts read. Content-addressed, so kept without a worry."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping

from hqd.ports import History

_KEPT = 2_000
_KEPT_CHARS = 20_000_000


class Values(Mapping[str, str]):
    """Reads through to git; `put` adds what is about to be committed. Safe to read from worker threads."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._kept: OrderedDict[str, str] = OrderedDict()
        self._chars = 0

    def put(self, blob: str, text: str) -> None:
        if blob not in self._kept:
            self._kept[blob] = text
            self._chars += len(text)
        while len(self._kept) > _KEPT or (self._chars > _KEPT_CHARS and len(self._kept) > 1):
            _blob, dropped = self._kept.popitem(last=False)
            self._chars -= len(dropped)

    def __getitem__(self, blob: str) -> str:
        found = self._kept.get(blob)
        if found is None:
            found = self._history.blob(blob).decode("utf-8", "replace")
            self.put(blob, found)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._kept))

    def __len__(self) -> int:
        return len(self._kept)
