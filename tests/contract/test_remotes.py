"""The contract of the port Remote: over a path, and over HTTP with a token."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hqd.adapters.git import Git
from hqd.adapters.remote import RemoteOf
from hqd.errors import Misconfigured, RemoteRefused, RemoteUnavailable
from hqd.model.remote import PushOutcome, RefUpdate
from hqd.ports import Remote
from tests.git_server import GitServer, serve

TOKEN = "ghs_0123456789abcdefTOKEN"
MAIN = "refs/heads/main"


@dataclass
class World:
    """A bare repository that others push to, and a clone's own repository with the remote under test."""

    git: Any
    bare: Path
    here: Path
    url: str
    remote: Remote
    server: GitServer | None = None
    token: list[str] = field(default_factory=lambda: [TOKEN])

    def commit(self, name: str, *, where: Path | None = None) -> str:
        where = where or self.here
        (where / name).write_text(name)
        self.git(where, "add", "-A")
        self.git(where, "commit", "-qm", name)
        return str(self.git(where, "rev-parse", "HEAD")).strip()

    def there(self, ref: str = MAIN) -> str | None:
        return self.git(self.bare, "rev-parse", "--verify", "-q", ref, check=False).strip() or None

    def other(self, name: str) -> str:
        """Somebody else pushes one more commit to main; its id."""
        clone = self.here.parent / f"other-{name}"
        self.git(self.here.parent, "clone", "-q", str(self.bare), str(clone))
        _person(self.git, clone)
        made = self.commit(name, where=clone)
        self.git(clone, "push", "-q", "origin", "HEAD:refs/heads/main")
        return made

    def hook(self, name: str, script: str) -> None:
        path = self.bare / "hooks" / name
        path.write_text("#!/bin/sh\n" + script)
        path.chmod(0o755)


def _person(git: Any, where: Path) -> None:
    git(where, "config", "user.name", "Person")
    git(where, "config", "user.email", "person@example.org")


@pytest.fixture(params=["path", "http"])
def world(request: pytest.FixtureRequest, tmp_path: Path, git: Any) -> Iterator[World]:
    bare, here = tmp_path / "served" / "hq.git", tmp_path / "here"
    bare.mkdir(parents=True)
    here.mkdir()
    git(bare, "init", "-q", "--bare", "-b", "main")
    git(bare, "config", "http.receivepack", "true")
    git(here, "init", "-q", "-b", "main")
    _person(git, here)
    with serve(bare.parent) as server:
        server.writers = {TOKEN}
        token = [TOKEN]
        url = str(bare) if request.param == "path" else f"{server.url}/hq.git"
        remote = RemoteOf(
            Git(here, dict(os.environ)), url, token=lambda: token[0], tracking="refs/remotes/origin/", timeout=20
        )
        found = World(git, bare, here, url, remote, server if request.param == "http" else None, token)
        found.commit("first")
        yield found


def outcome(world: World, *updates: RefUpdate) -> list[PushOutcome]:
    return [pushed.outcome for pushed in world.remote.push(updates)]


def test_an_empty_remote_has_no_branches(world: World) -> None:
    assert world.remote.fetch() == {}


def test_a_push_sets_the_ref_and_is_done_again_without_harm(world: World) -> None:
    tip = world.commit("second")
    assert outcome(world, RefUpdate(MAIN, tip)) == [PushOutcome.DONE]
    assert world.there() == tip
    assert outcome(world, RefUpdate(MAIN, tip)) == [PushOutcome.DONE]
    assert world.git(world.here, "rev-parse", "refs/remotes/origin/main").strip() == tip


def test_fetch_brings_all_branches_and_moves_nothing_of_a_persons(world: World) -> None:
    world.remote.push([RefUpdate(MAIN, world.commit("second")), RefUpdate("refs/heads/hqd/a-task", "HEAD")])
    before = world.git(world.here, "for-each-ref", "refs/heads", "refs/remotes")
    theirs = world.other("theirs")
    found = world.remote.fetch()
    assert found[MAIN] == theirs
    assert set(found) == {MAIN, "refs/heads/hqd/a-task"}
    assert world.git(world.here, "cat-file", "-t", theirs).strip() == "commit"
    assert world.git(world.here, "for-each-ref", "refs/heads", "refs/remotes") == before
    assert not (world.here / ".git" / "FETCH_HEAD").exists()


