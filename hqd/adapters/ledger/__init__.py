"""The ledger over git. See `ledger.py` for the order of its steps, `writer.py` for who may write."""

from hqd.adapters.ledger.ledger import GitLedger
from hqd.adapters.ledger.upkeep import Upkeep, prepare
from hqd.adapters.ledger.writer import Writer

__all__ = ["GitLedger", "Upkeep", "Writer", "prepare"]
