"""Context of work on a target repository: its own rule files and documents, beside those of the HQ."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

from hqd.adapters.history import GitHistory
from hqd.adapters.repository import GitRepository
from hqd.bootstrap import mirrored
from hqd.cli.call import Call
from hqd.cli.context.preview import Wish, asked
from hqd.daemon.context.rebuild import rebuild
from tests.daemon.headquarters import only, settle
from tests.daemon.target_repository import FIX, RED, TASK, TESTS, shop
from tests.daemon.test_context import manifests, prompt

RULE = 'context = [{ include = ["docs/*.md", "workspace/context/*.md"] }]\n'


def test_a_target_repositorys_own_rules_and_documents_are_sent_and_made_again(tmp_path: Path, capsys: object) -> None:
    """At the commit that the work is built on; the HQ's rule files are about the HQ."""
    hq, site = shop(tmp_path, playbook=FIX.replace('agent = "mender"\n', 'agent = "mender"\n' + RULE))
    files = {
        "AGENTS.md": "Never use tabs here.\n", "docs/style.md": "Names are short in this repository.\n",
        "lib/AGENTS.md": "In lib all is pure.\n", "lib/x.py": "", "other/AGENTS.md": "Nobody goes here.\n",
        "skills/mending/SKILL.md": "---\nname: mending\ndescription: How to mend nets.\n---\nKnot by knot.\n",
    }  # fmt: skip
    site.commit({"calc.py": RED, "test_calc.py": TESTS, **files})
    hq.write("AGENTS.md", "This is about the headquarters.\n")
    hq.write("workspace/context/house.md", "The house likes it quiet, everywhere.\n")
    hq.commit()
    hq.drop("mend.md", f"{TASK}\nSee lib/x.py, nowhere/y.py and https://example.org/other/x.\n")
    with hq.daemon() as loop:
        settle(loop, lambda: bool(hq.folder("review")))
        task = only(loop)
    (manifest,) = manifests(hq, task.id)
    sent = {row["source"]: row.get("repo", "") for row in manifest["sources"] if row["status"] == "kept"}
    del sent["playbooks/fix.toml"]
    assert sent == {
        "site:AGENTS.md": "site", "site:lib/AGENTS.md": "site", "site:docs/style.md": "site",
        "site:skills/mending/SKILL.md": "site", "workspace/context/house.md": "",
    }  # fmt: skip
    record = next(record for record in hq.records(task.id) if record.prompt)
    text = prompt(hq, record)
    assert "Never use tabs" in text
    assert text.index("Never use tabs") < text.index("In lib all is pure")
    assert "in the file skills/mending/SKILL.md;" in text, "as the path is in its copy"
    assert "headquarters" not in text
    with ExitStack() as stack:
        repository = GitRepository.open(hq.root, hq.env, "main")
        stack.callback(repository.close)
        history, elsewhere = GitHistory(repository), mirrored(repository.private, hq.env, stack)
        assert rebuild(history, record, "main", elsewhere) == history.tree("main").read(str(record.prompt))
    assert asked(Call(hq.env, hq.root), ("mend", "mend"), Wish(as_json=True)) == 0
    shown = json.loads(capsys.readouterr().out)  # type: ignore[attr-defined]
    assert {row["source"] for row in shown["sources"] if row["status"] == "kept"} >= set(sent)
