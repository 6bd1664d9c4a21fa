"""One attempt, from its job to its report."""
