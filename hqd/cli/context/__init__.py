"""`hqd context`."""
