"""origin and a target repository over ssh, with a real sshd: worked on with a key, held with a name without."""

from __future__ import annotations

import json
from pathlib import Path

from tests.daemon.headquarters import only, settle
from tests.daemon.target_repository import GREEN, MEND, TASK, shop
from tests.ssh_server import HOST, serve_ssh

TELLING = f"import json, os; open('{{}}', 'w').write(json.dumps(dict(os.environ))); {MEND}"


def test_origin_and_a_repository_over_ssh_and_an_agent_that_sees_nothing_of_the_keys(tmp_path: Path) -> None:
    with serve_ssh(tmp_path / "ssh") as server:
        seen, bare = tmp_path / "seen.json", tmp_path / "origin.git"
        agents = {"mender": TELLING.format(seen)}
        hq, site = shop(tmp_path, url=server.scp(tmp_path / "site.git"), **agents)
        settings = (hq.root / "hqd.toml").read_text().replace('fetch = "300ms"', 'fetch = "300ms"\npush = "50ms"')
        hq.write("hqd.toml", settings.replace("[agents.mender]", '[agents.mender]\npass_env = ["SSH_*", "GIT_*"]'))
        hq.commit()
        hq.git("init", "-q", "--bare", "-b", "main", str(bare))
        hq.git("remote", "add", "origin", server.scp(bare))
        hq.env |= {"GIT_SSH_COMMAND": server.command, "SSH_AUTH_SOCK": str(tmp_path / "agent")}
        server.known.unlink()
        hq.drop("mend.md", TASK)
        with hq.daemon() as loop:
            settle(loop, lambda: {"origin", "repo-site"} <= loop.live.holds.keys())
            settle(loop)  # only a person could move anything, and nothing asks or hangs
            for name, reason in (("origin", "origin_host_key"), ("repo-site", "host_key")):
                hold = loop.live.holds[name]
                assert hold.reason == reason
                assert HOST in hold.missing
                assert "Host key verification failed" in hold.missing
                assert "ssh-keyscan" in hold.missing
            server.knows(server.folder / "host")
            assert hq.ask(loop, "sync").ok
            settle(loop, lambda: bool(hq.folder("review")))
            assert not loop.live.holds
            assert site.show("calc.py", f"hqd/{only(loop).id}") == GREEN.strip()
            hq.ask(loop, "approve", only(loop).id)
            settle(loop)
            settle(loop, lambda: hq.git("rev-parse", "main") == hq.git("--git-dir", str(bare), "rev-parse", "main"))
        assert site.show("calc.py") == GREEN.strip()
        assert not [name for name in json.loads(seen.read_text()) if name.startswith(("SSH_", "GIT_SSH"))]
