"""The workshop: what attempts are made with. Handed to workers; everything in it may be used from many threads."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from hqd.daemon.repositories.places import Places
from hqd.daemon.work.accepted import Accepted
from hqd.daemon.work.gather import Means
from hqd.model.board import Rules
from hqd.ports import Agent, Copies, Gates, History, Programs, Secrets


@dataclass(frozen=True, slots=True)
class Workshop:
    """What attempts are made with: the ports, and the secret values that no record may contain."""

    agents: Mapping[str, Agent]  # provider -> agent
    gates: Callable[[Rules], Gates]
    copies: Copies
    places: Places
    history: History
    secrets: Callable[[], Collection[str]]
    accepted: Accepted
    context: Means
    programs: Programs
    environment: Mapping[str, str]  # what of hqd's own a program sees
    vault: Secrets  # `secret:NAME` of run steps
    scratch: Path  # folder for the files that agents write to HQD_OUTPUT
