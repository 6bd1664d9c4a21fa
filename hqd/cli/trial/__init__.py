"""`hqd try`."""
