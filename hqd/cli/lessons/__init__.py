"""`hqd lessons`."""
