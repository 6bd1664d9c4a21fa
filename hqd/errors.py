"""Every error that hqd raises on purpose.

Three kinds, and they look different to the person who meets them:

- expected (`Expected` and below): the world said no in a way hqd foresaw; one line, a remedy, no traceback.
- the operator's (`Misconfigured`, `Usage`): a file or a call has to be changed by a person; exit 78 or 2.
- bugs: everything else. They are not caught below the worker and CLI edges, and print a traceback.
"""

from __future__ import annotations

from pathlib import Path

EXIT_OK = 0
EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_TEMPORARY = 75
EXIT_CONFIG = 78


def joined(message: str, remedy: str, by: str = "; ") -> str:
    """What is wrong and what to do about it, in one; others' words may end in a full stop, which goes before `by`."""
    return f"{unstopped(message)}{by}{remedy}" if remedy else message


def unstopped(text: str) -> str:
    """The text without the full stop at its end; three of them are no full stop."""
    return text if text.endswith("..") else text.removesuffix(".")


class HqdError(Exception):
    """Base of all errors that hqd raises on purpose. `remedy` is one line for the person who reads it."""

    exit_code = EXIT_FAILURE

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class Expected(HqdError):
    """The world said no; trying again later, or after the remedy, may help."""


class Temporary(Expected):
    """Nothing is wrong with the request; the same call may succeed later."""

    exit_code = EXIT_TEMPORARY


class Usage(HqdError):
    """The call itself is wrong."""

    exit_code = EXIT_USAGE


class Misconfigured(HqdError):
    """A file that a person wrote cannot be used."""

    exit_code = EXIT_CONFIG


class NotAnHQ(Misconfigured):
    """No hqd.toml here or above."""

    def __init__(self, where: Path) -> None:
        super().__init__(f"no hqd.toml in {where} or above it", remedy="run `hqd init PATH`, or pass --hq PATH")


class StaleHead(Temporary):
    """Main moved under an append. Nothing was written; take a new snapshot and decide again."""

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(f"main moved from {expected[:12]} to {found[:12]}")
        self.expected = expected
        self.found = found


class PathsInUse(Temporary):
    """A person's uncommitted work stands on paths that an append would move or write. Nothing was written."""

    def __init__(self, paths: tuple[str, ...]) -> None:
        super().__init__("uncommitted work of a person on: " + ", ".join(paths[:5]), remedy="commit it or put it back")
        self.paths = paths


class RepositoryBusy(Temporary):
    """index.lock is held, another branch is checked out, or a merge, rebase or bisect is in progress.

    `cause` is one word for programs: index_lock, branch, merge, rebase, bisect, cherry_pick, revert.
    """

    def __init__(self, cause: str, message: str, *, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.cause = cause


class CannotCommit(Expected):
    """Nothing can be committed now: full or read-only disk, rewritten history. `cause`: disk, read_only, history."""

    def __init__(self, cause: str, message: str, *, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.cause = cause


class BranchMoved(Temporary):
    """A person put other commits on a task's branch; theirs count. Nothing was written; look again and decide."""

    def __init__(self, task: str, expected: str | None, found: str) -> None:
        super().__init__(f"hqd/{task} is at {found[:12]}, not at {(expected or 'no commit')[:12]}: a person changed it")
        self.task = task
        self.expected = expected
        self.found = found


class Conflict(Expected):
    """Two lines of work changed the same things. `paths`: where git cannot merge by itself."""

    def __init__(self, paths: tuple[str, ...]) -> None:
        super().__init__("conflict with main in: " + ", ".join(paths[:5]), remedy="merge by hand, or send it back")
        self.paths = paths


class MainMoved(Temporary):
    """Main has moved for a review since it was opened: it is brought up to date and checked before it may land."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what}; the review is brought up to date and checked again first",
            remedy="look at it once more, and approve it then",
        )


class ForgeRefused(Expected):
    """A forge said no to this very request; the same again would get the same answer.

    `cause` is one word for programs: credentials (none, or revoked), rights (too weak), missing (no such thing, or
    hidden from this token), moved (the repository was renamed), invalid (what was sent), blocked (branch protection,
    a draft, a merge queue), conflict (it does not merge), head_moved (somebody pushed), closed, unsupported.
    """

    def __init__(self, cause: str, message: str, *, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.cause = cause


class ForgeUnavailable(Temporary):
    """A forge cannot be asked now. `cause`: down, timeout, limit, answer (not one that it documents: its own trouble, a
    proxy that answers for it, a version that hqd does not know). `wait`: seconds that it asked for, if it did.

    After a request that creates something it is not known whether the forge has done it: look before trying again.
    """

    def __init__(self, cause: str, message: str, *, wait: float | None = None, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.cause = cause
        self.wait = wait


class RemoteUnavailable(Temporary):
    """A git remote cannot be asked now. `cause`: down, timeout."""

    def __init__(self, cause: str, message: str, *, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.cause = cause


class RemoteRefused(Expected):
    """A git remote said no. `cause`: credentials, host_key, missing (no such repository, or hidden), policy."""

    def __init__(self, cause: str, message: str, *, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.cause = cause


class SetupFailed(Expected):
    """The command that makes a fresh copy of a target repository ready for work did not succeed."""

    def __init__(self, repo: str, message: str) -> None:
        super().__init__(message, remedy=f"see [repos.{repo}] setup")
        self.repo = repo


class AlreadyRunning(Temporary):
    """Another hqd holds this HQ."""


class SecretFound(Expected):
    """A secret stands in text that would have been committed. The message never contains the secret."""


class ExpressionFault(Expected):
    """A template or expression cannot be compiled or evaluated. `line` is 1-based within the source; 0: unknown."""

    def __init__(self, message: str, *, remedy: str = "", line: int = 0) -> None:
        super().__init__(message, remedy=remedy)
        self.line = line


class IllegalTransition(HqdError):
    """An event that the transition table does not allow in this state. Nothing was changed; this is a bug."""
