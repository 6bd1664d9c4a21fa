"""Lessons as the daemon writes, judges and proposes them."""
