"""hqd: a Git-based, file-driven orchestrator for work that AI agents do."""

__version__ = "0.1.0"
