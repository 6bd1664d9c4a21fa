"""The one comment of hqd's own on a pull request: found by a marker that readers do not see, and edited in place."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

MOST = 60_000
"""Characters of a body that all three forges take (GitHub's limit is 65,536)."""
_CUT = "\n\n(cut: the whole text is in the HQ's records)"


class Comment(NamedTuple):
    """A comment as far as it matters here."""

    id: str
    body: str
    mine: bool  # written by the account that the token belongs to


def line(marker: str) -> str:
    """The marker as it stands in a comment."""
    if not marker or "--" in marker or ">" in marker or "\n" in marker:
        raise ValueError(f"no marker: {marker!r}")
    return f"<!-- hqd:{marker} -->"


def body_of(marker: str, text: str) -> str:
    """A comment's whole body. The marker comes first, so that it survives the cut of a long text."""
    return f"{line(marker)}\n{fitting(text)}"


def fitting(text: str) -> str:
    """The text, cut where it is longer than forges take."""
    return text if len(text) <= MOST else text[: MOST - len(_CUT)] + _CUT


def marked(comments: Iterable[Comment], marker: str) -> Comment | None:
    """The oldest own comment with the marker: what others quote or copy is theirs, and is never edited."""
    found = [each for each in comments if each.mine and each.body.startswith(line(marker))]
    return found[0] if found else None
