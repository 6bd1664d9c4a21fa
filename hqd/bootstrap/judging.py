"""The gate catalogue made from settings. A room of its own: `check` and `gate` need it and nothing of the daemon's."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hqd.adapters.programs import LocalPrograms
from hqd.gates.asking import Asker
from hqd.gates.cache import Verdicts
from hqd.gates.calibration import committed
from hqd.gates.kind import Doors
from hqd.gates.plugins import installed
from hqd.gates.registry import Registry, no_calibration
from hqd.model.settings import Settings
from hqd.ports import Agent, Gates


def gate_registry(
    env: Mapping[str, str],
    settings: Settings | None,
    agents: Mapping[str, Agent] | None,
    read: Callable[[str], bytes | None] | None = None,
    known: frozenset[str] = frozenset(),
    verdicts: Verdicts | None = None,
) -> Gates:
    """The gate catalogue with plug-ins; with `settings`, its named gates and judges work too.

    `read` gives files of main: the calibrations by which judges earned `enforce`.
    """
    asks = None
    if settings is not None and agents is not None:
        asks = Asker(settings.agents, lambda each: agents[each.provider])
    doors = Doors(programs=LocalPrograms(), env=env, asks=asks, known_secrets=tuple(known))
    return Registry(
        doors=doors,
        plugins=installed(),
        named=settings.gates if settings is not None else None,
        calibrations=committed(read) if read is not None else no_calibration,
        cache=verdicts,
    )
