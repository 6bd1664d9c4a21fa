"""`hqd report`, `replay`, `bisect`: history told in figures."""
