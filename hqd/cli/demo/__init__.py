"""`hqd demo`."""
