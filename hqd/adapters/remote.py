"""Port Remote over git fetch and push: origin of the HQ, or where a target repository lives.

Rules that hold whatever the remote is:

- Fetched branches come under refs/hqd/remote/NAME/; refs/remotes/* stays as the person's own last fetch left it,
  because `git push --force-with-lease` trusts it. Only an accepted push sets it (`tracking`), as git itself does.
- A token is in the environment of the one git that needs it: never in an argument, a URL, a file or a message.
- An answer to a push is git's porcelain flag together with the remote's ref, read again: for a lost race git has
  several words, and some servers say only "failed to update ref".
"""

from __future__ import annotations

import base64
import copy
import shlex
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import PurePath
from urllib.parse import unquote, urlsplit, urlunsplit

from hqd.adapters.git import DURABLE, Git, GitFailed, Result, Stop
from hqd.adapters.remote_words import said, why
from hqd.errors import Misconfigured, RemoteUnavailable
from hqd.model.remote import Pushed, PushOutcome, RefUpdate

BRANCHES = "refs/heads/"
FETCHED = "refs/hqd/remote/"
TIMEOUT = 120.0
"""Seconds that one git call may take. A first fetch of a large repository may be given more."""

_FETCHES = 3
_NOT_OURS = (
    "-c", "push.followTags=false",
    "-c", "push.recurseSubmodules=no",
    "-c", "submodule.recurse=false",
    "-c", "fetch.recurseSubmodules=false",
    "-c", "fetch.unpackLimit=1",  # a pack is two files to sync, however many objects come
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of `git push --porcelain`."""

    flag: str
    reason: str


class RemoteOf:
    """`RemoteOf(git, url)`: the repository of `git` speaks to `url`. Thread-safe.

    `name` is where fetched branches come (refs/hqd/remote/NAME/); `push_url` where it is pushed to, if elsewhere.
    `token` is asked before each call, so that a renewed one counts at once, and sent to http(s) remotes as basic
    authentication of `user` (GitHub, GitLab and Gitea take any name with a token). `tracking`: a prefix like
    refs/remotes/origin/ whose refs follow accepted pushes of branches. `timeout`: seconds of one git call. `stop`:
    ends calls that are under way. Raises Misconfigured for a URL that git would take for an option.
    """

    def __init__(
        self,
        git: Git,
        url: str,
        *,
        name: str = "origin",
        push_url: str | None = None,
        token: Callable[[], str | None] | None = None,
        user: str = "x-access-token",
        tracking: str | None = None,
        timeout: float = TIMEOUT,
        stop: Stop | None = None,
    ) -> None:
        self._git = git
        self._fetch, self._push = _Place.of(url), _Place.of(push_url or url)
        self._name = name
        self._token = token
        self._user = user
        self._tracking = tracking
        self._timeout = timeout
        self._stop = stop
        self._ssh: str | None = None  # found out once
        self._fetching = threading.Lock()
        self._guard = threading.Lock()
        self._pushing: dict[str, threading.Lock] = {}  # ref -> who pushes it

    @property
    def url(self) -> str:
        return self._fetch.url

    def ended_by(self, stop: Stop) -> RemoteOf:
        """The same remote, for calls that something else ends."""
        found = copy.copy(self)
        found._stop = stop
        return found

    def fetch(self) -> Mapping[str, str]:
        under = f"{FETCHED}{self._name}/"
        with self._fetching:
            self._bring(under)
            found = self._git.read("for-each-ref", "--format=%(objectname) %(refname)", under).text
        pairs = (line.split(" ", 1) for line in found.splitlines())
        return {BRANCHES + ref.removeprefix(under): commit for commit, ref in pairs}

    def _bring(self, under: str) -> None:
        """git fetch; again where a push of this very process has moved a ref of `under` in the middle of it."""
        for more in reversed(range(_FETCHES)):
            done = self._call(
                self._fetch, *DURABLE, *_NOT_OURS, "fetch", "--quiet", "--prune", "--no-tags", "--no-write-fetch-head",
                "--no-auto-maintenance", "--", self._fetch.url, f"+{BRANCHES}*:{under}*",
            )  # fmt: skip
            if done.code == 0:
                return
            if not more or f"cannot lock ref '{under}" not in done.err:
                self._raise(done, "fetch")

    def heads(self, refs: Sequence[str]) -> Mapping[str, str]:
        """What the remote has at these full ref names now; absent ones are left out. Nothing is fetched."""
        if not refs:
            return {}
        done = self._call(self._push, "ls-remote", "--", self._push.url, *refs)
        if done.code != 0:
            self._raise(done, "ls-remote")
        pairs = (line.split("\t", 1) for line in done.text.splitlines() if "\t" in line)
        return {ref: commit for commit, ref in pairs if ref in refs}

    def push(self, updates: Sequence[RefUpdate]) -> tuple[Pushed, ...]:
        with self._alone([update.ref for update in updates]):
            return self._answers(updates)

    @contextmanager
    def _alone(self, refs: Sequence[str]) -> Iterator[None]:
        """One push of a ref at a time: two of this process would meet at its lock there, which looks like a fault."""
        with self._guard:
            locks = [self._pushing.setdefault(ref, threading.Lock()) for ref in sorted(set(refs))]
        with ExitStack() as stack:
            for lock in locks:
                stack.enter_context(lock)
            yield

    def _answers(self, updates: Sequence[RefUpdate]) -> tuple[Pushed, ...]:
        answers = self._gone([update for update in updates if update.commit is None])
        rest = [update for update in updates if update.ref not in answers]
        if rest:
            answers |= self._send(rest)
        for update in rest:
            if answers[update.ref].outcome is PushOutcome.DONE:
                self._track(update)
        return tuple(answers[update.ref] for update in updates)

    def _gone(self, deletes: Sequence[RefUpdate]) -> dict[str, Pushed]:
        """Answers for refs that need no deleting, or may not be deleted: for an absent one git fails the whole push."""
        heads = self.heads([update.ref for update in deletes])
        found = {}
        for update in deletes:
            there = heads.get(update.ref)
            if there is None:
                found[update.ref] = Pushed(update.ref, PushOutcome.DONE)
            elif there != update.expected:
                found[update.ref] = Pushed(update.ref, PushOutcome.MOVED, there, "it is not what was expected")
        return found

    def _send(self, updates: Sequence[RefUpdate]) -> dict[str, Pushed]:
        specs = [f"{update.commit or ''}:{update.ref}" for update in updates]
        leases = [f"--force-with-lease={each.ref}:{each.expected}" for each in updates if each.expected is not None]
        done = self._call(
            self._push, *_NOT_OURS, "push", "--porcelain", "--no-verify", *leases, "--", self._push.url, *specs
        )
        lines = _lines(done.out)
        if not lines:
            self._raise(done, "push")
        answers = {
            update.ref: Pushed(update.ref, PushOutcome.DONE, update.commit)
            for update in updates
            if update.ref in lines and lines[update.ref].flag != "!"
        }
        open_ = [update for update in updates if update.ref not in answers]
        heads = self.heads([update.ref for update in open_])
        for update in open_:
            answers[update.ref] = self._judge(update, lines.get(update.ref), heads.get(update.ref), done)
        return answers

    def _judge(self, update: RefUpdate, line: _Line | None, found: str | None, done: Result) -> Pushed:
        """What a refusal means: the remote's ref elsewhere is a lost race, unmoved it is the remote's will."""
        words = said(done.err, self._hidden())
        message = ": ".join(part for part in (line.reason if line is not None else "", words) if part)
        if found == update.commit:
            return Pushed(update.ref, PushOutcome.DONE, found)
        if update.expected is not None:
            unmoved = found == update.expected
        else:
            unmoved = found is None or (update.commit is not None and self._descends(found, update.commit))
        if line is None or (unmoved and any(word in line.reason for word in _LOCKED)):
            return Pushed(update.ref, PushOutcome.MOVED, found, message)  # another push holds it now: look again
        return Pushed(update.ref, PushOutcome.POLICY if unmoved else PushOutcome.MOVED, found, message)

    def _descends(self, old: str, new: str) -> bool:
        return self._git.quick("merge-base", "--is-ancestor", old, new, codes=(0, 1, 128)).code == 0

    def _track(self, update: RefUpdate) -> None:
        """What is known of the remote now; a courtesy to people and to `status`, which the next fetch would do too."""
        if not update.ref.startswith(BRANCHES):
            return
        name = update.ref.removeprefix(BRANCHES)
        for prefix in (f"{FETCHED}{self._name}/", self._tracking):
            if prefix is not None:
                change = (prefix + name, update.commit) if update.commit is not None else ("-d", prefix + name)
                self._git.quick("update-ref", *change, codes=(0, 1, 128))

    def _call(self, place: _Place, *args: str) -> Result:
        if self._stop is not None and self._stop.is_set():
            raise RemoteUnavailable("timeout", f"{place.url}: not asked, there is no time left")
        began = time.monotonic()
        done = self._git.far(*args, env=self._environment(place), timeout=self._timeout, stop=self._stop)
        if done is None:
            raise RemoteUnavailable("timeout", f"{place.url}: no answer within {time.monotonic() - began:.0f} s")
        return done

    def _raise(self, done: Result, verb: str) -> None:
        raise why(done.err, self._push.url if verb == "push" else self._fetch.url, verb, self._hidden())

    def _environment(self, place: _Place) -> dict[str, str]:
        # SSH_ASKPASS is a window on somebody's desktop; also git itself would open it for a password.
        env = {
            "GIT_TERMINAL_PROMPT": "0",
            "GCM_INTERACTIVE": "never",
            "SSH_ASKPASS": "",
            "SSH_ASKPASS_REQUIRE": "never",
        }
        config = {}
        basic = self._basic(place)
        if basic is not None:
            # A redirect would carry the header on to another host.
            config = {
                f"http.{place.url}.extraHeader": f"Authorization: Basic {basic}",
                "http.followRedirects": "false",
                "credential.helper": "",
            }
            env["GIT_ASKPASS"] = "true"  # a refused token is no reason to ask a person
        command = self._ssh_command()
        if command is not None:
            env["GIT_SSH_COMMAND"] = command
        env["GIT_CONFIG_COUNT"] = str(len(config))
        for index, (key, value) in enumerate(config.items()):
            env |= {f"GIT_CONFIG_KEY_{index}": key, f"GIT_CONFIG_VALUE_{index}": value}
        return env

    def _basic(self, place: _Place) -> str | None:
        if not place.is_http:
            return None
        token = self._token() if self._token is not None else None
        user, secret = (self._user, token) if token else (place.user, place.password)
        if not secret:
            return None
        return base64.b64encode(f"{user}:{secret}".encode()).decode("ascii")

    def _hidden(self) -> tuple[str, ...]:
        """What no message may contain."""
        token = self._token() if self._token is not None else None
        basic = [found for place in (self._fetch, self._push) if (found := self._basic(place)) is not None]
        return tuple(each for each in (token, self._fetch.password, self._push.password, *basic) if each)

    def _ssh_command(self) -> str | None:
        """The person's own ssh, told not to ask: a question would wait for ever. None: a program of `GIT_SSH`."""
        if self._ssh is None:
            named = self._git.env.get("GIT_SSH_COMMAND")
            if named is None:
                try:
                    named = self._git.read("config", "--get", "core.sshCommand", codes=(0, 1)).text
                except GitFailed:
                    named = ""
            self._ssh = named or ("" if self._git.env.get("GIT_SSH") else "ssh")
        return f"{self._ssh} -o BatchMode=yes -o ConnectTimeout=20" if _is_openssh(self._ssh) else self._ssh or None


_LOCKED = ("failed to update ref", "failed to lock", "cannot lock ref", "unable to lock")


def _is_openssh(command: str) -> bool:
    """Whether a command for git's shell begins with ssh, so that OpenSSH's options may follow it."""
    try:
        first = shlex.split(command)[:1]
    except ValueError:  # an open quote, which git's shell will tell of
        return False
    return bool(first) and PurePath(first[0]).name == "ssh"


@dataclass(frozen=True, slots=True)
class _Place:
    """A URL without what is secret in it."""

    url: str
    user: str | None = None
    password: str | None = None

    @classmethod
    def of(cls, url: str) -> _Place:
        if not url or url.startswith("-") or any(ord(char) < 32 for char in url):
            raise Misconfigured(f"not a URL of a git repository: {url!r}")
        if not url.startswith(("http://", "https://")):
            return cls(url)
        parts = urlsplit(url)
        if parts.username is None and parts.password is None:
            return cls(url)
        plain = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        return cls(plain, user, password) if password else cls(plain, "x-access-token", user)

    @property
    def is_http(self) -> bool:
        return self.url.startswith(("http://", "https://"))


def _lines(out: bytes) -> dict[str, _Line]:
    """Ref on the remote -> what porcelain says of it. Paths and messages may be any bytes; refs are looked up."""
    found = {}
    for line in out.decode("utf-8", "replace").splitlines():
        parts = line.split("\t")
        if len(parts) == 3 and len(parts[0]) == 1:
            _source, _colon, ref = parts[1].rpartition(":")
            found[ref] = _Line(parts[0], parts[2])
    return found
