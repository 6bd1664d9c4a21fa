"""What a person sees of origin: `hqd sync` with and without a daemon, `hqd status`, `hqd doctor`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.processes import drop, environment, run, until
from tests.daemon.headquarters import SETTINGS, Headquarters
from tests.daemon.origins import Scene, scene
from tests.git_server import serve

SLOW = SETTINGS.replace("[hq]", '[hq]\nfetch = "1h"\npush = "1h"')


def hqd(hq: Headquarters, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hqd", "--hq", str(hq.root), *words], env=environment(hq, **more), cwd=hq.root,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def facts(hq: Headquarters) -> dict[str, Any]:
    return dict(json.loads(hqd(hq, "status", "--json").stdout)["daemon"]["origin"])


@pytest.fixture
def found(tmp_path: Path) -> Scene:
    return scene(tmp_path, SLOW)


def test_sync_without_a_daemon_fetches_accepts_and_pushes(found: Scene) -> None:
    theirs = found.push("workspace/inbox/afar.md", "# Afar\n\nDo it.\n")
    done = hqd(found.hq, "sync", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["word"], said["outcome"], found.bare.name in said["message"]) == ("sync", "done", True)
    assert (said["origin"], said["origin"]["behind"]) == (facts(found.hq), 0)
    assert theirs in found.hq.git("rev-list", "main").splitlines()
    assert len(found.hq.folder("queue")) == 1
    assert found.in_line()


def test_status_tells_how_far_main_is_from_origin_and_sync_mends_it(found: Scene) -> None:
    with run(found.hq) as daemon:
        daemon.ask("sync")
        drop(found.hq, "task.md")
        until(lambda: len(found.hq.folder("done")) == 1, "the task is done")
        found.shut(down=True)
        failed = hqd(found.hq, "sync")
        assert failed.returncode == 75
        said = facts(found.hq)
        assert (said["ahead"] > 0, said["behind"], said["trouble"]) == (True, 0, "missing")
        assert said["since"] is not None
        text = hqd(found.hq, "status").stdout
        assert f"{said['ahead']} commits not pushed since" in text
        found.shut(down=False)
        assert hqd(found.hq, "sync").returncode == 0
        until(lambda: facts(found.hq)["ahead"] <= 1, "main is pushed")
        assert hqd(found.hq, "sync").returncode == 0
        until(lambda: facts(found.hq)["ahead"] == 0, "main is pushed")
        assert "not pushed" not in hqd(found.hq, "status").stdout


def test_a_conflict_is_named_and_sync_says_so(found: Scene) -> None:
    found.hq.write("docs/both.md", "mine")
    found.hq.commit("mine")
    found.push("docs/both.md", "theirs")
    done = hqd(found.hq, "sync", "--json")
    assert (done.returncode, json.loads(done.stdout)["error"]["exit_code"]) == (75, 75)
    assert "docs/both.md" in done.stderr


def test_sync_without_a_daemon_on_another_branch_says_so_at_once(found: Scene) -> None:
    found.hq.git("switch", "-qc", "side")
    done = hqd(found.hq, "sync")
    assert done.returncode == 75
    assert "has side checked out, not main" in done.stderr


def checks(hq: Headquarters, **more: str) -> list[dict[str, str]]:
    out = json.loads(hqd(hq, "doctor", "--json", **more).stdout)
    return [check for check in out["checks"] if check["name"] == "origin"]


def test_doctor_tries_the_push_and_leaves_nothing(found: Scene) -> None:
    assert [each["level"] for each in checks(found.hq)] == ["ok", "ok"]
    assert found.there("for-each-ref", "--format=%(refname)") == "refs/heads/main"


def test_doctor_names_the_layout_where_pushes_are_refused(found: Scene) -> None:
    found.hook("echo protected >&2\nexit 1\n")
    last = checks(found.hq)[-1]
    assert last["level"] == "fail"
    assert "protected" in last["found"]
    assert "state-only HQ" in last["remedy"]


def test_a_token_from_the_environment_serves_and_is_written_nowhere(found: Scene) -> None:
    token = "tok-0123456789-secret"
    with serve(found.bare.parent) as server:
        server.writers = {token}
        found.there("config", "http.receivepack", "true")
        settings = (found.hq.root / "hqd.toml").read_text().replace("[hq]", '[hq]\ntoken = "secret:origin"')
        found.hq.write("hqd.toml", settings)
        found.hq.commit("token")
        found.hq.git("remote", "set-url", "origin", f"{server.url}/{found.bare.name}")
        assert [each["level"] for each in checks(found.hq)] == ["fail"]
        assert [each["level"] for each in checks(found.hq, HQD_SECRET_ORIGIN=token)] == ["ok", "ok"]
        with run(found.hq, HQD_SECRET_ORIGIN=token) as daemon:
            drop(found.hq, "task.md")
            until(lambda: len(found.hq.folder("done")) == 1, "the task is done")
            assert daemon.ask("sync").ok
            until(lambda: found.tip == found.hq.git("rev-parse", "main") or daemon.ask("sync") is None, "pushed")
            output = daemon.output()
    assert token not in output
    for path in (found.hq.root / ".git").rglob("*"):
        assert not path.is_file() or token.encode() not in path.read_bytes(), path
