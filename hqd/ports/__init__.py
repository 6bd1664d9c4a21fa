"""What the daemon needs of the outside world. Adapters and the fakes in `hqd/testing` fulfil these.

Every port has one contract suite in tests/contract, run over the real thing and the fake.
"""

from hqd.ports.keeping import Archive, Checkout, History, Ledger, Tree
from hqd.ports.sharing import Branches, Forge, Notifier, Remote, RemoteForge, Target
from hqd.ports.working import Accepted, Agent, Clock, Copies, Copy, Gates, Programs, Secrets, Similar

__all__ = [
    "Accepted",
    "Agent",
    "Archive",
    "Branches",
    "Checkout",
    "Clock",
    "Copies",
    "Copy",
    "Forge",
    "Gates",
    "History",
    "Ledger",
    "Notifier",
    "Programs",
    "Remote",
    "RemoteForge",
    "Secrets",
    "Similar",
    "Target",
    "Tree",
]
