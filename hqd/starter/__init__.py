"""Where the files of a new HQ are: beside this module in an installed package, in the checkout otherwise."""

from __future__ import annotations

from pathlib import Path

from hqd.errors import Expected

FOLDERS = ("workspace", "playbooks", "lessons")
"""What `hqd init` lays down. `systemd/` stands beside them and is for the operator to copy."""


def starter_root() -> Path:
    """The folder that holds `FOLDERS`. Raises Expected where the installation lacks them."""
    packaged = Path(__file__).resolve().parent
    checkout = packaged.parent.parent
    for root in (packaged, checkout):
        if all((root / folder).is_dir() for folder in FOLDERS):
            return root
    raise Expected(
        f"the starter HQ is missing from {packaged}", remedy="install hqd again: pip install --force-reinstall hqd"
    )
