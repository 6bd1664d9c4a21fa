"""`hqd status`, `show`, `why`, `log`: what stands in git, read without a daemon."""
