"""What git and git servers say when a fetch or a push goes wrong, and what that means.

The words are those of git 2.39 with LC_ALL=C, of OpenSSH 9, and of GitHub, GitLab and Gitea behind `remote:` or their
ssh servers. What is not known counts as down: asking again later does no harm, and the message is shown.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from hqd.core.secret_scan import mask
from hqd.errors import Expected, RemoteRefused, RemoteUnavailable

_BOUND = 400
_USERINFO = re.compile(r"(?<=://)[^/\s@]+@")
_NOISE = (
    "hint:", "To ", "Pushing to", "error: failed to push some refs", "Everything up-to-date",
    "fatal: Could not read from remote repository.", "Please make sure you have the correct access rights",
    "and the repository exists.",
    "@", "IT IS POSSIBLE THAT", "Someone could be eavesdropping", "It is also possible", "Please contact your system",
    "Add correct host key", "Warning: Permanently added",
)  # fmt: skip

_CREDENTIALS = re.compile(
    r"authentication failed|could not read (?:username|password)|permission denied \("
    r"|invalid username or|returned error: 40[13]|terminal prompts disabled|access denied|permission to .* denied"
    r"|unable to read askpass|not allowed to (?:push|download|upload)|protected from being written"
    r"|marked as read only|not authorized to (?:read|write)"
)
_HOST_KEY = re.compile(r"host key verification failed|remote host identification has changed")
_MOVED = re.compile(r"unable to update url base from redirection|returned error: 30[1278]")
_MISSING = re.compile(
    r"repository (?:'.*' )?not found|does not appear to be a git repository|returned error: 404|no such repository"
    r"|project you were looking for could not be found|repository .* does not exist|cannot find repository"
    r"|'remote-.*' is not a git command|unable to find remote helper|transport '.*' not allowed"
)
_UNKNOWN = (
    "compare the server's fingerprint, then put its key into known_hosts of the account that runs hqd"
    " (ssh-keyscan HOST >> ~/.ssh/known_hosts)"
)
_CHANGED = (
    "the server shows another key than known_hosts has: ask its operators for the fingerprint before you replace it"
    " (ssh-keygen -R HOST, ssh-keyscan HOST >> ~/.ssh/known_hosts)"
)
_KEY = (
    "give the server the public key of the account that runs hqd, with the right to {right}; a key with a passphrase"
    " serves only out of an ssh-agent (SSH_AUTH_SOCK)"
)
_TIMEOUT = re.compile(r"timed out|timeout")


def said(stderr: str, hidden: Collection[str]) -> str:
    """What was said, on one line, without git's own hints, secrets and control characters; bounded."""
    lines = [" ".join(line.split()) for line in stderr.splitlines()]
    told = [line for line in lines if line and not line.startswith(_NOISE)] or lines
    kept = [line.removeprefix("remote:").strip() for line in told]
    text = _USERINFO.sub("", mask("; ".join(line for line in kept if line), hidden))
    return "".join(char if char.isprintable() else " " for char in text)[:_BOUND]


def why(stderr: str, url: str, verb: str, hidden: Collection[str]) -> Expected:
    """The error for a call that failed as a whole. `verb`: fetch, push or ls-remote."""
    words, text = stderr.lower(), said(stderr, hidden)
    message = f"{verb} {url}: {text}"
    if _HOST_KEY.search(words):
        return RemoteRefused("host_key", message, remedy=_CHANGED if "has changed" in words else _UNKNOWN)
    if _CREDENTIALS.search(words):
        right = "write" if verb == "push" else "read"
        remedy = _KEY if "(publickey" in words else "give hqd a credential with the right to {right}"
        return RemoteRefused("credentials", message, remedy=remedy.format(right=right))
    if _MOVED.search(words):
        return RemoteRefused("missing", message, remedy="it was moved: set the new URL")
    if _MISSING.search(words):
        return RemoteRefused("missing", message, remedy="look at the URL; what may not read it is told the same")
    return RemoteUnavailable("timeout" if _TIMEOUT.search(words) else "down", message)
