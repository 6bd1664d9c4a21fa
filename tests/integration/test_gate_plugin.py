"""An installed plug-in's gates serve without hqd knowing of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAM = """
from hqd.gates.plugins import installed
from hqd.gates.registry import Registry
from hqd.model.gate import GateSpec, Subject
registry = Registry(plugins=installed())
assert not registry.problems, registry.problems
(result,) = registry.run((GateSpec(name="s", kind="sentence_count", params={"max": 1}),), Subject(output="One. Two."))
print(result.status, result.message)
"""


def test_a_plugin_that_pip_installed_is_found_by_its_entry_point(tmp_path: Path) -> None:
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    env = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore"}
    source = ROOT / "bench" / "orchestration_plugin"
    subprocess.run([*install, "--target", site, source], check=True, env=env, cwd=tmp_path, timeout=120)
    env["PYTHONPATH"] = os.pathsep.join((str(site), str(ROOT)))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], check=False, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.startswith("fail 2 sentences found"), done.stderr
