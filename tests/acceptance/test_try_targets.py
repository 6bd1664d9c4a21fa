"""`hqd try` on a playbook that works in a target repository: nothing of it leaves the trial."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.acceptance.processes import environment
from tests.daemon.target_repository import FIX, TASK, shop


def test_a_trial_pushes_nothing_to_the_real_repository(tmp_path: Path) -> None:
    playbook = FIX.split('[[steps]]\nname = "approve"', maxsplit=1)[0].replace(
        'repo = "site"', 'repo = "site"\nland = "auto"'
    )
    hq, site = shop(tmp_path, playbook=playbook)
    before = site.git("for-each-ref", where=site.remote)
    (tmp_path / "mend.md").write_text(TASK)
    words = ["try", "fix", str(tmp_path / "mend.md"), "--live", "--max-usd", "0.5", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "hqd", "--hq", str(hq.root), *words],
        env=environment(hq), capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["state"] == "done"
    assert site.git("for-each-ref", where=site.remote) == before
    assert not (hq.root / ".git/hqd/repos").exists()
