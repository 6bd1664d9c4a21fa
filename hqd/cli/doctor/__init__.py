"""`hqd doctor`."""
