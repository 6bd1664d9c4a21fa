"""What the ledger is asked to write, and what it says of the working tree."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from hqd.model.record import Person


@dataclass(frozen=True, slots=True)
class Act:
    """A known difference between the working tree and main that a transition commits or takes back.

    The file at `path` has the content of `blob` (None: it is not there). The ledger looks once more, under
    its lock, that this is still so, and afterwards makes the file what the new tree says.
    """

    path: str
    blob: str | None


@dataclass(frozen=True, slots=True)
class Transition:
    """One commit on main: renames first, then deletes, then writes, all by repository paths.

    `links` sets paths to objects that are in the repository already: (mode, object id, path); `merge` is a
    second parent. `author` None: hqd itself. The message is complete, trailers and all.
    """

    message: str
    at: datetime
    renames: tuple[tuple[str, str], ...] = ()
    deletes: tuple[str, ...] = ()
    writes: tuple[tuple[str, bytes], ...] = ()
    links: tuple[tuple[str, str, str], ...] = ()
    merge: str | None = None
    acts: tuple[Act, ...] = ()
    author: Person | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a tree. `mode` as git writes it: 100644, 100755, 120000, 040000, 160000."""

    name: str
    mode: str
    id: str

    @property
    def is_folder(self) -> bool:
        return self.mode in ("040000", "40000")


@dataclass(frozen=True, slots=True)
class Difference:
    """A path at which the working tree differs from the tree that hqd last wrote out.

    `blob` is the git id of what stands there now (None: deleted); `kind` says what it is; `settled` is the
    time in seconds since it last changed; `staged`: its index entry differs from HEAD, so a person is
    preparing a commit with it; `whole`: it came by rename or link (its inode changed after its content), so no
    one is still writing it.
    """

    path: str
    kind: str  # added | modified | deleted
    file: str  # file | link | folder | other | missing
    blob: str | None
    size: int
    age: float
    staged: bool = False
    whole: bool = False


@dataclass(frozen=True, slots=True)
class WorkingTree:
    """The working tree as read at one moment.

    `busy` names why nothing may be read or written now (None: all is well): index_lock, branch, merge, ….
    """

    tip: str
    differences: tuple[Difference, ...]
    busy: str | None = None
    busy_message: str = ""
