"""A process that appends to the ledger until it is killed: `python ledger_child.py HQ JOURNAL SEED [BATCHES] [--wait]`.

Every batch that `append` reported is written to JOURNAL, outside the repository, and fsynced: that is the oracle.
"""

from __future__ import annotations

import os
import random
import sys
from datetime import UTC, datetime
from pathlib import Path

from hqd.adapters.checkout import GitCheckout
from hqd.adapters.ledger import GitLedger, Writer
from hqd.adapters.repository import GitRepository
from hqd.core.batch import blob_id
from hqd.model.change import Act, Transition
from hqd.ports import Tree

STATES = ("queue", "active", "blocked")


def step(tree: Tree, rng: random.Random, batch: str) -> list[Transition]:
    """Moves some tasks on, each with a record; now and then accepts a file from the inbox."""
    found = [
        (state, entry.name)
        for state in STATES
        for entry in tree.entries(f"workspace/{state}")
        if entry.name.endswith(".md")
    ]
    at = datetime.now(UTC)
    transitions = []
    for state, name in rng.sample(found, min(len(found), rng.choice((1, 1, 3, 8)))):
        new = rng.choice([other for other in STATES if other != state])
        transitions.append(
            Transition(
                message=f"hqd: {name}: {state} -> {new}\n\nBatch: {batch}\n", at=at,
                renames=((f"workspace/{state}/{name}", f"workspace/{new}/{name}"),),
                writes=((f"workspace/runs/2026/11/22/{name}/{batch}.toml", rng.randbytes(300).hex().encode()),),
            )
        )  # fmt: skip
    return transitions


def accept(root: Path, batch: str) -> Transition:
    data = f"# {batch}\n".encode()
    path = f"workspace/inbox/{batch}.md"
    (root / path).parent.mkdir(exist_ok=True)
    (root / path).write_bytes(data)
    return Transition(
        message=f"hqd: accept {batch}\n\nBatch: {batch}\n", at=datetime.now(UTC),
        writes=((f"workspace/queue/{batch}.md", data),), acts=(Act(path, blob_id(data)),),
    )  # fmt: skip


def main(root: Path, oracle: Path, seed: int, batches: int, wait: bool) -> None:
    repo = GitRepository.open(root, dict(os.environ))
    writer = Writer(repo)
    ledger = GitLedger(writer)
    checkout = GitCheckout(repo, writer, ledger.finish)
    rng = random.Random(seed)
    if wait:  # for a tracer to be attached: nothing of the start is to be killed
        print("ready", flush=True)  # noqa: T201  # the test waits for this line
        sys.stdin.readline()
    with oracle.open("a") as journal:
        for n in range(batches):
            batch = f"{seed}-{n}"
            tree = ledger.snapshot()
            transitions = step(tree, rng, batch)
            if n % 3 == 0:
                transitions.append(accept(root, batch))
            ids = ledger.append(tree.commit, transitions)
            journal.write(f"{batch} {ids[-1]} {len(ids)}\n")
            journal.flush()
            os.fsync(journal.fileno())
            checkout.look()
    ledger.close()
    writer.close()
    repo.close()


if __name__ == "__main__":
    arguments = [argument for argument in sys.argv[1:] if argument != "--wait"]
    main(Path(arguments[0]), Path(arguments[1]), int(arguments[2]), int([*arguments, "10000"][3]), "--wait" in sys.argv)