@pytest.mark.parametrize("world", ["path"], indirect=True)
def test_a_fetch_that_a_push_of_this_process_overtakes_is_done_again(world: World, tmp_path: Path) -> None:
    """An accepted push notes what origin has now. In the middle of a fetch that was a fault: `cannot lock ref`."""
    world.git(world.here, "push", "-q", str(world.bare), "main")
    assert list(world.remote.fetch()) == [MAIN]
    newer, done = world.other("newer"), tmp_path / "done"
    noted = f"git --git-dir={world.here}/.git update-ref refs/hqd/remote/origin/main {world.commit('pushed')}"
    overtaking, ssh = tmp_path / "overtaking", tmp_path / "ssh"
    overtaking.write_text(f'#!/bin/sh\n[ -e {done} ] || {noted}\ntouch {done}\nexec "$@"\n')
    ssh.write_text(f"#!/bin/sh\nexec git -c uploadpack.packObjectsHook={overtaking} upload-pack {world.bare}\n")
    for program in (overtaking, ssh):
        program.chmod(0o755)
    env = {**os.environ, "GIT_SSH": str(ssh), "GIT_SSH_VARIANT": "simple"}
    assert RemoteOf(Git(world.here, env), f"person@host:{world.bare}", timeout=20).fetch() == {MAIN: newer}
    assert done.exists()


def test_a_branch_that_is_gone_there_is_gone_from_the_next_fetch(world: World) -> None:
    tip = world.commit("second")
    world.remote.push([RefUpdate(MAIN, tip), RefUpdate("refs/heads/x", tip)])
    assert len(world.remote.fetch()) == 2
    world.git(world.bare, "update-ref", "-d", "refs/heads/x")
    world.git(world.bare, "update-ref", "refs/heads/x/y", tip)  # a folder where a file was
    assert set(world.remote.fetch()) == {MAIN, "refs/heads/x/y"}


def test_a_lost_race_is_moved_and_names_what_was_found(world: World) -> None:
    world.remote.push([RefUpdate(MAIN, world.commit("second"))])
    theirs = world.other("theirs")
    mine = world.commit("mine")
    (pushed,) = world.remote.push([RefUpdate(MAIN, mine)])
    assert (pushed.outcome, pushed.found) == (PushOutcome.MOVED, theirs)
    assert world.there() == theirs


def test_a_race_lost_inside_the_server_is_moved_not_policy(world: World) -> None:
    """The other push wins between our look and our write: the server says only `failed to update ref`."""
    base = world.commit("second")
    world.remote.push([RefUpdate(MAIN, base)])
    theirs = world.other("theirs")
    world.git(world.bare, "update-ref", MAIN, base)
    # ref updates inside pre-receive are forbidden, so a copy of git without that environment does it
    world.hook("pre-receive", f"env -i PATH=$PATH git update-ref {MAIN} {theirs}\nexit 0\n")
    (pushed,) = world.remote.push([RefUpdate(MAIN, world.commit("mine"))])
    assert (pushed.outcome, pushed.found) == (PushOutcome.MOVED, theirs)


