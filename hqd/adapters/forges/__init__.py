"""Forges with a server: one client, and an adapter for each kind."""
