"""`hqd doctor` on a forge: each right is tried, the missing one is named, nothing stays behind."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hqd.testing.forge_server import TOKEN
from tests.acceptance.processes import ROOT, environment
from tests.forge_hq import Forged, forged

RIGHTS = ["forge", "forge: push", "forge: statuses", "forge: delete", "forge: pull requests"]


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Forged]:
    with forged(tmp_path) as found:
        yield found


def doctor(at: Forged, **env: str) -> dict[str, tuple[str, str, str]]:
    """What it says of the forge: name -> level, found, remedy."""
    done = subprocess.run(
        [sys.executable, "-m", "hqd", "--hq", str(at.hq.root), "doctor", "--json"],
        env=environment(at.hq, HQD_SECRET_FORGE=TOKEN, **env), cwd=ROOT, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert TOKEN not in done.stdout + done.stderr
    found = json.loads(done.stdout)
    rows = [row for row in found["checks"] if row["name"].startswith("forge")]
    assert (done.returncode == 0) == found["ok"]
    return {row["name"]: (row["level"], row["found"], row["remedy"]) for row in rows}


def test_all_rights_are_tried_and_nothing_stays_behind(at: Forged) -> None:
    said = doctor(at)
    assert [(name, level) for name, (level, _found, _remedy) in said.items()] == [(name, "ok") for name in RIGHTS]
    assert "acme/hq on github, as hqd-bot" in said["forge"][1]
    assert (at.forge.pulls, at.git("for-each-ref", "refs/heads/hqd")) == ({}, "")


@pytest.mark.parametrize(
    ("path", "name", "needed"),
    [
        ("/pulls$", "forge: pull requests", "Pull requests: read and write"),
        ("/statuses/", "forge: statuses", "Commit statuses"),
    ],
)
def test_a_missing_right_is_named_with_what_to_give(at: Forged, path: str, name: str, needed: str) -> None:
    refusal = {"message": "Resource not accessible by personal access token"}
    at.server.fail(method="POST", path=path, times=9, status=403, body=refusal)
    said = doctor(at)
    assert [each for each, (level, _found, _remedy) in said.items() if level == "fail"] == [name]
    assert needed in said[name][2]


def test_a_server_that_takes_no_branch_is_said_with_its_words(at: Forged) -> None:
    hook = at.bare / "hooks/pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'not from robots' >&2\nexit 1\n")
    hook.chmod(0o755)
    level, found, remedy = doctor(at)["forge: push"]
    assert (level, "not from robots" in found, "hqd/*" in remedy) == ("fail", True, True)


def test_a_branch_that_cannot_be_deleted_is_named(at: Forged) -> None:
    at.git("config", "receive.denyDeletes", "true")
    said = doctor(at)
    assert said["forge: delete"][0] == "fail"
    assert at.git("for-each-ref", "--format=%(refname:short)", "refs/heads/hqd") in said["forge: delete"][1]


def test_a_revoked_token_and_a_repository_that_is_not_there_are_told_apart(at: Forged) -> None:
    at.server.token = "another"
    assert "does not accept the token" in doctor(at)["forge"][1]
    at.server.token = TOKEN
    at.forge.name = "acme/renamed"
    assert doctor(at)["forge"][0] == "fail"


def test_without_an_origin_it_says_what_to_add(at: Forged) -> None:
    at.hq.git("remote", "remove", "origin")
    assert doctor(at)["forge"][2] == "git remote add origin URL"


def test_the_rights_on_each_target_repository_are_tried_too(at: Forged) -> None:
    """Those on the forge; of one elsewhere no forge is asked."""
    text = (at.hq.root / "hqd.toml").read_text()
    rows = [
        ("site", f'url = "{at.bare}"\nforge_repo = "acme/hq"'),
        ("gone", f'url = "{at.bare}"\nforge_repo = "acme/gone"'),
    ]
    rows.append(("elsewhere", f'url = "{at.bare.parent}/elsewhere.git"'))
    at.hq.write("hqd.toml", text + "".join(f"[repos.{name}]\n{keys}\n" for name, keys in rows))
    at.hq.commit()
    said = doctor(at)
    site = [name.replace("forge", "forge: site", 1) for name in RIGHTS]
    assert [name for name, (level, _found, _remedy) in said.items() if level == "ok"] == RIGHTS + site
    assert [name for name, (level, _found, _remedy) in said.items() if level != "ok"] == ["forge: gone"]
    assert "acme/gone" in said["forge: gone"][1]
    assert (at.forge.pulls, at.git("for-each-ref", "refs/heads/hqd")) == ({}, "")
    at.git("config", "receive.denyDeletes", "true")
    assert [name for name, (level, _f, _r) in doctor(at).items() if level == "fail"] == [
        "forge: delete", "forge: site: delete", "forge: gone",
    ]  # fmt: skip
