"""What `hqd check` knows to be wrong before anything runs."""