def test_two_pushes_of_one_ref_from_here_never_meet_there(world: World) -> None:
    """They would meet at the ref's lock on the remote, and one of them would look like a remote out of order."""
    log = world.bare / "seen"
    world.hook("pre-receive", f"echo begin >>{log}; sleep 0.3; echo end >>{log}; exit 0")
    commits = [world.commit(f"{number}.md") for number in range(3)]
    pushes = [
        threading.Thread(target=world.remote.push, args=([RefUpdate(MAIN, commit)],), daemon=True) for commit in commits
    ]
    for push in pushes:
        push.start()
    for push in pushes:
        push.join(30)
    words = log.read_text().split()
    assert words == ["begin", "end"] * (len(words) // 2)
    assert world.there() in commits


def test_a_hook_that_refuses_is_policy_with_its_words(world: World) -> None:
    base = world.commit("second")
    world.remote.push([RefUpdate(MAIN, base)])
    world.hook("pre-receive", "echo 'main is protected, open a pull request' >&2\nexit 1\n")
    (pushed,) = world.remote.push([RefUpdate(MAIN, world.commit("mine"))])
    assert (pushed.outcome, pushed.found) == (PushOutcome.POLICY, base)
    assert "main is protected, open a pull request" in pushed.message
    assert world.there() == base


def test_one_refused_ref_does_not_stop_the_others(world: World) -> None:
    base = world.commit("second")
    world.remote.push([RefUpdate(MAIN, base)])
    world.hook("update", f'test "$1" != {MAIN}\n')
    tip = world.commit("mine")
    assert outcome(world, RefUpdate(MAIN, tip), RefUpdate("refs/heads/x", tip)) == [
        PushOutcome.POLICY,
        PushOutcome.DONE,
    ]


def test_a_rewritten_branch_replaces_exactly_what_was_expected(world: World) -> None:
    base = world.commit("second")
    mine = world.commit("mine")
    world.remote.push([RefUpdate(MAIN, base), RefUpdate("refs/heads/hqd/t", mine)])
    world.git(world.here, "reset", "-q", "--hard", base)
    again = world.commit("again")
    assert outcome(world, RefUpdate("refs/heads/hqd/t", again)) == [PushOutcome.MOVED]
    assert outcome(world, RefUpdate("refs/heads/hqd/t", again, expected=base)) == [PushOutcome.MOVED]
    assert world.there("refs/heads/hqd/t") == mine
    assert outcome(world, RefUpdate("refs/heads/hqd/t", again, expected=mine)) == [PushOutcome.DONE]
    assert world.there("refs/heads/hqd/t") == again


def test_a_branch_is_deleted_only_where_it_was_expected_and_once(world: World) -> None:
    base, tip = world.commit("second"), world.commit("third")
    world.remote.push([RefUpdate(MAIN, tip), RefUpdate("refs/heads/x", tip), RefUpdate("refs/heads/y", base)])
    gone = [RefUpdate("refs/heads/x", None, base), RefUpdate("refs/heads/y", None, base)]
    assert outcome(world, *gone) == [PushOutcome.MOVED, PushOutcome.DONE]
    assert (world.there("refs/heads/x"), world.there("refs/heads/y")) == (tip, None)
    assert outcome(world, RefUpdate("refs/heads/y", None, base), RefUpdate("refs/heads/z", tip)) == [
        PushOutcome.DONE,
        PushOutcome.DONE,
    ]


def test_a_repository_that_is_not_there_is_missing(world: World) -> None:
    remote = RemoteOf(Git(world.here, dict(os.environ)), world.url + "-nowhere", token=lambda: TOKEN)
    with pytest.raises(RemoteRefused) as fetching:
        remote.fetch()
    with pytest.raises(RemoteRefused) as pushing:
        remote.push([RefUpdate(MAIN, "HEAD")])
    assert {fetching.value.cause, pushing.value.cause} == {"missing"}


def test_a_kind_of_url_that_git_does_not_know_is_missing(tmp_path: Path, git: Any) -> None:
    git(tmp_path, "init", "-q")
    with pytest.raises(RemoteRefused) as refused:
        RemoteOf(Git(tmp_path, dict(os.environ)), "htps://example.org/hq.git", timeout=20).fetch()
    assert (refused.value.cause, "look at the URL" in refused.value.remedy) == ("missing", True)


@pytest.mark.parametrize("url", ["", "--upload-pack=touch /tmp/x", "http://a\nb"])
def test_what_git_would_take_for_an_option_is_no_url(tmp_path: Path, url: str) -> None:
    with pytest.raises(Misconfigured):
        RemoteOf(Git(tmp_path, {}), url)


def _http(world: World) -> GitServer:
    assert world.server is not None
    return world.server


over_http = pytest.mark.parametrize("world", ["http"], indirect=True)


@over_http
def test_a_token_is_nowhere_but_in_the_header(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    server = _http(world)
    world.git(world.here, "config", "credential.helper", "store")
    named = RemoteOf(Git(world.here, dict(os.environ)), world.url.replace("http://", f"http://bot:{TOKEN}@"))
    assert TOKEN not in named.url
    named.push([RefUpdate(MAIN, world.commit("second"))])
    world.remote.fetch()
    assert any(server.seen)
    for path in (world.here / ".git").rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path
    world.token[0] = TOKEN + "-revoked"
    with pytest.raises(RemoteRefused) as fault:
        world.remote.fetch()
    assert fault.value.cause == "credentials"
    assert TOKEN not in fault.value.message + fault.value.remedy
    assert TOKEN not in "".join(capfd.readouterr())


@over_http
def test_a_token_is_not_among_the_arguments_of_git(world: World) -> None:
    _http(world)
    argvs: set[bytes] = set()
    ended = threading.Event()

    def watch() -> None:
        while not ended.is_set():
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    argvs.add(path.read_bytes())
                except OSError:
                    continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for _ in range(3):
            world.remote.fetch()
    finally:
        ended.set()
        watcher.join()
    assert any(b"fetch" in argv and world.url.encode() in argv for argv in argvs)
    assert not any(TOKEN.encode() in argv for argv in argvs)


@over_http
def test_a_token_that_may_only_read_fetches_and_is_refused_a_push(world: World) -> None:
    server = _http(world)
    world.remote.push([RefUpdate(MAIN, world.commit("second"))])
    server.readers, server.writers = {TOKEN}, set()
    assert MAIN in world.remote.fetch()
    with pytest.raises(RemoteRefused) as fault:
        world.remote.push([RefUpdate(MAIN, world.commit("third"))])
    assert fault.value.cause == "credentials"
    assert "write" in fault.value.remedy


@over_http
def test_a_renewed_token_counts_at_once(world: World) -> None:
    server = _http(world)
    world.token[0] = "old-token-value"
    with pytest.raises(RemoteRefused):
        world.remote.fetch()
    server.writers = {"new-token-value"}
    world.token[0] = "new-token-value"
    assert world.remote.fetch() == {}


@over_http
def test_a_server_that_is_down_is_unavailable_and_later_not(world: World) -> None:
    server = _http(world)
    server.down = True
    with pytest.raises(RemoteUnavailable):
        world.remote.fetch()
    with pytest.raises(RemoteUnavailable):
        world.remote.push([RefUpdate(MAIN, world.commit("second"))])
    server.down = False
    assert world.remote.fetch() == {}


@over_http
def test_a_token_does_not_follow_a_redirect_to_another_host(world: World, tmp_path: Path) -> None:
    server = _http(world)
    with serve(tmp_path / "served") as elsewhere:
        server.moved = elsewhere.url
        with pytest.raises(RemoteRefused) as fault:
            world.remote.fetch()
        assert elsewhere.seen == []
    assert fault.value.cause == "missing"
    assert "new URL" in fault.value.remedy


@over_http
def test_nobody_listening_and_silence_are_unavailable(world: World) -> None:
    _http(world)
    nobody = RemoteOf(Git(world.here, dict(os.environ)), "http://127.0.0.1:9/hq.git")
    with pytest.raises(RemoteUnavailable) as fault:
        nobody.fetch()
    assert fault.value.cause == "down"
    world.hook("pre-receive", "sleep 30\n")
    slow = RemoteOf(Git(world.here, dict(os.environ)), world.url, token=lambda: TOKEN, timeout=0.5)
    began = time.monotonic()
    with pytest.raises(RemoteUnavailable) as late:
        slow.push([RefUpdate(MAIN, world.commit("second"))])
    assert late.value.cause == "timeout"
    assert time.monotonic() - began < 5


def test_stop_ends_a_call_that_is_under_way(world: World) -> None:
    world.hook("pre-receive", "sleep 30\n")
    stop = threading.Event()
    remote = RemoteOf(Git(world.here, dict(os.environ)), world.url, token=lambda: TOKEN, stop=stop)
    threading.Timer(0.2, stop.set).start()
    began = time.monotonic()
    with pytest.raises(RemoteUnavailable):
        remote.push([RefUpdate(MAIN, world.commit("second"))])
    assert time.monotonic() - began < 5
