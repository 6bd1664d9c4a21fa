"""Which paths a step may deliver to. Pure: what stands at a path is looked up by the caller."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection

from hqd.core.globs import matches

_GIT_FOLDER = re.compile(r"\.git[ .]*(::.*)?|git~\d+")  # what Windows and HFS+ take for .git as well
_ATTRIBUTES = re.compile(r"\.gitattributes[ .]*(::.*)?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\\]")
MAX_NAME = 255  # bytes; most file systems
MAX_PATH = 1024


def folded(name: str) -> str:
    """A name as a file system that ignores case, form and invisible characters sees it."""
    visible = "".join(one for one in name if unicodedata.category(one) != "Cf")
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", visible).casefold())


def path_fault(path: str, protected: Collection[str]) -> str | None:
    """What is wrong with delivering to `path`; None: nothing. `protected`: folders end in a slash, files do not."""
    names = path.split("/")
    if not path or path.startswith("/") or "" in names or {".", ".."} & set(names):
        return "is no path inside the repository"
    if _CONTROL.search(path) or "\ufffd" in path or not _encodable(path):
        return "has a character that no file name should have"
    if len(path.encode()) > MAX_PATH or any(len(name.encode()) > MAX_NAME for name in names):
        return "is too long"
    seen = [folded(name) for name in names]
    if any(_GIT_FOLDER.fullmatch(name) for name in seen):
        return "is inside git's own folder"
    if any(_ATTRIBUTES.fullmatch(name) for name in seen):
        return "is protected: git attributes are a person's"
    whole = "/".join(name.rstrip(" .") for name in seen)
    for one in protected:
        if whole == folded(one.rstrip("/")) or (one.endswith("/") and whole.startswith(folded(one))):
            return f"is protected: {one} is a person's, or hqd's own"
    return None


def guarded(path: str, protected: Collection[str]) -> bool:
    """Whether one of the globs `protected` covers the path, also as a file system that ignores case sees it."""
    return matches(path, protected) or matches(folded(path), [folded(glob) for glob in protected])


def _encodable(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
